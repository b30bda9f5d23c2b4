import asyncio
import shutil

import pytest

from gateway.errors import Problem
from gateway.record import BadNote, Control, LogReader, NoteSigner, Prover, Question, check_proof, parse_keys, verify_log
from gateway.record.control import rotate_key
from gateway.record.note import Checkpoint, NoteKey, keys_text
from gateway.record.remote import connect_log
from gateway.record.signer import NEXT_FILE, PRIVATE_FILE, PUBLIC_FILE, make_next
from tests.record.world import ORIGIN, keys, opened, plain, service, settings, small_log, twin, verified, write_call


async def rotated(folder, *, keep=False):
    return await asyncio.to_thread(rotate_key, settings(folder), folder / "keys", "yearly", keep=keep)


def published(folder):
    return parse_keys((folder / "keys" / PUBLIC_FILE).read_text())


def judged(folder, given, **question):
    return verify_log(folder / "log", given, Question(**question))


@pytest.fixture
async def log(tmp_path):
    folder = tmp_path / "a"
    await small_log(folder, calls=3)
    return folder


async def unmoved(_kind):
    pass


@pytest.mark.parametrize("keep", [False, True])
async def test_the_new_key_signs_what_comes_and_the_old_one_what_was(log, keep):
    old = keys(log)[0]
    private = (log / "keys" / PRIVATE_FILE).read_bytes()
    receipt, new = await rotated(log, keep=keep)
    async with opened(log, checkpoint_records=2) as running:
        await write_call(running, 50)
    found = published(log)
    assert [(key, key.last is None) for key in found] == [(old, False), (new, True)]
    assert found[0].last == found[1].first == receipt.n + 1
    assert judged(log, found).ok
    assert NoteSigner.open(log / "keys").key(ORIGIN) == new != old
    assert not (log / "keys" / NEXT_FILE).exists()
    kept = log / "keys" / f"{PRIVATE_FILE}.{old.id.hex()}"
    assert kept.exists() is keep
    if keep:
        assert kept.read_bytes() == private
    record = LogReader(log / "log").find(receipt.n)
    assert (record.kind, record.body["old"], record.body["new"], record.body["why"]) == ("key.rotate", str(old), str(new), "yearly")


async def test_a_running_gateway_rotates_and_its_proofs_go_on(log):
    async with opened(log, checkpoint_records=2) as running:
        control = Control(running, log / "keys", unmoved)
        await control.open(log / "log")
        prover = Prover(LogReader(log / "log"), published(log), fresh=lambda: published(log))
        receipt, new = await rotated(log)
        await write_call(running, 60)
        check_proof(bytes(await asyncio.to_thread(prover.inclusion, receipt.n)), [new])
        prover.close()
        await control.close()
    assert judged(log, published(log)).ok


async def test_who_has_the_first_key_alone_follows_through_the_log(log):
    first = keys(log)
    await rotated(log)
    async with opened(log) as running:
        await write_call(running, 50)
    await rotated(log)
    for level in ("root", "full"):
        assert judged(log, first, level=level).ok
    assert judged(log, first, level="chain").exit_code == 4
    assert judged(log, first, since=5).exit_code == 4


async def test_nobody_follows_to_a_key_that_the_old_one_has_not_signed_over(log, tmp_path):
    """Whoever can write the folder but has no key writes a `key.rotate` of his own."""
    first = keys(log)
    thief = twin(log, tmp_path / "thief")
    shutil.rmtree(thief / "keys")
    mine = NoteSigner.open(thief / "keys")
    lines = LogReader(thief / "log")
    size = sum(1 for _ in lines.records())
    path = lines.folder.segment_list()[-1][1]
    last = list(lines.records())[-1]
    line = f'{{"n":{size},"prev":"{last.leaf}","t":{last.t},"k":"key.rotate","old":"{first[0]}","new":"{mine.key(ORIGIN)}"}}'.encode()
    path.write_bytes(path.read_bytes() + line + b"\n")
    note = mine.sign(ORIGIN, Checkpoint(ORIGIN, size + 1, bytes(32)).text)
    (thief / "log" / "checkpoint").write_bytes(note)
    (thief / "log" / "checkpoints").write_bytes((thief / "log" / "checkpoints").read_bytes() + note)
    assert judged(thief, first).exit_code == 4


@pytest.mark.parametrize("whose", ["old", "new"])
async def test_a_key_that_signs_outside_its_time_is_found(log, whose):
    old = NoteSigner.open(log / "keys")
    await rotated(log, keep=True)
    async with opened(log) as running:
        await write_call(running, 50)
    new = NoteSigner.open(log / "keys")
    size = published(log)[0].last + (2 if whose == "old" else -2)
    stolen = (old if whose == "old" else new).sign(ORIGIN, Checkpoint(ORIGIN, size, bytes(32)).text)
    (log / "log" / "checkpoint").write_bytes(stolen)
    report = judged(log, published(log))
    assert (report.exit_code, "may not sign" in report.message) == (4, True)


