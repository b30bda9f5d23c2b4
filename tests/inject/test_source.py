"""The contract of a credential source, on each of them; and what a file must be to be believed."""

from __future__ import annotations

import os

import pytest

from gateway.inject.environment import EnvironmentSource
from gateway.inject.file import FileSource
from gateway.inject.source import SECRET_BYTES_MAX, Unreadable


@pytest.fixture(params=["env", "file"])
def store(request, tmp_path, monkeypatch):
    """store(bytes) keeps them and gives the source that reads them."""

    def keep(raw: bytes | None):
        if request.param == "env":
            if raw is None:
                return EnvironmentSource("PORTREEVE_TEST_UNSET")
            monkeypatch.setenv("PORTREEVE_TEST_SECRET", os.fsdecode(raw))
            return EnvironmentSource("PORTREEVE_TEST_SECRET")
        file = tmp_path / "secret"
        if raw is not None:
            file.write_bytes(raw)
            file.chmod(0o600)
        return FileSource(file)

    return keep


def refuses(source) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        source.fetch()
    assert caught.value.reason
    return caught.value


@pytest.mark.parametrize("raw", [b"CANARY", b"CANARY\n", b"CANARY\r\n"])
def test_it_gives_the_secret_without_the_trailing_newline(store, raw):
    assert store(raw).fetch().reveal() == "CANARY"


def test_it_gives_the_same_object_while_nothing_changed(store):
    source = store(b"CANARY")
    assert source.fetch() is source.fetch()


@pytest.mark.parametrize(
    "raw", [None, b"", b"\n", b"CANARY\r\nx: y", b"CANARY\x01", b"CANARY\x7f", b"CANARY\xff", b"C\n\n", b"x" * (SECRET_BYTES_MAX + 1)]
)
def test_it_refuses_what_could_not_be_sent_as_it_stands_and_shows_none_of_it(store, raw):
    unreadable = refuses(store(raw))
    assert "CANARY" not in unreadable.reason + unreadable.remedy + repr(unreadable.__context__)
    assert unreadable.remedy


# files


def file_source(tmp_path, mode: int = 0o600):
    file = tmp_path / "secret"
    file.write_text("CANARY")
    file.chmod(mode)
    clock = [100.0]
    return file, FileSource(file, now=lambda: clock[0]), clock


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_closed_to_others_is_read(tmp_path, mode):
    assert file_source(tmp_path, mode)[1].fetch().reveal() == "CANARY"


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
    assert source.fetch().reveal() == "CANARY"
    (tmp_path / "..2026_11_21" / "secret").chmod(0o666)
    assert "others may use it" in refuses(source).reason


def test_a_kubernetes_volume_swapped_in_one_rename_is_read_anew(tmp_path):
    source = projected(tmp_path, 0o644)
    assert source.fetch().reveal() == "CANARY"
    after = tmp_path / "..2026_11_22"
    after.mkdir()
    (after / "secret").write_text("SECOND")
    (tmp_path / "..new").symlink_to(after.name)
    (tmp_path / "..new").rename(tmp_path / "..data")
    assert source.fetch().reveal() == "SECOND"


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
    first = source.fetch()
    file.write_text("SECOND-VALUE")
    clock[0] += 0.9
    assert source.fetch() is first
    clock[0] += 0.2
    assert source.fetch().reveal() == "SECOND-VALUE"


def test_a_file_that_is_gone_withdraws_the_secret(tmp_path):
    file, source, clock = file_source(tmp_path)
    source.fetch()
    file.unlink()
    clock[0] += 2
    assert "No such file" in refuses(source).reason
