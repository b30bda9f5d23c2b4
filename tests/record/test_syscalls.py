"""System calls that fail in the middle, under the real disk code: writes cut short, interrupted, refused, or never finished."""

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.record.line import record_of
from tests.record import shim
from tests.record.world import files, lines, opened, verified, write_call

pytestmark = pytest.mark.slow

WRITER = """
import asyncio, ctypes, os, sys
from pathlib import Path
from gateway.errors import Refusal
from tests.record.world import opened, plain, write_call

ctypes.CDLL(None).srand(int(sys.argv[2]))

async def main(folder):
    log_failed = asyncio.Event()
    refused = 0
    async with opened(folder, segment_bytes_max=20_000, checkpoint_records=16, on_fatal=log_failed.set) as log:
        async def work(number):
            nonlocal refused
            for turn in range(12):
                while log.state == "full":
                    await asyncio.sleep(0.01)
                try:
                    receipt = await log.append("call", plain(100 * number + turn))
                    os.write(1, b"%d %s\\n" % (receipt.n, receipt.leaf.encode()))
                except Refusal:
                    refused += 1
                    if log.state == "failed":
                        return
        await asyncio.gather(*map(work, range(6)))
    os.write(1, b"refused %d\\n" % refused)
    sys.exit(75 if log_failed.is_set() else 0)

asyncio.run(main(Path(sys.argv[1])))
"""


def leaves(folder: Path) -> list[str]:
    return [record_of(line).leaf for line in lines(folder)]


def acknowledged(output: bytes) -> list[tuple[int, str]]:
    rows = [row.split() for row in output.decode().splitlines()]
    return [(int(n), leaf) for n, leaf in rows if n != "refused"]


def lost(folder: Path, output: bytes) -> list[int]:
    found = leaves(folder)
    return [n for n, leaf in acknowledged(output) if n >= len(found) or found[n] != leaf]


@shim.needs_compiler
async def test_a_kill_inside_a_write_tears_only_what_nobody_was_told(tmp_path):
    chance = random.Random(3)
    torn = 0
    for seed in range(8):
        done = shim.run(WRITER, tmp_path, seed, shims=tmp_path, under=tmp_path / "log", fault=f"kill:{chance.randrange(2, 12)}")
        assert done.returncode == -9, done.stderr.decode()
        torn += not files(tmp_path)[-1].read_bytes().endswith(b"\n")
        assert lost(tmp_path, done.stdout) == []
        async with opened(tmp_path) as log:
            await write_call(log, seed)
        assert lost(tmp_path, done.stdout) == []
        assert verified(tmp_path).ok
    assert torn, "a part of a line was left at least once"
    assert len(list((tmp_path / "log" / "torn").iterdir())) == torn


@shim.needs_compiler
@pytest.mark.parametrize("fault", ["short", "eintr:3"])
def test_writes_that_stop_short_or_are_interrupted_are_finished(tmp_path, fault):
    done = shim.run(WRITER, tmp_path, 1, shims=tmp_path, under=tmp_path / "log", fault=fault)
    assert done.returncode == 0, done.stderr.decode()
    assert len(acknowledged(done.stdout)) == 72
    assert lost(tmp_path, done.stdout) == []
    assert verified(tmp_path).ok


@shim.needs_compiler
def test_windows_without_room_leave_no_part_of_a_line(tmp_path):
    done = shim.run(WRITER, tmp_path, 1, shims=tmp_path, under=tmp_path / "log", fault="enospc:5")
    assert done.returncode == 0, done.stderr.decode()
    refused = int(done.stdout.split()[-1])
    assert refused > 0
    assert len(acknowledged(done.stdout)) + refused == 72
    assert lost(tmp_path, done.stdout) == []
    assert all(path.read_bytes().endswith(b"}\n") for path in files(tmp_path))
    assert verified(tmp_path).ok


@shim.needs_compiler
@pytest.mark.parametrize("at", [2, 3, 5])
async def test_a_sync_that_fails_ends_the_process_and_nothing_was_acknowledged_on_it(tmp_path, at):
    done = shim.run(WRITER, tmp_path, 1, shims=tmp_path, under=tmp_path / "log", fault=f"eio:{at}")
    assert done.returncode == 75, done.stderr.decode()
    assert lost(tmp_path, done.stdout) == []
    async with opened(tmp_path) as log:
        await write_call(log, 1)
    assert lost(tmp_path, done.stdout) == []
    assert verified(tmp_path).ok


def _can_mount() -> bool:
    """A private mount name space, and a file system in it."""
    if shutil.which("unshare") is None or not sys.platform.startswith("linux"):
        return False
    done = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "-o", "size=64k", "portreeve", "/mnt"], capture_output=True, timeout=20, check=False
    )
    return done.returncode == 0


SMALL = """
import asyncio, os, sys
from pathlib import Path
from gateway.errors import Refusal
from tests.record.world import lines, opened, plain, result, verified

async def main(folder):
    acknowledged = 0
    async with opened(folder, reserve_bytes=32_768, checkpoint_records=8) as log:
        allowed = await log.append("call", {"id": "open", "authz": {"decision": "allow"}, "code": ""})
        try:
            while True:
                await log.append("call", plain(acknowledged) | {"pad": "x" * 700})
                acknowledged += 1
        except Refusal as refusal:
            assert refusal.code == "log_unavailable" and log.state == "full", refusal
        await log.append("result", result(allowed.n, 1))
    told = [line for line in lines(folder) if b'"pad"' in line]
    assert len(told) == acknowledged > 20, (len(told), acknowledged)
    report = verified(folder, level="root")
    assert report.ok, report
    print("told", acknowledged)

asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.mark.skipif(not _can_mount(), reason="mounting a small file system needs root; the same is tested by a file size limit in test_writer.py")
def test_a_real_disk_of_256_kib_fills_up_and_keeps_what_it_acknowledged(tmp_path):
    where = tmp_path / "small"
    where.mkdir()
    script = f'mount -t tmpfs -o size=256k portreeve {where} && exec "$@"'
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, "sh", sys.executable, "-c", SMALL, str(where)],
        cwd=shim.ROOT,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert done.stdout.startswith(b"told")
    assert os.listdir(where) == [], "it was mounted for that process alone"
