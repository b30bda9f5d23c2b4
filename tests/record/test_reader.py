import asyncio
import threading

import pytest

from gateway.errors import Problem
from gateway.record import BadNote, LogReader
from gateway.record.reader import lines_of
from tests.record.world import files, keys, lines, opened, plain, small_log, write_call


async def test_records_are_read_from_any_place_across_segments(tmp_path):
    await small_log(tmp_path, calls=6)
    assert len(files(tmp_path)) > 2
    reader = LogReader(tmp_path / "log")
    stored = lines(tmp_path)
    for start in range(len(stored) + 1):
        assert [r.line for r in reader.records(start)] == stored[start:]
    for n, line in enumerate(stored):
        found = reader.find(n)
        assert found.line == line
        assert (tmp_path / "log" / "log" / found.segment).read_bytes()[found.offset :].startswith(line + b"\n")
    for count in range(1, len(stored) + 3):
        assert [r.line for r in reader.newest(count)] == stored[-count:]


async def test_a_number_the_log_has_not_reached_is_a_problem(tmp_path):
    await small_log(tmp_path)
    for n in (-1, len(lines(tmp_path)), 10**19):
        with pytest.raises(Problem, match="no record"):
            LogReader(tmp_path / "log").find(n)


async def test_the_outcome_of_a_call_is_found_behind_it(tmp_path):
    async with opened(tmp_path) as log:
        n = await write_call(log, 1)
        open_call = await log.append("call", {"id": "open", "authz": {"decision": "allow"}, "code": ""})
        await log.append("recover", {"status": "unknown", "calls": [open_call.n], "torn": []})
    reader = LogReader(tmp_path / "log")
    assert reader.outcome(reader.find(n)).kind == "result"
    assert reader.outcome(reader.find(open_call.n)).kind == "recover"
    assert reader.outcome(reader.find(n + 1)) is None


async def test_following_shows_each_signed_record_once_and_no_unsigned_one(tmp_path):
    seen, stop = [], threading.Event()

    def follow() -> None:
        reader = LogReader(tmp_path / "log")
        seen.extend(record.n for record in reader.follow(0, keys(tmp_path), pause_s=0.001, stopped=stop.is_set))

    async with opened(tmp_path, segment_bytes_max=2_000, checkpoint_records=5) as log:
        thread = threading.Thread(target=follow)
        thread.start()
        for number in range(20):
            await log.append("call", plain(number))
            assert len(seen) <= log.size  # asked in this order: the log only grows
    size = len(lines(tmp_path))
    while len(seen) < size:
        await asyncio.sleep(0.001)
    stop.set()
    thread.join()
    assert seen == list(range(size))


async def test_following_stops_at_a_forged_checkpoint(tmp_path):
    await small_log(tmp_path)
    path = tmp_path / "log" / "checkpoint"
    path.write_bytes(path.read_bytes().replace(b"\n\n", b"0\n\n"))
    with pytest.raises(BadNote):
        next(LogReader(tmp_path / "log").follow(0, keys(tmp_path)))


@pytest.mark.parametrize("tail", [b"", b"x", b"x" * 70_000])
def test_lines_end_at_the_newline_byte_only(tmp_path, tail):
    text = "a\u2028b\u0085c\rd\x0be".encode()
    path = tmp_path / "file"
    path.write_bytes(text + b"\n\n" + text * 30_000 + b"\n" + tail)
    found = [(line, whole) for _, line, whole in lines_of(path)]
    assert found[:2] == [(text, True), (b"", True)]
    assert all(b"\n" not in line for line, _ in found)
    assert not found[-1][1] or not tail, "what has no end is not passed off as a line"


def test_a_line_without_end_is_given_up_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"ok\n" + b"x" * (5 << 20))
    (_, first, _), (_, second, whole) = lines_of(path)
    assert (first, whole) == (b"ok", False)
    assert len(second) < 2 << 20


def test_a_folder_without_a_log_says_what_to_name(tmp_path):
    with pytest.raises(Problem) as found:
        LogReader(tmp_path)
    assert "origin" in found.value.remedy
