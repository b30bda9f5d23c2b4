"""Disks that are full or broken: what is acknowledged is durable, what is not is gone, and the state says which."""

import asyncio
import errno
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import Problem, Refusal
from gateway.record import NoteSigner, open_log
from gateway.record.line import record_of
from tests.record.disks import SmallDisk
from tests.record.world import files, lines, opened, plain, result, settings, small_log, verified, write_call

ROOT = Path(__file__).resolve().parents[2]


async def fill(log) -> int:
    """Append until the log refuses; the number of acknowledged records."""
    for number in range(1_000):
        try:
            await log.append("call", plain(number))
        except Refusal as refusal:
            assert refusal.code == "log_unavailable"
            return number
    raise AssertionError("the disk never filled")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("room", [1_000, 1_001, 1_050, 1_150])
async def test_a_full_disk_refuses_calls_and_leaves_no_half_line(tmp_path, code, room):
    disk = SmallDisk(room, code=code)
    async with opened(tmp_path, disk=disk) as log:
        acknowledged = await fill(log)
        assert log.state == "full"
        assert b"".join(path.read_bytes() for path in files(tmp_path)).endswith(b"}\n")
        with pytest.raises(Refusal, match="full"):
            await log.append("call", plain(0))
    assert len(lines(tmp_path)) == 1 + acknowledged
    assert verified(tmp_path).size == 1 + acknowledged


async def test_on_a_full_disk_outcomes_use_the_reserve_and_calls_do_not(tmp_path):
    disk = SmallDisk(1_200, ballast=2_000)
    async with opened(tmp_path, disk=disk) as log:
        assert (tmp_path / "log" / "reserve").stat().st_size == 65_536
        acknowledged = await fill(log)
        assert not (tmp_path / "log" / "reserve").exists()
        receipt = await log.append("result", result(1, 1))
        assert receipt.n == acknowledged + 1
        with pytest.raises(Refusal):
            await log.append("refusals", {"total": 1})
    assert record_of(lines(tmp_path)[-1]).kind == "log.close"
    assert verified(tmp_path).ok


async def test_calls_and_outcomes_in_one_batch_part_ways_when_the_disk_is_full(tmp_path):
    disk = SmallDisk(600, ballast=4_000)
    async with opened(tmp_path, disk=disk) as log:
        mixed = [log.append(*(("result", result(i, i)) if i % 2 else ("call", plain(i)))) for i in range(20)]
        done = await asyncio.gather(*mixed, return_exceptions=True)
    assert all(not isinstance(answer, BaseException) for answer in done[1::2])
    assert any(isinstance(answer, Refusal) for answer in done[0::2])
    assert verified(tmp_path).ok
    assert len(lines(tmp_path)) == 2 + sum(not isinstance(answer, BaseException) for answer in done)


async def test_the_log_recovers_by_itself_when_space_returns(tmp_path):
    disk = SmallDisk(800)
    async with opened(tmp_path, disk=disk) as log:
        await fill(log)
        disk.left = 1 << 30
        while log.state != "ok":  # looked at once a second, without any append
            await asyncio.sleep(0.01)
        assert (tmp_path / "log" / "reserve").stat().st_size == 65_536
        await write_call(log, 1)
    assert verified(tmp_path).ok


async def test_calls_are_refused_below_the_low_water_mark_before_the_disk_is_full(tmp_path):
    disk = SmallDisk(1 << 30)
    disk.free = 1_000_000
    async with opened(tmp_path, disk=disk, low_water_bytes=1_000_001) as log:
        assert log.state == "full"
        with pytest.raises(Refusal, match="full"):
            await log.append("call", plain(1))
        await log.append("result", result(1, 1))
        disk.free = 2_000_000
        while log.state != "ok":
            await asyncio.sleep(0.01)
        await log.append("call", plain(1))
    assert verified(tmp_path).ok


async def test_rotation_without_room_goes_on_in_the_old_segment(tmp_path):
    disk = SmallDisk(1_500)
    async with opened(tmp_path, disk=disk, segment_bytes_max=1_000) as log:
        await fill(log)
        disk.left = 1 << 30
        while log.state != "ok":
            await asyncio.sleep(0.01)
        for number in range(8):
            await log.append("call", plain(number))
    assert len(files(tmp_path)) > 1
    assert verified(tmp_path).ok


async def test_a_log_that_cannot_even_begin_says_so(tmp_path):
    with pytest.raises(Problem, match="cannot be begun") as found:
        await open_log(settings(tmp_path), NoteSigner.open(tmp_path / "keys"), disk=SmallDisk(10))
    assert found.value.code == "log_full"
    async with opened(tmp_path) as log:
        await write_call(log, 1)
    assert verified(tmp_path).ok


CHILD = """
import asyncio, resource, sys
from pathlib import Path
from gateway.errors import Refusal
from gateway.record.line import record_of
from tests.record.world import opened, plain, result, verified, write_call

async def main(folder):
    async with opened(folder, reserve_bytes=4096) as log:
        end = (folder / "log" / "log" / ("0" * 20 + ".jsonl")).stat
        await write_call(log, 0)
        # Room for a few lines more than `GROWTH_BYTES_MIN` would notice at once: the kernel itself must refuse.
        resource.setrlimit(resource.RLIMIT_FSIZE, (end().st_size + 2_000, resource.RLIM_INFINITY))
        acknowledged = 0
        try:
            while True:
                await log.append("call", plain(acknowledged))
                acknowledged += 1
        except Refusal as refusal:
            assert refusal.code == "log_unavailable" and log.state == "full", refusal
        assert 0 < acknowledged < 20, acknowledged
        assert end().st_size <= resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        while log.state != "ok":
            await asyncio.sleep(0.01)
        await write_call(log, 1)
    report = verified(folder)
    assert report.ok, report
    print("recovered", report.size == acknowledged + 6)

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_real_file_size_limit_is_a_full_disk_and_lifting_it_is_enough(tmp_path):
    done = subprocess.run([sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "recovered True\n", done.stderr
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


async def test_a_segment_begins_anew_by_age_too(tmp_path):
    await small_log(tmp_path, segment_bytes_max=1 << 20)
    assert len(files(tmp_path)) == 1
    async with opened(tmp_path, segment_age_s_max=0) as log:
        await write_call(log, 9)
    assert len(files(tmp_path)) > 1
    assert verified(tmp_path).ok
