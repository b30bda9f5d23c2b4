import os
import shutil
import threading

import pytest

from gateway.record import LogReader
from gateway.record.folder import LogFolder
from gateway.record.leaves import Leaves, LeavesBroken
from gateway.record.tree import EMPTY_ROOT, Frontier, leaf_hash
from tests.record.world import files, lines, opened, plain, small_log

PLENTY = 700
"""More than two full subtrees of 256, so that a second column is in use."""


async def long_log(folder, count=PLENTY, **changes) -> None:
    async with opened(folder, segment_bytes_max=40_000, **changes) as log:
        futures = [log.append("call", plain(number)) for number in range(count)]
        for future in futures:
            await future


def index_of(folder) -> Leaves:
    return Leaves(LogFolder(folder / "log"))


def roots(stored: list[bytes]) -> list[bytes]:
    tree = Frontier()
    found = [tree.root()]
    for line in stored:
        tree.push(leaf_hash(line))
        found.append(tree.root())
    return found


async def test_the_index_holds_every_leaf_and_gives_every_root(tmp_path):
    await long_log(tmp_path)
    stored = lines(tmp_path)
    leaves = index_of(tmp_path)
    leaves.grow(len(stored))
    assert leaves.size == len(stored) > PLENTY
    assert [leaves.leaf(n) for n in range(len(stored))] == [leaf_hash(line) for line in stored]
    assert [leaves.root(0, size) for size in range(len(stored) + 1)] == roots(stored)
    assert leaves.root(0, 0) == EMPTY_ROOT
    assert (tmp_path / "log" / "idx" / "hashes.8").stat().st_size == 32 * (len(stored) >> 8)
    leaves.close()


async def test_the_index_grows_in_any_steps_over_any_segments_to_the_same(tmp_path):
    await long_log(tmp_path, 300)
    stored = lines(tmp_path)
    assert len(files(tmp_path)) > 1
    for step in (1, 7, 255, 256, 257):
        shutil.rmtree(tmp_path / "log" / "idx", ignore_errors=True)
        for size in range(step, len(stored) + 1, step):
            leaves = index_of(tmp_path)
            leaves.grow(size)
            assert leaves.size == size
            leaves.close()
        leaves = index_of(tmp_path)
        leaves.grow(len(stored))
        assert leaves.root(0, len(stored)) == roots(stored)[-1]
        leaves.close()


async def test_a_record_is_read_at_its_place(tmp_path):
    await small_log(tmp_path)
    reader = LogReader(tmp_path / "log")
    leaves = Leaves(reader.folder)
    stored = list(reader.records())
    leaves.grow(len(stored))
    assert [leaves.record(n) for n in range(len(stored))] == stored
    leaves.close()


async def test_more_records_than_there_are_cannot_be_had(tmp_path):
    await small_log(tmp_path)
    count = len(lines(tmp_path))
    leaves = index_of(tmp_path)
    with pytest.raises(LeavesBroken, match=f"{count} of {count + 1}"):
        leaves.grow(count + 1)
    leaves.grow(count)
    with pytest.raises(LeavesBroken):
        leaves.leaf(count)
    with pytest.raises(LeavesBroken):
        leaves.root(0, count + 1)
    leaves.close()


async def test_a_missing_segment_is_noticed(tmp_path):
    await small_log(tmp_path, 8)
    gone = files(tmp_path)[1]
    count = len(lines(tmp_path))
    gone.unlink()
    leaves = index_of(tmp_path)
    with pytest.raises(LeavesBroken, match="missing"):
        leaves.grow(count)
    leaves.close()


async def test_a_log_whose_beginning_is_gone_grows_from_the_state_that_it_begins_with(tmp_path):
    await small_log(tmp_path, 8)
    count = len(lines(tmp_path))
    whole = index_of(tmp_path)
    whole.grow(count)
    root = whole.root(0, count)
    for gone in files(tmp_path)[:2]:
        gone.unlink()
    leaves = index_of(tmp_path)
    leaves.forget()
    leaves.grow(count)
    assert leaves.root(0, count) == root
    with pytest.raises(LeavesBroken, match="missing"):
        leaves.record(0)
    leaves.close()
    whole.close()


async def test_a_record_that_was_moved_or_changed_is_not_given_out(tmp_path):
    await small_log(tmp_path)
    leaves = index_of(tmp_path)
    leaves.grow(2)
    path = files(tmp_path)[0]
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"log.open", b"log.oqen"))
    with pytest.raises(LeavesBroken, match="not the one"):
        leaves.record(0)
    path.write_bytes(b" " + whole)
    with pytest.raises(LeavesBroken, match=r"not at its place|not the one"):
        leaves.record(1)
    path.write_bytes(b"")
    with pytest.raises(LeavesBroken, match="not at its place"):
        leaves.record(0)
    leaves.close()


async def test_an_index_that_was_torn_or_forgotten_is_built_again(tmp_path):
    await long_log(tmp_path, 300)
    stored = lines(tmp_path)
    for name, left in (("hashes.0", 1_000), ("offsets", 77), ("hashes.8", 0)):
        leaves = index_of(tmp_path)
        leaves.grow(len(stored))
        leaves.close()
        os.truncate(tmp_path / "log" / "idx" / name, left)
        leaves = index_of(tmp_path)
        leaves.grow(len(stored) - 1)
        leaves.grow(len(stored))
        leaves.close()
    leaves = index_of(tmp_path)
    leaves.forget()
    assert leaves.size == 0
    leaves.grow(len(stored))
    assert leaves.root(0, len(stored)) == roots(stored)[-1]
    leaves.close()


async def test_who_may_not_write_beside_the_log_keeps_the_index_in_memory(tmp_path):
    await small_log(tmp_path)
    (tmp_path / "log" / "idx").write_bytes(b"a file where the folder should be")
    leaves = index_of(tmp_path)
    count = len(lines(tmp_path))
    leaves.grow(count)
    assert leaves.root(0, count) == roots(lines(tmp_path))[-1]
    leaves.close()


async def test_several_threads_and_instances_may_build_one_index(tmp_path):
    await long_log(tmp_path, 400)
    stored = lines(tmp_path)
    shared = index_of(tmp_path)

    def build(own: bool) -> None:
        leaves = index_of(tmp_path) if own else shared
        for size in range(1, len(stored), 13):
            leaves.grow(size)
        if own:
            leaves.close()

    threads = [threading.Thread(target=build, args=(number % 2 == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    shared.grow(len(stored))
    assert shared.size == len(stored)
    assert shared.root(0, len(stored)) == roots(stored)[-1]
    shared.close()


async def test_whoever_waits_for_a_long_build_is_told_how_far_it_is(tmp_path):
    await long_log(tmp_path, 600)
    leaves = index_of(tmp_path)
    told: list[int] = []
    leaves.grow(600, pause=told.append)
    assert told == [256, 512, 600]
    leaves.close()
