"""A log's folder may hold anything: a pipe, a device, a file without an end, a link to a file of whoever reads it. No reader waits, swallows it or writes there."""

import contextlib
import os
import shutil
import sqlite3

import pytest

from gateway.record import BadNote, LogReader, NotAsSigned, Prover, Query, count_calls
from gateway.record.anchors import Anchors
from gateway.record.folder import LogFolder
from gateway.record.keyring import Keyring
from gateway.record.objects import ObjectMissing, object_path, read_object
from gateway.record.payload import payload_lines
from gateway.record.report import INCOMPLETE
from gateway.record.stored import descriptor_of, open_stored, own_descriptor_of, read_stored
from tests.record.world import ORIGIN, POLICIES, keys, small_log, verified


def test_files_are_opened_and_nothing_else_is(tmp_path):
    (tmp_path / "file").write_bytes(b"four")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "device").symlink_to("/dev/zero")
    with open_stored(tmp_path / "file") as stream:
        assert stream.read() == b"four"
    assert read_stored(tmp_path / "file", 4) == b"four"
    with pytest.raises(OSError, match="more than 3 bytes"):
        read_stored(tmp_path / "file", 3)
    for name in ("pipe", "device"):
        with pytest.raises(OSError, match="not a file"):
            descriptor_of(tmp_path / name)
    (tmp_path / "link").symlink_to(tmp_path / "file")
    os.close(descriptor_of(tmp_path / "link"))
    with pytest.raises(OSError, match="symbolic links"):
        own_descriptor_of(tmp_path / "link")


@pytest.mark.parametrize("name", ["origin", "checkpoint", "checkpoints", "log/00000000000000000004.jsonl"])
@pytest.mark.parametrize("kind", ["pipe", "endless"])
async def test_verify_ends_whatever_stands_in_the_place_of_a_file(tmp_path, name, kind):
    await small_log(tmp_path)
    path = tmp_path / "log" / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    assert verified(tmp_path).exit_code == INCOMPLETE


async def test_readers_end_whatever_stands_in_the_place_of_a_file(tmp_path):
    await small_log(tmp_path)
    folder = LogFolder(tmp_path / "log")
    reader = LogReader(folder.path)
    path = object_path(folder.objects, POLICIES.digest)
    for pipe in (path, folder.checkpoint, folder.keys, folder.path / "index.lock", folder.path / "anchors" / "witness.w1", folder.payload_of(0)):
        pipe.parent.mkdir(exist_ok=True)
        pipe.unlink(missing_ok=True)
        os.mkfifo(pipe)
    with pytest.raises(ObjectMissing):
        read_object(folder.objects, POLICIES.digest)
    with pytest.raises(OSError, match="not a file"):
        reader.checkpoint(keys(tmp_path))
    with pytest.raises(OSError, match="not a file"):
        Anchors(folder).notes()
    with pytest.raises(OSError, match="not a file"):
        list(payload_lines(folder.payload_of(0)))
    assert Keyring.for_reading(folder, ORIGIN, None) is None
    assert count_calls(reader, Query()) == 4


@pytest.mark.parametrize("name", ["hashes.0", "hashes.4", "offsets", "lock"])
async def test_a_proof_writes_through_no_link_that_a_log_from_elsewhere_holds(tmp_path, name):
    await small_log(tmp_path, calls=40)
    mine = tmp_path / "mine"
    mine.write_bytes(b"precious" * 100)
    idx = tmp_path / "log" / "idx"
    shutil.rmtree(idx, ignore_errors=True)
    idx.mkdir()
    (idx / name).symlink_to(mine)
    prover = Prover(LogReader(tmp_path / "log"), keys(tmp_path))
    with contextlib.suppress(NotAsSigned, BadNote):
        prover.inclusion(1)
    prover.close()
    assert mine.read_bytes() == b"precious" * 100


async def test_neither_does_a_proof_where_the_whole_index_is_a_link_nor_a_query(tmp_path):
    await small_log(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.rmtree(tmp_path / "log" / "idx", ignore_errors=True)
    (tmp_path / "log" / "idx").symlink_to(elsewhere)
    (tmp_path / "log" / "index.lock").symlink_to(tmp_path / "made")
    prover = Prover(LogReader(tmp_path / "log"), keys(tmp_path))
    assert prover.inclusion(1).n == 1
    prover.close()
    assert count_calls(LogReader(tmp_path / "log"), Query()) == 4
    assert not any(elsewhere.iterdir())
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    "made",
    [
        "CREATE VIEW keys AS WITH RECURSIVE c(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM c) SELECT id, id AS subject, id AS wrapped FROM c",
        "CREATE TABLE keys(id, subject, wrapped)",
        "CREATE TABLE other(id)",
    ],
)
async def test_a_database_of_keys_that_is_none_of_ours_is_not_asked(tmp_path, made):
    await small_log(tmp_path)
    folder = LogFolder(tmp_path / "log")
    with contextlib.closing(sqlite3.connect(folder.keys)) as database:
        database.execute(made)
    assert Keyring.for_reading(folder, ORIGIN, None) is None


async def test_a_data_key_that_is_no_bytes_is_not_at_hand(tmp_path):
    await small_log(tmp_path)
    folder = LogFolder(tmp_path / "log")
    Keyring.open(folder.keys, ORIGIN, tmp_path / "keys").close()
    with contextlib.closing(sqlite3.connect(folder.keys)) as database:
        database.execute("INSERT INTO keys (id, subject, wrapped, made_us) VALUES ('k', 'text', 'text', 0)")
        database.commit()
    keyring = Keyring.for_reading(folder, ORIGIN, tmp_path / "keys")
    assert keyring is not None
    with pytest.raises(KeyError):
        keyring.find("k")
    keyring.close()
