"""Crashes and damage: what a crash tears is moved aside and told; what only tampering or a bad disk can do stops the start."""

import asyncio
import errno
import hashlib
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import Problem
from gateway.record import NoteSigner, open_log
from gateway.record.line import record_of
from tests.record.world import ORIGIN, files, keys, lines, opened, plain, result, settings, small_log, twin, verified, write_call

ROOT = Path(__file__).resolve().parents[2]


async def crashed(folder: Path, calls: int = 3, *, open_calls: int = 0, **changes) -> bytes:
    """A log as a kill leaves it: copied while its writer lives. Returns the last segment's bytes."""
    live = folder.with_name(folder.name + ".live")
    async with opened(live, checkpoint_records=1_000, **changes) as log:
        for number in range(calls):
            await write_call(log, number)
        for number in range(open_calls):
            await log.append("call", {"id": f"open-{number}", "authz": {"decision": "allow"}, "code": ""})
        twin(live, folder)
    return files(folder)[-1].read_bytes()


def of_kind(folder: Path, kind: str):
    return [record for record in map(record_of, lines(folder)) if record.kind == kind]


async def test_calls_left_open_by_a_crash_read_unknown_after_the_start(tmp_path):
    await crashed(tmp_path / "a", open_calls=2)
    async with opened(tmp_path / "a") as log:
        assert log.open_calls == 0
    (told,) = of_kind(tmp_path / "a", "recover")
    assert told.body == {"status": "unknown", "calls": [7, 8], "torn": []}
    await small_log(tmp_path / "a")
    assert len(of_kind(tmp_path / "a", "recover")) == 1
    assert verified(tmp_path / "a").ok


async def test_calls_left_open_in_an_earlier_segment_are_known_from_the_head_of_the_last(tmp_path):
    folder = tmp_path / "a"
    async with opened(tmp_path / "live", segment_bytes_max=500) as log:
        await log.append("call", {"id": "open", "authz": {"decision": "allow"}, "code": ""})
        for number in range(20):
            await log.append("call", plain(number))
        twin(tmp_path / "live", folder)
    assert len(files(folder)) > 4
    for path in files(folder)[:-1]:
        path.write_bytes(b"not read at a start")
    async with opened(folder):
        pass
    assert record_of(files(folder)[-1].read_bytes().split(b"\n")[-3]).body["calls"] == [1]


@pytest.mark.slow
async def test_a_line_torn_at_any_byte_is_moved_aside_and_its_digest_told(tmp_path):
    folder = tmp_path / "a"
    sound = await crashed(folder)
    start = sound.rindex(b"\n", 0, -1) + 1
    for end in range(start + 1, len(sound)):
        torn = twin(folder, tmp_path / str(end))
        files(torn)[-1].write_bytes(sound[:end])
        async with opened(torn):
            pass
        (told,) = of_kind(torn, "recover")
        digest = "sha256:" + hashlib.sha256(sound[start:end]).hexdigest()
        assert told.body["torn"] == [{"file": files(torn)[-1].name, "at": start, "bytes": end - start, "digest": digest}]
        (kept,) = (torn / "log" / "torn").iterdir()
        assert kept.read_bytes() == sound[start:end]
        assert verified(torn).ok


@pytest.mark.parametrize("tail", [b"\0" * 4096, b"\xff" * 700, b"\n", b"{}\n", b"x" * 200_000, b'{"n":1,"a":\n\0\0\n'])
async def test_garbage_behind_the_last_line_is_moved_aside(tmp_path, tail):
    folder = tmp_path / "a"
    sound = await crashed(folder)
    files(folder)[-1].write_bytes(sound + tail)
    async with opened(folder) as log:
        await write_call(log, 9)
    assert lines(folder)[: sound.count(b"\n")] == sound.split(b"\n")[:-1]
    assert of_kind(folder, "recover")[0].body["torn"][0]["bytes"] == len(tail)
    assert verified(folder).ok


async def refuses_to_open(folder: Path) -> Problem:
    before = {path: path.read_bytes() for path in (folder / "log").rglob("*") if path.is_file()}
    with pytest.raises(Problem) as found:
        await open_log(settings(folder), NoteSigner.open(folder / "keys"))
    assert found.value.code == "log_damaged"
    assert "backup" in found.value.remedy
    for path, data in before.items():
        assert path.read_bytes() == data, "a damaged log is left as it was found"
    return found.value


