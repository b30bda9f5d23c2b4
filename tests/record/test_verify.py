"""Tampering: whatever is done to the files of a log, `verify_folder` finds it."""

import asyncio
import shutil
from pathlib import Path

import pytest

from gateway.canonical import loads_trusted
from gateway.record import NoteSigner, Question, verify_folder, verify_log
from gateway.record.line import genesis, line_of, rest_of
from gateway.record.note import Checkpoint
from gateway.record.tree import Frontier, leaf_hash
from tests.record.world import ENTITIES, ORIGIN, files, keys, lines, opened, plain, signed_by_its_own_key, small_log, twin, verified, write_call

ATTACKED = ["00000000000000000000.jsonl", "00000000000000000004.jsonl", "00000000000000000008.jsonl", "checkpoints", "checkpoint", "origin"]


@pytest.fixture
async def log(tmp_path) -> Path:
    await small_log(tmp_path, calls=3)
    assert verified(tmp_path).ok
    assert len(files(tmp_path)) > 1
    return tmp_path


def place(folder: Path, name: str) -> Path:
    return folder / "log" / ("log" if name.endswith(".jsonl") else "") / name


def rewrite(folder: Path, changed: list[bytes]) -> None:
    """Put other lines into the segments; each keeps as many as it had, the last takes the rest."""
    paths = files(folder)
    for path in paths[:-1]:
        count = path.read_bytes().count(b"\n")
        path.write_bytes(b"".join(line + b"\n" for line in changed[:count]))
        changed = changed[count:]
    paths[-1].write_bytes(b"".join(line + b"\n" for line in changed))


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKED)
def test_every_changed_byte_is_found(log, name):
    path, known = place(log, name), keys(log)
    sound = path.read_bytes()
    missed = []
    for at in range(len(sound)):
        for change in (0x01, 0x20, 0x80):
            path.write_bytes(sound[:at] + bytes([sound[at] ^ change]) + sound[at + 1 :])
            if verify_folder(log / "log", keys=known).ok:
                missed.append((at, change))
    path.write_bytes(sound)
    assert missed == []
    assert verified(log).ok


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTACKED)
def test_every_truncation_is_found(log, name):
    path, known = place(log, name), keys(log)
    sound = path.read_bytes()
    for end in range(len(sound)):
        path.write_bytes(sound[:end])
        assert not verify_folder(log / "log", keys=known).ok, end


@pytest.mark.parametrize("level", ["chain", "root", "full"])
def test_a_record_deleted_doubled_or_moved_is_found(log, level):
    sound = lines(log)
    broken = []
    for i in range(len(sound)):
        broken.append(sound[:i] + sound[i + 1 :])
        broken.append([*sound[: i + 1], sound[i], *sound[i + 1 :]])
        broken.append([*sound[:i], b"", *sound[i:]])
        broken += [[*sound[:i], sound[j], *sound[i + 1 : j], sound[i], *sound[j + 1 :]] for j in range(i + 1, len(sound))]
        broken += [[*sound[:i], sound[j], *sound[i:]] for j in range(len(sound))]
    for changed in broken:
        rewrite(log, list(changed))
        assert not verified(log, level=level).ok, [line[:12] for line in changed]
    rewrite(log, sound)
    assert verified(log, level=level).ok


def test_the_first_bad_record_is_named_with_its_place(log):
    sound = lines(log)
    rewrite(log, [*sound[:2], sound[2].replace(b'"status":"ok"', b'"status":"no"'), *sound[3:]])
    report = verified(log, level="chain")
    assert (report.exit_code, report.first_bad) == (1, 3)  # the chain sees it in the record after
    assert report.segment == files(log)[0].name
    assert report.offset == sum(len(line) + 1 for line in sound[:3])


def forge(folder: Path, change, *, heads: bool = True) -> None:
    """Rewrite a log as someone without the key can: every line new, chain and segments consistent, checkpoints as they were."""
    prev, t, changed = genesis(ORIGIN), 0, []
    tree = Frontier()
    for line in lines(folder):
        members = loads_trusted(line)
        change(members)
        n, t = members.pop("n"), members.pop("t")
        members.pop("prev")
        kind = members.pop("k")
        if kind == "seg.open" and heads:
            members = {"size": n, "root": tree.root().hex(), "frontier": tree.as_json(), "open_calls": members["open_calls"]}
        new = line_of(n, prev, t, rest_of(kind, members))
        prev = leaf_hash(new)
        tree.push(prev)
        changed.append(new)
    rewrite(folder, changed)


def hide_a_failure(members) -> None:
    if members["n"] == 2:
        members["http"] = 500


def test_a_log_rewritten_from_end_to_end_without_the_key_is_found(log):
    forge(log, lambda _: None)
    assert verified(log).ok  # the forger changes nothing by accident
    forge(log, hide_a_failure)
    report = verified(log)
    assert report.exit_code == 1
    assert "signed" in report.message


