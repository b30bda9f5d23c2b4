import os
import sqlite3

import pytest

from gateway.errors import Problem
from gateway.record.folder import LogFolder
from gateway.record.keyring import KEK_FILE, BadSeal, Keyring


@pytest.fixture
def ring(tmp_path):
    with_keys = Keyring.open(tmp_path / "keys.db", "gw.test", tmp_path / "keys")
    yield with_keys
    with_keys.close()


def another(tmp_path):
    return Keyring.open(tmp_path / "keys.db", "gw.test", tmp_path / "keys")


def wrapped(tmp_path):
    with sqlite3.connect(tmp_path / "keys.db") as db:
        rows = db.execute("SELECT wrapped FROM keys WHERE wrapped IS NOT NULL").fetchall()
    db.close()
    return [row[0] for row in rows]


def test_a_subject_has_one_key_in_every_process_and_another_has_another(tmp_path, ring):
    second = another(tmp_path)
    assert ring.key_for("user:a").id == second.key_for("user:a").id == ring.known("user:a").id
    assert ring.key_for("user:b").id != ring.key_for("user:a").id
    assert ring.known("user:c") is None
    second.close()


def test_what_is_sealed_opens_at_its_place_and_at_no_other(ring):
    key = ring.key_for("user:a")
    sealed = key.seal(b"078", b"here")
    assert key.open(sealed, b"here") == b"078"
    for about, data in ((b"there", sealed), (b"here", sealed[:-1] + bytes([sealed[-1] ^ 1])), (b"here", b""), (b"here", sealed[:5])):
        with pytest.raises(BadSeal):
            key.open(data, about)
    with pytest.raises(BadSeal):
        ring.key_for("user:b").open(sealed, b"here")


def test_commitments_tell_nothing_of_equality_and_digests_do_within_a_subject(ring):
    one, two = ring.key_for("user:a"), ring.key_for("user:b")
    assert one.commitment(b"v", b"call 1") != one.commitment(b"v", b"call 2")
    assert one.digest(b"v", b"/ssn") == one.digest(b"v", b"/ssn")
    assert len({one.digest(b"v", b"/ssn"), one.digest(b"v", b"/tin"), two.digest(b"v", b"/ssn"), one.commitment(b"v", b"/ssn")}) == 4


def test_a_destroyed_key_is_nowhere_in_the_database_and_is_told_from_one_that_never_was(tmp_path, ring):
    key = ring.key_for("user:a")
    kept = ring.key_for("user:b")
    (gone,) = [data for data in wrapped(tmp_path) if data not in _of(tmp_path, kept.id)]
    assert gone in (tmp_path / "keys.db").read_bytes()
    assert ring._db.execute("PRAGMA secure_delete").fetchone() == (1,), "what is freed within a page is overwritten, too"
    ring.destroy("user:a")
    assert gone not in (tmp_path / "keys.db").read_bytes()
    assert ring.find(key.id) is None
    assert ring.find(kept.id).id == kept.id
    assert ring.known("user:a") is None
    with pytest.raises(KeyError):
        ring.find("0" * 16)
    assert ring.key_for("user:a").id not in {key.id, kept.id}


def _of(tmp_path, key_id):
    db = sqlite3.connect(tmp_path / "keys.db")
    rows = [row[0] for row in db.execute("SELECT wrapped FROM keys WHERE id = ?", (key_id,))]
    db.close()
    return rows


def test_a_key_that_another_process_destroyed_is_not_used_any_more(tmp_path, ring):
    key = ring.key_for("user:a")
    second = another(tmp_path)
    second.destroy("user:a")
    second.close()
    ring.look()
    assert ring.known("user:a") is None
    assert ring.find(key.id) is None


def test_numbers_are_given_until_the_log_has_been_told(ring):
    key = ring.key_for("user:a")
    assert ring.numbers("user:a") == [key.id]
    ring.destroy("user:a")
    assert ring.numbers("user:a") == [key.id], "a command that was stopped here finds it again"
    ring.told([key.id])
    assert ring.numbers("user:a") == []


def test_the_database_names_nobody_and_holds_no_key_in_clear(tmp_path, ring):
    ring.key_for("user:zoe.quux")
    content = (tmp_path / "keys.db").read_bytes()
    assert b"zoe" not in content
    assert bytes.fromhex((tmp_path / "keys" / KEK_FILE).read_text()) not in content
    assert "Key" in repr(ring.key_for("user:a"))
    assert "_aead" not in repr(ring.key_for("user:a"))
    assert oct((tmp_path / "keys.db").stat().st_mode & 0o777) == oct((tmp_path / "keys" / KEK_FILE).stat().st_mode & 0o777) == "0o600"


def test_a_reader_without_the_wrapping_key_knows_only_what_was_destroyed(tmp_path, ring):
    gone, kept = ring.key_for("user:a"), ring.key_for("user:b")
    ring.destroy("user:a")
    reader = Keyring.for_reading(LogFolder(tmp_path), "gw.test", None)
    assert reader.find(gone.id) is None
    with pytest.raises(KeyError):
        reader.find(kept.id)
    reader.close()
    assert Keyring.for_reading(LogFolder(tmp_path / "nothing"), "gw.test", None) is None


def test_a_key_moved_to_another_subject_or_log_does_not_unwrap(tmp_path, ring):
    mine, other = ring.key_for("user:a"), ring.key_for("user:b")
    ring.close()
    db = sqlite3.connect(tmp_path / "keys.db", isolation_level=None)
    db.execute("UPDATE keys SET wrapped = (SELECT wrapped FROM keys WHERE id = ?) WHERE id = ?", (other.id, mine.id))
    db.close()
    fresh = another(tmp_path)
    with pytest.raises(Problem):
        fresh.key_for("user:a")
    with pytest.raises(Problem):
        Keyring(tmp_path / "keys.db", "gw.other", bytes.fromhex((tmp_path / "keys" / KEK_FILE).read_text()), writes=False).find(other.id)
    fresh.close()


def test_a_wrapping_key_that_others_can_read_or_that_is_gone_stops_the_start(tmp_path, ring):
    ring.key_for("user:a")
    os.chmod(tmp_path / "keys" / KEK_FILE, 0o644)
    with pytest.raises(Problem, match="others than its owner"):
        another(tmp_path)
    (tmp_path / "keys" / KEK_FILE).unlink()
    with pytest.raises(Problem, match="unwraps"):
        another(tmp_path)