async def test_a_stop_between_record_and_keys_is_made_good_by_the_next_start(log):
    old = keys(log)[0]
    fresh = make_next(log / "keys", ORIGIN)
    async with opened(log) as running:
        await running.append("key.rotate", {"old": str(old), "new": str(fresh), "keeps": False, "why": "w"})
        await running.append("call", plain(1))
    assert keys(log)[0] == old, "the record is there, the keys are as they were"
    async with opened(log) as running:
        await write_call(running, 50)
    assert keys(log)[0] == fresh
    assert judged(log, published(log)).ok
    assert judged(log, (old,)).ok


async def test_a_next_key_that_no_record_names_is_not_used(log):
    old = keys(log)[0]
    make_next(log / "keys", ORIGIN)
    async with opened(log) as running:
        await write_call(running, 50)
    assert keys(log)[0] == old
    assert verified(log).ok


async def test_two_rotations_at_once_come_one_after_the_other(log):
    async with opened(log) as running:
        control = Control(running, log / "keys", unmoved)
        one, two = await asyncio.gather(*[control._answer(b'{"rotate":{"keeps":false,"why":"w"}}', 0) for _ in range(2)])
    first, second = [record.body for record in LogReader(log / "log").records() if record.kind == "key.rotate"]
    assert (first["new"], second["old"], second["new"]) == (one["key"], one["key"], two["key"])
    assert str(keys(log)[0]) == two["key"]
    assert judged(log, published(log)).ok


async def test_a_stop_between_record_and_keys_is_made_good_before_another_key_is_named(log):
    fresh = make_next(log / "keys", ORIGIN)
    async with opened(log) as running:
        await running.append("key.rotate", {"old": str(keys(log)[0]), "new": str(fresh), "keeps": False, "why": "w"})
    _, newest = await rotated(log)
    assert [key.id for key in published(log)][-2:] == [fresh.id, newest.id]
    assert judged(log, published(log)).ok


async def test_without_the_key_that_signs_none_is_made(log):
    (log / "keys").rename(log / "elsewhere")
    with pytest.raises(Problem, match="not here"):
        await rotated(log)
    assert not (log / "keys").exists()


async def test_a_key_that_cannot_be_used_is_told_and_not_rotated(log):
    async with opened(log) as running:
        size = running.size
        (log / "keys" / PRIVATE_FILE).chmod(0o644)
        answer = await Control(running, log / "keys", unmoved)._answer(b'{"rotate":{"keeps":false,"why":"w"}}', 0)
        assert ("can read" in answer["error"], "chmod 600" in answer["remedy"], running.size) == (True, True, size)


async def test_a_worker_cannot_rotate_the_key_and_says_what_to_do(tmp_path):
    with service(tmp_path) as found:
        log = await connect_log(settings(tmp_path), found.path)
        control = Control(log, tmp_path / "keys", unmoved)
        await control.open(tmp_path / "log")
        with pytest.raises(Problem, match=r"another process writes this log.*stop the gateway and the log's writer"):
            await rotated(tmp_path)
        await control.close()
        with pytest.raises(Problem, match=r"another process writes this log.*stop the gateway and the log's writer"):
            await rotated(tmp_path)
        await log.close()
    assert not (tmp_path / "keys" / NEXT_FILE).exists()
    await rotated(tmp_path)
    assert judged(tmp_path, published(tmp_path)).ok


async def test_the_private_key_that_was_is_overwritten(log):
    path = log / "keys" / PRIVATE_FILE
    with path.open("rb") as stream:  # the file itself, whatever name it has
        before = stream.read()
        await rotated(log)
        stream.seek(0)
        assert stream.read() == bytes(len(before))


def test_keys_come_back_with_their_sizes_and_gaps_are_found():
    one, two = NoteKey("a", bytes(32), 0, 9), NoteKey("a", bytes([1] * 32), 9, None)
    found = parse_keys(keys_text([one, two]))
    assert [(key.public, key.first, key.last) for key in found] == [(one.public, 0, 9), (two.public, 9, None)]
    with pytest.raises(BadNote, match="sizes 10 to 10"):
        parse_keys(keys_text([one, NoteKey("a", bytes([1] * 32), 11, None)]))
    with pytest.raises(BadNote, match="from 10 on"):
        parse_keys(keys_text([one]))


async def test_without_a_gateway_that_answers_nothing_is_written_past_it(log):
    async with opened(log):
        with pytest.raises(Problem, match="another process writes"):
            await rotated(log)


async def test_a_broken_line_that_speaks_of_keys_is_a_finding_and_no_crash(log):
    old = keys(log)
    await rotated(log)
    for path in (log / "log" / "log").iterdir():
        path.write_bytes(path.read_bytes().replace(b'"k":"key.rotate",', b'"k":"key.rotate"'))
    report = judged(log, old)
    assert report.exit_code == 1, report
