"""What a file must be to be believed."""

from __future__ import annotations

import os

import pytest

from gateway.inject.file import FileSource
from gateway.inject.source import Unreadable


def refuses(source: FileSource) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        source.take()
    return caught.value


def file_source(tmp_path, mode: int = 0o600):
    file = tmp_path / "secret"
    file.write_text("CANARY")
    file.chmod(mode)
    clock = [100.0]
    return file, FileSource(file, now=lambda: clock[0]), clock


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_closed_to_others_is_read(tmp_path, mode):
    assert file_source(tmp_path, mode)[1].take().secret.reveal() == "CANARY"


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o602, 0o660, 0o777])
def test_a_file_that_others_may_use_is_refused(tmp_path, mode):
    assert "others may use it" in refuses(file_source(tmp_path, mode)[1]).reason


def projected(tmp_path, mode: int):
    """A Kubernetes volume: secret -> ..data/secret, ..data -> ..version."""
    version = tmp_path / "..2026_11_21"
    version.mkdir()
    (version / "secret").write_text("CANARY")
    (version / "secret").chmod(mode)
    (tmp_path / "..data").symlink_to(version.name)
    (tmp_path / "secret").symlink_to("..data/secret")
    return FileSource(tmp_path / "secret", now=iter(range(0, 1000, 5)).__next__)


def test_a_file_of_a_kubernetes_volume_may_be_readable_by_others_but_not_writable(tmp_path):
    source = projected(tmp_path, 0o644)
    assert source.take().secret.reveal() == "CANARY"
    (tmp_path / "..2026_11_21" / "secret").chmod(0o666)
    assert "others may use it" in refuses(source).reason


def test_a_kubernetes_volume_swapped_in_one_rename_is_read_anew(tmp_path):
    source = projected(tmp_path, 0o644)
    assert source.take().secret.reveal() == "CANARY"
    after = tmp_path / "..2026_11_22"
    after.mkdir()
    (after / "secret").write_text("SECOND")
    (tmp_path / "..new").symlink_to(after.name)
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert source.take().secret.reveal() == "SECOND"


def test_a_link_of_another_kind_opens_no_world_readable_file(tmp_path):
    (tmp_path / "plain").write_text("CANARY")
    (tmp_path / "plain").chmod(0o644)
    (tmp_path / "secret").symlink_to("plain")
    assert "others may use it" in refuses(FileSource(tmp_path / "secret")).reason


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_regular_file_is_refused_and_hangs_nothing(tmp_path, make):
    make(tmp_path / "secret")
    assert "not a regular file" in refuses(FileSource(tmp_path / "secret")).reason


def test_a_changed_file_is_read_anew_but_looked_at_only_once_a_second(tmp_path):
    file, source, clock = file_source(tmp_path)
    first = source.take().secret
    file.write_text("SECOND-VALUE")
    clock[0] += 0.9
    assert source.take().secret is first
    clock[0] += 0.2
    assert source.take().secret.reveal() == "SECOND-VALUE"


def test_a_file_that_is_gone_withdraws_the_secret(tmp_path):
    file, source, clock = file_source(tmp_path)
    assert source.take().secret
    file.unlink()
    clock[0] += 2
    assert "No such file" in refuses(source).reason
