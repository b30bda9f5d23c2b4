import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.errors import Problem
from gateway.record.note import open_note
from gateway.record.signer import PRIVATE_FILE, PUBLIC_FILE, NoteSigner


def test_the_key_is_made_once_and_only_its_owner_can_read_it(tmp_path):
    first = NoteSigner.open(tmp_path / "keys")
    assert stat.S_IMODE((tmp_path / "keys" / PRIVATE_FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "keys").stat().st_mode) == 0o700
    again = NoteSigner.open(tmp_path / "keys")
    assert open_note(first.sign("a", b"text\n"), [again.key("a")]) == b"text\n"
    assert os.listdir(tmp_path / "keys") == [PRIVATE_FILE]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o622])
def test_a_key_that_others_can_read_or_change_is_refused(tmp_path, mode):
    NoteSigner.open(tmp_path)
    (tmp_path / PRIVATE_FILE).chmod(mode)
    with pytest.raises(Problem, match="others") as found:
        NoteSigner.open(tmp_path)
    assert "chmod 600" in found.value.remedy


def test_a_broken_key_is_refused_and_not_replaced(tmp_path):
    NoteSigner.open(tmp_path)
    (tmp_path / PRIVATE_FILE).write_text("-----BEGIN PRIVATE KEY-----\n")
    with pytest.raises(Problem):
        NoteSigner.open(tmp_path)
    assert (tmp_path / PRIVATE_FILE).read_text() == "-----BEGIN PRIVATE KEY-----\n"


def test_two_that_start_together_end_with_one_key(tmp_path):
    with ThreadPoolExecutor(4) as pool:
        found = {str(s.key("a")) for s in pool.map(lambda _: NoteSigner.open(tmp_path), range(4))}
    assert found == {str(NoteSigner.open(tmp_path).key("a"))}


def test_the_public_key_is_published_once_beside_the_private_one(tmp_path):
    signer = NoteSigner.open(tmp_path)
    signer.publish("gw.example/a")
    signer.publish("gw.example/b")
    signer.publish("gw.example/a")
    assert (tmp_path / PUBLIC_FILE).read_text().splitlines() == [str(signer.key("gw.example/a")), str(signer.key("gw.example/b"))]