async def test_a_broken_record_with_valid_ones_behind_it_stops_the_start(tmp_path):
    folder = tmp_path / "a"
    sound = await crashed(folder)
    for at in range(0, sound.rindex(b"\n", 0, -1), 31):
        files(folder)[-1].write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        await refuses_to_open(folder)
    files(folder)[-1].write_bytes(sound)
    async with opened(folder):
        pass


async def test_a_log_shorter_than_what_was_signed_stops_the_start(tmp_path):
    await small_log(tmp_path)
    sound = files(tmp_path)[-1].read_bytes()
    for end in (0, 100, len(sound) - 1, sound.rindex(b"\n", 0, -1) + 1):
        files(tmp_path)[-1].write_bytes(sound[:end])
        assert "signed" in str(await refuses_to_open(tmp_path))
    files(tmp_path)[-1].unlink()
    assert "signed" in str(await refuses_to_open(tmp_path))
    for path in files(tmp_path):
        path.unlink()
    assert "signed" in str(await refuses_to_open(tmp_path))


async def test_a_log_that_is_not_the_signed_one_stops_the_start(tmp_path):
    """A whole tail rewritten with a consistent chain: only the signed root tells."""
    await small_log(tmp_path, segment_bytes_max=1 << 20)
    other = tmp_path / "other"
    (tmp_path / "keys").rename(tmp_path / "own")
    twin(tmp_path / "own", tmp_path / "keys")
    twin(tmp_path / "own", other / "keys")
    await small_log(other, segment_bytes_max=1 << 20)
    files(tmp_path)[-1].write_bytes(files(other)[-1].read_bytes())
    assert "signed" in str(await refuses_to_open(tmp_path))


async def test_a_start_under_another_key_stops(tmp_path):
    await small_log(tmp_path, calls=60)
    (tmp_path / "keys" / "log.key").unlink()
    await refuses_to_open(tmp_path)


async def test_a_checkpoint_torn_by_a_crash_is_moved_aside(tmp_path):
    await small_log(tmp_path)
    path = tmp_path / "log" / "checkpoints"
    sound = path.read_bytes()
    path.write_bytes(sound + sound[:100])
    async with opened(tmp_path) as log:
        await write_call(log, 9)
    assert path.read_bytes().startswith(sound)
    assert verified(tmp_path).ok


async def test_checkpoints_that_a_power_cut_spoiled_are_moved_aside_and_told(tmp_path):
    """The list is synced every few notes: of the last ones each sector may be lost."""
    await small_log(tmp_path)
    path = tmp_path / "log" / "checkpoints"
    sound = path.read_bytes()
    note = sound.index(b"\n\n") + 2
    note = sound.index(b"\n", note) + 1
    path.write_bytes(sound[:note] + bytes(60) + sound[note + 60 :])
    async with opened(tmp_path) as log:
        await write_call(log, 9)
    assert path.read_bytes().startswith(sound[:note])
    assert of_kind(tmp_path, "recover")[0].body["torn"][0]["file"] == "checkpoints"
    assert verified(tmp_path).ok


async def test_a_valid_checkpoint_behind_a_spoiled_one_still_says_how_long_the_log_must_be(tmp_path):
    await small_log(tmp_path)
    path = tmp_path / "log" / "checkpoints"
    sound = path.read_bytes()
    path.write_bytes(bytes(100) + sound[100:])
    (tmp_path / "log" / "checkpoint").unlink()
    files(tmp_path)[-1].unlink()
    assert "signed" in str(await refuses_to_open(tmp_path))


