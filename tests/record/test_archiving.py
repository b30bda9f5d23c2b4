import fcntl
import os

import pytest

from gateway.errors import Problem
from gateway.record import LogReader, Prover, Query, find_calls
from gateway.record.archiving import archive, sealed
from gateway.record.folder import LogFolder
from gateway.record.sidecar import Sidecar
from tests.record.world import files, keys, lines, opened, small_log, twin, verified, write_call


def everything(folder):
    """What readers of all kinds say of a log."""
    reader = LogReader(folder / "log")
    prover = Prover(reader, keys(folder))
    size = prover.checkpoint().size
    proofs = [bytes(prover.inclusion(n)) for n in range(size)]
    prover.close()
    return ([record.line for record in reader.records()], [reader.find(n).line for n in range(size)], [r.line for r in reader.newest(5)], proofs)


@pytest.fixture
async def log(tmp_path):
    await small_log(tmp_path / "a", calls=8)
    return tmp_path / "a"


async def test_every_reader_and_proof_says_the_same_of_a_packed_log(log, tmp_path):
    whole = twin(log, tmp_path / "b")
    expected = everything(whole)
    done = archive(LogFolder(log / "log"))
    assert len(done) == len(files(whole)) - 1 > 2
    assert sorted(path.suffix for path in files(log)).count(".zst") == len(done)
    assert everything(log) == expected
    for level in ("chain", "root", "full"):
        report = verified(log, level=level)
        assert report.ok, report
        before = verified(whole, level=level)
        assert (report.root, report.size, report.segments) == (before.root, before.size, before.segments)


async def test_calls_are_found_by_an_index_from_before_and_one_from_after(log):
    reader = LogReader(log / "log")

    def found():
        return [call.n for call in find_calls(reader, Query(limit=50))]

    before = found()
    archive(reader.folder)
    assert found() == before
    (log / "log" / "index.db").unlink()
    assert found() == before


async def test_the_writer_goes_on_with_a_packed_log(log):
    archive(LogFolder(log / "log"))
    async with opened(log, segment_bytes_max=1_000, checkpoint_records=4) as running:
        await write_call(running, 100)
        archive(LogFolder(log / "log"))
        await write_call(running, 101)
    assert verified(log).ok


async def test_the_segment_that_is_written_is_never_packed(log):
    folder = LogFolder(log / "log")
    archive(folder)
    assert folder.segment_list()[-1][1].suffix == ".jsonl"
    assert archive(folder) == [], "what is packed stays packed"


async def test_one_whose_successor_has_no_head_yet_counts_as_being_written(log):
    folder = LogFolder(log / "log")
    last = folder.segment_list()[-1]
    last[1].write_bytes(b"")
    assert last[0] not in {state.size for _, _, state in sealed(folder)}


async def test_what_a_sidecar_says_is_so(log):
    found = archive(LogFolder(log / "log"))
    stored = [Sidecar.read(path) for path in sorted((log / "log" / "log").glob("*.leaves"))]
    assert stored == found
    assert [found[0].first, *(side.end for side in found[:-1])] == [side.first for side in found]
    assert found[0].first_t <= found[0].last_t <= found[1].first_t


async def test_a_damaged_segment_is_not_packed(log):
    folder = LogFolder(log / "log")
    _, path = folder.segment_list()[1]
    data = path.read_bytes()
    path.write_bytes(data.replace(b"call-", b"cell-", 1))
    with pytest.raises(Problem, match="does not lead"):
        archive(folder)
    assert path.exists()
    assert not folder.leaves_of(int(path.stem)).exists()


async def test_a_stop_between_packing_and_removing_leaves_both_and_the_next_run_finishes(log):
    folder = LogFolder(log / "log")
    expected = lines(log)
    first, path = folder.segment_list()[0]
    data = path.read_bytes()
    archive(folder)
    path.write_bytes(data)
    assert folder.segment_list()[0] == (first, path)
    assert verified(log).ok
    archive(folder)
    assert not path.exists()
    assert [record.line for record in LogReader(log / "log").records()] == expected


async def test_a_packed_segment_with_other_bytes_is_tampered_with(log):
    archive(LogFolder(log / "log"))
    path = next(iter((log / "log" / "log").glob("*.zst")))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    report = verified(log)
    assert (report.exit_code, report.segment) == (1, path.name)


async def test_only_one_command_archives_at_a_time(log):
    descriptor = os.open(log / "log" / "archive.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    with pytest.raises(Problem, match="another command"):
        archive(LogFolder(log / "log"))
    os.close(descriptor)