@pytest.mark.parametrize("strip", ["signature", "all notes", "both files", "latest"])
def test_a_log_without_its_signatures_fails_and_is_never_skipped(log, strip):
    forge(log, hide_a_failure)
    latest, listed = log / "log" / "checkpoint", log / "log" / "checkpoints"
    text = latest.read_bytes().partition(b"\n\n")[0] + b"\n\n"
    if strip == "signature":
        latest.write_bytes(text)
        listed.write_bytes(text)
    if strip == "all notes":
        latest.write_bytes(b"")
        listed.write_bytes(b"")
    if strip == "both files":
        latest.unlink()
        listed.unlink()
    if strip == "latest":
        latest.unlink()
    for level in ("chain", "root", "full"):
        assert verified(log, level=level).exit_code in {3, 4}


def test_a_checkpoint_signed_by_another_key_fails(log):
    forge(log, hide_a_failure)
    tree = Frontier()
    for line in lines(log):
        tree.push(leaf_hash(line))
    forger = NoteSigner.open(log / "forger")
    note = forger.sign(ORIGIN, Checkpoint(ORIGIN, tree.size, tree.root()).text)
    for name in ("checkpoint", "checkpoints"):
        (log / "log" / name).write_bytes(note)
    for level in ("chain", "root", "full"):
        assert verified(log, level=level).exit_code == 4
    assert verify_folder(log / "log", keys=keys(log / "nobody")).exit_code == 4
    assert verify_folder(log / "log", keys=()).exit_code == 4


def test_a_checkpoint_that_names_another_log_fails_whoever_signed_it(log):
    sound = Checkpoint("gw.example/other", 9, b"\0" * 32)
    (log / "log" / "checkpoint").write_bytes(NoteSigner.open(log / "keys").sign(ORIGIN, sound.text))
    report = verified(log, level="chain")
    assert report.exit_code == 4
    assert "another log" in report.message