@pytest.mark.parametrize("change", ["damage", "another log's"])
async def test_checkpoints_that_no_crash_explains_stop_the_start(tmp_path, change):
    await small_log(tmp_path, calls=40, checkpoint_records=2)
    path = tmp_path / "log" / "checkpoints"
    sound = path.read_bytes()
    (tmp_path / "log" / "checkpoint").unlink()
    if change == "damage":
        path.write_bytes(sound[: len(sound) // 4 - 1] + b"#" + sound[len(sound) // 4 :])
    else:
        first = sound[: sound.index(b"\n\n") + 2]
        path.write_bytes(sound + first.replace(b"\n1\n", b"\n2\n") + sound[len(first) : sound.index(b"\n", len(first)) + 1])
    await refuses_to_open(tmp_path)


async def test_a_crash_in_the_middle_of_rotation_is_mended(tmp_path):
    folder = tmp_path / "a"
    await crashed(folder)
    count = len(lines(folder))
    for torn in (b"", b'{"n":', b"\0" * 300):
        (folder / "log" / "log" / f"{count:020d}.jsonl").write_bytes(torn)
        async with opened(folder) as log:
            await write_call(log, 9)
        assert verified(folder).ok
        count = len(lines(folder))


async def test_a_lost_newest_checkpoint_file_is_made_again(tmp_path):
    await small_log(tmp_path)
    (tmp_path / "log" / "checkpoint").write_bytes(b"")
    async with opened(tmp_path):
        pass
    assert verified(tmp_path).ok


async def test_a_log_that_lost_its_checkpoints_is_not_signed_anew(tmp_path):
    await small_log(tmp_path)
    for name in ("checkpoint", "checkpoints"):
        (tmp_path / "log" / name).unlink()
    stood = {path: path.read_bytes() for path in files(tmp_path)}
    with pytest.raises(Problem, match="no checkpoint is left"):
        await open_log(settings(tmp_path), NoteSigner.open(tmp_path / "keys"))
    for path in files(tmp_path)[1:]:
        path.write_bytes(b"not a record")
    with pytest.raises(Problem, match="no checkpoint is left"):
        await open_log(settings(tmp_path), NoteSigner.open(tmp_path / "keys"))
    assert list(stood) == files(tmp_path)


class NoRoomToSign(NoteSigner):
    """A signer whose notes find no room on the disk."""

    def sign(self, name: str, text: bytes) -> bytes:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), name)


async def test_a_log_is_not_begun_without_room_for_its_first_checkpoint_and_begins_when_there_is_some(tmp_path):
    key = NoteSigner.open(tmp_path / "keys")
    for _ in range(2):
        with pytest.raises(Problem, match="no room for the log's first checkpoint"):
            await open_log(settings(tmp_path), NoRoomToSign(key._private))
        assert len(lines(tmp_path)) == 1
    async with opened(tmp_path) as log:
        assert log.signed_size == 1
    assert verified(tmp_path).ok


CHILD = """
import asyncio, os, sys
from pathlib import Path
from tests.record.world import opened, write_call

async def main(folder):
    async with opened(folder, segment_bytes_max=20_000, checkpoint_interval_s=0.01) as log:
        async def work(number):
            while True:
                n = await write_call(log, number)
                os.write(1, b"%d\\n" % n)
        await asyncio.gather(*map(work, range(8)))

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.slow
async def test_no_acknowledged_record_is_lost_when_the_writer_is_killed(tmp_path):
    acknowledged: set[int] = set()
    chance = random.Random(7)
    for _ in range(5):
        child = await asyncio.create_subprocess_exec(sys.executable, "-c", CHILD, str(tmp_path), cwd=ROOT, stdout=subprocess.PIPE)
        for _ in range(chance.randrange(20, 200)):
            acknowledged.add(int(await child.stdout.readline()))
        os.kill(child.pid, signal.SIGKILL)
        rest, _ = await child.communicate()
        acknowledged |= {int(n) for n in rest.split(b"\n")[:-1]}
    async with opened(tmp_path):
        pass
    report = verified(tmp_path)
    assert report.ok, report
    found = {record.n: record for record in map(record_of, lines(tmp_path))}
    assert acknowledged <= found.keys()
    assert {found[n].kind for n in acknowledged} == {"call"}
    closed = {r.body["call"] for r in found.values() if r.kind == "result"}
    closed |= {n for r in found.values() if r.kind == "recover" for n in r.body["calls"]}
    assert closed == {n for n, r in found.items() if r.kind == "call"}, "every call has an outcome, if only `unknown`"


async def test_results_close_calls_and_only_allowed_calls_are_open(tmp_path):
    async with opened(tmp_path) as log:
        await log.append("call", plain(1))
        assert log.open_calls == 0
        await log.append("call", {"id": "a", "authz": {"decision": "deny"}, "code": "denied"})
        assert log.open_calls == 0
        receipt = await log.append("call", {"id": "b", "authz": {"decision": "allow"}, "code": ""})
        assert log.open_calls == 1
        await log.append("result", result(receipt.n, 1))
        assert log.open_calls == 0
    assert keys(tmp_path)[0].name == ORIGIN
