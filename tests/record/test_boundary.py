"""A look that begins in the middle: what is after that place is held to everything, and that place to a signature."""

from pathlib import Path

import pytest

from gateway.canonical import loads_trusted
from gateway.record import Question, verify_log
from tests.record.test_verify import forge
from tests.record.world import ORIGIN, files, keys, lines, signed_by_its_own_key, small_log


@pytest.fixture
async def log(tmp_path) -> Path:
    await small_log(tmp_path, calls=5)
    assert len(files(tmp_path)) > 3
    return tmp_path


def looked(folder: Path, **question):
    return verify_log(folder / "log", keys(folder), Question(**question))


def heads(folder: Path) -> list[int]:
    return [int(path.stem) for path in files(folder)]


def test_a_look_begins_at_the_head_of_the_segment_that_holds_the_record(log):
    size = len(lines(log))
    for n in range(size + 3):
        report = looked(log, since=n)
        assert report.ok
        assert report.since == max(first for first in heads(log) if first <= n)
        assert (report.size, report.segments) == (size, sum(first >= report.since for first in heads(log)))
        assert report.root == looked(log).root


def test_a_look_since_a_time_misses_no_record_of_that_time_or_later(log):
    times = [loads_trusted(line)["t"] for line in lines(log)]
    for t in [0, times[0] - 1, *times, times[-1] + 1]:
        report = looked(log, since_t=t)
        assert report.ok
        later = [n for n, found in enumerate(times) if found >= t]
        assert report.since <= min(later, default=len(times))
    assert looked(log, since_t=times[-1] + 1).since == heads(log)[-1]


def test_what_was_changed_before_is_not_seen_and_what_was_changed_after_is(log):
    first, *_, last = files(log)
    sound = first.read_bytes()
    first.write_bytes(sound.replace(b'"http":200', b'"http":500', 1))
    assert not looked(log).ok
    assert looked(log, since=heads(log)[1]).ok
    first.write_bytes(sound)
    last.write_bytes(last.read_bytes().replace(b"log.close", b"log.cease", 1))
    for level in ("chain", "root", "full"):
        assert looked(log, since=heads(log)[1], level=level).exit_code == 1


def test_a_look_since_a_place_is_never_a_look_at_links_alone(log):
    assert looked(log, since=heads(log)[1], level="chain").level == "root"


def hide(members) -> None:
    if members["n"] == 2:
        members["http"] = 500


def test_a_head_that_no_checkpoint_confirms_is_no_place_to_begin(log):
    """The head's own word would be enough to hide a forged past."""
    second = heads(log)[1]
    forge(log, hide)
    assert looked(log, since=second).exit_code == 1
    path = log / "log" / "checkpoints"
    notes = [f"{ORIGIN}\n".encode() + note for note in path.read_bytes().split(f"{ORIGIN}\n".encode())[1:]]
    path.write_bytes(b"".join(note for note in notes if int(note.split(b"\n")[1]) != second))
    report = looked(log, since=second)
    assert (report.exit_code, report.first_bad) == (3, second)


def test_a_confirmation_with_a_forged_signature_is_a_fault_of_the_signature(log):
    second = heads(log)[1]
    path = log / "log" / "checkpoints"
    data = bytearray(path.read_bytes())
    at = data.index(b"=\n", data.index(f"{ORIGIN}\n{second}\n".encode()) + 120) - 8
    data[at] = data[at] + 1 if data[at : at + 1] in b"ABCDEF" else ord("A")
    path.write_bytes(bytes(data))
    assert looked(log, since=second).exit_code == 4


@pytest.mark.parametrize(
    "head", [b"", b"{", b"[]", b"7", b'{"size":3}', b'{"n":4,"size":4,"frontier":[1],"prev":1}', b'{"n":4,"size":4,"frontier":4,"root":null}']
)
def test_a_head_that_says_nothing_is_a_broken_log(log, head):
    path = files(log)[1]
    path.write_bytes(head + b"\n" + path.read_bytes().partition(b"\n")[2])
    assert looked(log, since=heads(log)[1]).exit_code == 1
    assert looked(log, since_t=2**62).ok
    assert not looked(log).ok


def test_a_false_time_in_a_head_leads_to_that_head_and_so_to_its_fault(log):
    for at, path in enumerate(files(log)):
        sound = path.read_bytes()
        t = loads_trusted(sound.split(b"\n")[0])["t"]
        for lie in (1, t - 1, t + 10**15):
            path.write_bytes(sound.replace(b'"t":%d' % t, b'"t":%d' % lie, 1))
            report = looked(log, since_t=t + 1)
            assert not report.ok or report.since > heads(log)[at] or report.since == heads(log)[at] == 0, (at, lie)
        path.write_bytes(sound)


def test_a_pin_older_than_the_place_moves_it_back(log, tmp_path):
    pin = tmp_path / "pin"
    notes = (log / "log" / "checkpoints").read_bytes().split(f"{ORIGIN}\n".encode())[1:]
    pin.write_bytes(f"{ORIGIN}\n".encode() + notes[0])
    report = looked(log, since=heads(log)[-1], pin=pin)
    assert (report.ok, report.since) == (True, 0)
    assert looked(log, since=heads(log)[-1], pin=pin).since == heads(log)[-1]


def test_a_log_that_is_signed_again_after_a_forgery_is_held_to_its_pin_all_the_same(log, tmp_path):
    pin = tmp_path / "pin"
    assert looked(log, pin=pin).ok
    forge(log, hide)
    signed_by_its_own_key(log)
    assert looked(log).ok
    assert looked(log, since=heads(log)[-1], pin=pin).exit_code == 1
