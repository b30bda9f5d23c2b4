"""Segments looked at side by side give the report that one walk gives, whatever was done to the log."""

import multiprocessing
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.record import Question, Report, verify_log
from gateway.record.due import Span, Trust
from gateway.record.folder import LogFolder
from gateway.record.note import open_checkpoint
from gateway.record.parts import Task, walk_parts
from gateway.record.walk import Reached
from tests.record.test_verify import forge, rewrite
from tests.record.world import ORIGIN, files, keys, lines, signed_by_its_own_key, small_log

WHOLE = Question()
LEVELS = ["chain", "root", "full"]
ATTACKED = ["00000000000000000000.jsonl", "00000000000000000004.jsonl", "00000000000000000008.jsonl", "checkpoints", "checkpoint"]


class Here(Executor):
    """A pool of no processes: what is submitted is done at once."""

    def submit(self, work, /, *given, **named) -> Future:
        done: Future = Future()
        done.set_result(work(*given, **named))
        return done


class Killed(Executor):
    """A pool whose processes were killed."""

    def submit(self, work, /, *given, **named) -> Future:
        done: Future = Future()
        done.set_exception(BrokenExecutor("a process was killed"))
        return done


@pytest.fixture
async def log(tmp_path) -> Path:
    await small_log(tmp_path, calls=3)
    return tmp_path


def agreed(folder: Path, question: Question = WHOLE, pool: Executor | None = None) -> Report:
    """The report, after seeing that both ways of looking give the same."""
    known = keys(folder)
    alone, beside = (verify_log(folder / "log", known, replace(question, pool=found)) for found in (None, pool or Here()))
    assert replace(alone, elapsed_s=0, checkpoint_age_s=0) == replace(beside, elapsed_s=0, checkpoint_age_s=0)
    return alone


def handed(folder: Path, level) -> int:
    """How many segments the parts have done."""
    at = LogFolder(folder / "log")
    latest = open_checkpoint(at.checkpoint.read_bytes(), keys(folder))
    span = Span(0, 0 if level == "chain" else at.checkpoints.stat().st_size)
    task = Task(at.path, Trust(ORIGIN, keys(folder)), level, latest, None, span, None)
    return walk_parts(Here(), task, at.segment_list(), Reached.beginning(ORIGIN), None).segments


@pytest.mark.parametrize("level", LEVELS)
def test_a_sound_log_is_done_by_its_parts_alone(log, level, tmp_path):
    assert agreed(log, Question(level)).ok
    assert handed(log, level) == len(files(log)) > 2
    for since in range(len(lines(log)) + 2):
        report = agreed(log, Question(level, since=since))
        assert report.ok
        assert report.since <= since
    for _ in range(2):
        assert agreed(log, Question(level, pin=tmp_path / "pin")).ok


def test_parts_are_done_in_processes_of_their_own(log):
    with ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        assert agreed(log, pool=pool).ok
        path = files(log)[1]
        path.write_bytes(path.read_bytes().replace(b'"http":200', b'"http":500', 1))
        assert agreed(log, pool=pool).exit_code == 1


def test_when_the_processes_are_killed_one_walk_does_it_all(log):
    assert agreed(log, pool=Killed()).ok


@pytest.mark.slow
@pytest.mark.parametrize("level", ["chain", "full"])
@pytest.mark.parametrize("name", ATTACKED)
def test_every_changed_byte_is_reported_alike(log, name, level):
    path = log / "log" / ("log" if name.endswith(".jsonl") else "") / name
    sound = path.read_bytes()
    for at in range(0, len(sound), 2):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0x01]) + sound[at + 1 :])
        report = agreed(log, Question(level))
        assert not report.ok or level == "chain", at
    path.write_bytes(sound)
    for end in range(0, len(sound), 17):
        path.write_bytes(sound[:end])
        agreed(log, Question(level))


@pytest.mark.parametrize("level", LEVELS)
def test_records_deleted_doubled_or_moved_are_reported_alike(log, level):
    sound = lines(log)
    for i in range(len(sound)):
        for changed in (sound[:i] + sound[i + 1 :], [*sound[: i + 1], sound[i], *sound[i + 1 :]], [*sound[:i], sound[-1], *sound[i:]]):
            rewrite(log, list(changed))
            assert not agreed(log, Question(level)).ok


def test_missing_and_renamed_segments_are_reported_alike(log):
    for path in files(log):
        sound = path.read_bytes()
        path.unlink()
        assert not agreed(log).ok
        moved = path.with_name(f"{int(path.stem) + 1:020d}.jsonl")
        moved.write_bytes(sound)
        assert not agreed(log).ok
        moved.unlink()
        path.write_bytes(sound)
    assert agreed(log).ok


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("n", "change"),
    [
        (4, lambda m: m.update(open_calls=[1])),
        (4, lambda m: m.update(frontier=[], size=0)),
        (4, lambda m: m.update(root="0" * 64)),
        (4, lambda m: m.update(open_calls=["x"])),
        (4, lambda m: m.update(open_calls={})),
        (4, lambda m: m.update(k="call", authz=None)),
        (3, lambda m: m.update(t=2**60)),
    ],
)
def test_a_head_that_lies_is_not_believed_even_when_the_log_is_signed_so(log, level, n, change):
    forge(log, lambda members: change(members) if members["n"] == n else None, heads=False)
    signed_by_its_own_key(log)
    report = agreed(log, Question(level))
    assert report.ok == (level != "full")


def test_a_list_of_checkpoints_out_of_order_is_reported_alike(log):
    path = log / "log" / "checkpoints"
    sound = path.read_bytes()
    notes = sound.split(f"{ORIGIN}\n".encode())[1:]
    for changed in ([notes[1], notes[0], *notes[2:]], notes[:-1], [*notes, notes[0]], [notes[0], b"x\ny\n\nz\n", *notes[1:]], notes[2:]):
        path.write_bytes(b"".join(f"{ORIGIN}\n".encode() + note for note in changed))
        agreed(log)
    path.write_bytes(b"")
    assert not agreed(log).ok