async def test_records_and_checkpoints_of_another_log_do_not_pass_for_this_one(log, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(log / "keys", other / "keys")
    await small_log(other, calls=3, origin="gw.example/other")
    own = verify_folder(other / "log", keys=keys(other, "gw.example/other"))
    assert own.ok
    assert verify_folder(other / "log", keys=keys(other)).exit_code == 4
    assert verify_folder(other / "log", keys=keys(other, "gw.example/other"), origin=ORIGIN).exit_code == 1
    for path, mine in zip(files(other), files(log), strict=False):
        sound = mine.read_bytes()
        mine.write_bytes(path.read_bytes())
        assert not verified(log).ok
        mine.write_bytes(sound)
    for name in ("checkpoint", "checkpoints", "origin"):
        sound = (log / "log" / name).read_bytes()
        (log / "log" / name).write_bytes((other / "log" / name).read_bytes())
        assert not verified(log).ok
        (log / "log" / name).write_bytes(sound)
    assert verified(log).ok


def test_a_missing_segment_is_incomplete_wherever_it_stood(log):
    *earlier, last = files(log)
    for path in earlier:
        sound = path.read_bytes()
        path.unlink()
        report = verified(log)
        assert report.exit_code == 3
        assert report.first_bad == int(path.stem)
        path.write_bytes(sound)
    sound = last.read_bytes()
    last.unlink()
    assert verified(log).exit_code == 1  # nothing but the checkpoint says that there was more
    last.write_bytes(sound)
    assert verified(log).ok


@pytest.mark.parametrize("by", [-1, 1])
def test_a_segment_under_another_number_is_found(log, by):
    path = files(log)[1]
    path.rename(path.with_name(f"{int(path.stem) + by:020d}.jsonl"))
    assert verified(log, level="chain").exit_code in {1, 3}


def test_a_missing_object_is_incomplete_and_a_changed_one_is_tampered(log):
    path = next((log / "log" / "objects").rglob(f"{ENTITIES.digest[7:]}.zst"))
    sound = path.read_bytes()
    for at in range(len(sound)):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        assert verified(log).exit_code == 1, at
    for other in (b"", sound[:-1], sound + b"x", sound + sound):
        path.write_bytes(other)
        assert verified(log).exit_code == 1
    path.unlink()
    assert verified(log).exit_code == 3
    assert verified(log, level="root").ok  # that level does not look at objects, and says so


async def test_a_log_set_back_with_its_checkpoints_is_found_by_a_pin(tmp_path):
    folder, pin = tmp_path / "a", tmp_path / "pin"
    await small_log(folder)
    early = twin(folder, tmp_path / "early")
    assert verified(folder, pin=pin).ok
    await small_log(folder)
    assert verified(folder, pin=pin).ok
    assert pin.read_bytes() == (folder / "log" / "checkpoint").read_bytes()
    assert verified(early).ok  # nothing in the folder itself can tell
    report = verified(early, pin=pin)
    assert report.exit_code == 1
    assert "signed" in report.message


async def test_a_second_history_under_the_same_key_is_found_by_a_pin(tmp_path):
    folder, pin = tmp_path / "a", tmp_path / "pin"
    await small_log(folder)
    fork = twin(folder, tmp_path / "fork")
    async with opened(folder) as log:
        await write_call(log, 100)
    async with opened(fork) as log:
        await write_call(log, 200)
        await write_call(log, 201)
    assert verified(fork).ok
    assert verified(folder, pin=pin).ok
    kept = pin.read_bytes()
    for level in ("chain", "root", "full"):
        assert verified(fork, pin=pin, level=level).exit_code == 1
    assert pin.read_bytes() == kept


def test_a_pin_that_is_forged_fails(log, tmp_path):
    pin = tmp_path / "pin"
    assert verified(log, pin=pin).ok
    pin.write_bytes(pin.read_bytes().replace(b"\n\n", b"0\n\n"))
    assert verified(log, pin=pin).exit_code == 4


async def test_records_after_the_newest_checkpoint_are_reported_as_unsigned(tmp_path):
    async with opened(tmp_path, checkpoint_records=1_000) as log:
        for number in range(4):
            await write_call(log, number)
        report = verified(tmp_path)
        assert report.ok
        assert (report.size, report.signed, report.unsigned) == (9, 1, 8)


@pytest.mark.parametrize(
    ("n", "change"),
    [
        (4, lambda m: m.update(open_calls=[1])),
        (0, lambda m: m.update(origin="gw.example/other")),
        (0, lambda m: m.update(k="call")),
        (4, lambda m: m.update(k="call", authz=None)),
        (5, lambda m: m.update(k="seg.open", open_calls=[3])),
        (6, lambda m: m.update(t=1)),
    ],
)
def test_even_the_gateways_own_key_cannot_sign_a_log_that_contradicts_itself(log, n, change):
    """A writer with a fault (or an intruder with the key) is held to the format: heads of segments, times, first record."""
    forge(log, lambda members: change(members) if members["n"] == n else None)
    signed_by_its_own_key(log)
    assert verified(log, level="root").ok
    report = verified(log, level="full")
    assert report.exit_code == 1
    assert report.first_bad in {n, n + 1}


def test_checkpoints_that_go_back_in_size_are_found(log):
    path = log / "log" / "checkpoints"
    notes = path.read_bytes().split(f"{ORIGIN}\n".encode())[1:]
    assert len(notes) > 2
    path.write_bytes(b"".join(f"{ORIGIN}\n".encode() + note for note in [notes[1], notes[0], *notes[2:]]))
    report = verified(log)
    assert report.exit_code == 1
    assert "goes back" in report.message


def test_a_line_without_end_does_not_fill_the_memory(log):
    path = files(log)[-1]
    path.write_bytes(b"x" * (8 << 20))
    assert verified(log).exit_code in {1, 3}


def test_a_folder_that_is_no_log_is_incomplete_not_an_error(tmp_path):
    assert verify_folder(tmp_path / "none", keys=keys(tmp_path)).exit_code == 3
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "origin").write_bytes(b"\xff\n")
    assert verified(tmp_path).exit_code == 3


async def test_progress_is_told_while_a_long_log_is_read(tmp_path):
    async with opened(tmp_path) as log:
        await asyncio.gather(*(log.append("call", plain(i)) for i in range(4_096)))
    seen: list[int] = []
    assert verified(tmp_path, progress=seen.append).ok
    assert seen == [4_096]


async def test_bytes_behind_the_last_line_are_reported_and_harm_no_signed_record(tmp_path):
    await small_log(tmp_path)
    sound = files(tmp_path)[-1].read_bytes()
    files(tmp_path)[-1].write_bytes(sound + b'{"n":')
    report = verified(tmp_path)
    assert report.exit_code == 3
    assert report.offset == len(sound)


@pytest.mark.parametrize("digest", [[], {}, 7, True, "x", "sha256:../../../etc/passwd"])
def test_a_name_that_is_no_digest_is_a_finding_and_no_crash(log, digest):
    forge(log, lambda members: members["authz"].update(schema=digest) if members["n"] == 1 else None)
    signed_by_its_own_key(log)
    report = verified(log)
    assert report.exit_code in {1, 3}
    assert report.first_bad == 1


@pytest.mark.parametrize("since", [0, 5, 8])
def test_an_emptied_list_of_checkpoints_is_a_finding_also_from_a_later_segment_on(log, since):
    (log / "log" / "checkpoints").write_bytes(b"")
    report = verify_log(log / "log", keys(log), Question(since=since))
    assert report.exit_code in {1, 3}, report
