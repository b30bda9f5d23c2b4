"""Every state that a crash may leave: no record that was acknowledged is lost, and the next start opens the log or says why it does not.

The calls that write the log are written down as they happen, and each place between two of them is a crash.
"""

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

from gateway.errors import Problem
from gateway.record import LogReader, NoteSigner
from gateway.record.disk import SystemDisk
from gateway.record.folder import LogFolder
from gateway.record.opening import open_writer
from gateway.record.payload import PayloadReader
from gateway.record.tree import leaf_hash
from tests.record import shim
from tests.record.crashes import states
from tests.record.world import lines, settings, verified

pytestmark = pytest.mark.slow
STATES_PER_CALL = 4

LIFE = """
import asyncio, os, sys
from pathlib import Path
from gateway.call import Blob
from gateway.record.payload import payload_line
from tests.record.world import ENTITIES, POLICIES, SCHEMA, call, opened, result

def say(receipt):
    os.write(1, b"%d %s\\n" % (receipt.n, receipt.leaf.encode()))

async def main(folder):
    for life in range(2):
        async with opened(folder, segment_bytes_max=4_000, checkpoint_records=3) as log:
            async def work(number):
                for turn in range(3):
                    own = Blob.of(b"[%d,%d,%d]" % (life, number, turn))
                    name = "%d-%d-%d" % (life, number, turn)
                    sealed = payload_line(name, "key", {"/ctx/input/text": name.encode() * 30})
                    receipt = await log.append("call", call(number) | {"id": name}, blobs=(POLICIES, SCHEMA, ENTITIES, own), payload=sealed)
                    say(receipt)
                    say(await log.append("result", result(receipt.n, number)))
            await asyncio.gather(*map(work, range(3)))

asyncio.run(main(Path(sys.argv[1])))
"""


def lived(tmp_path: Path) -> tuple[Path, Path]:
    """A log that two processes' lives wrote, and the trace of its writing."""
    top, trace = tmp_path / "live", tmp_path / "trace"
    top.mkdir()
    done = shim.run(LIFE, top, shims=tmp_path, under=top, trace=trace)
    assert done.returncode == 0, done.stderr.decode()
    assert verified(top).ok
    return top, trace


@pytest.fixture
def memory(tmp_path):
    """A folder where a sync costs nothing: thousands of states are made and opened."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path) as folder:
        yield Path(folder)


ENDS = {"records": ".jsonl", "names": "/log/log", "sealed": ".seal", "sealed names": "/log/payload"}


class Nothing:
    """Nobody appends any more."""

    def take(self, patience_s: float) -> tuple[list, bool]:
        return [], False


def start(folder: Path) -> None:
    """Open the log and close it again. Raises Problem."""
    lock, writer = open_writer(settings(folder), NoteSigner.open(folder / "keys"), SystemDisk())
    writer.run(Nothing(), lambda _: None)
    os.close(lock)


def holds(folder: Path, said: list[str]) -> bool:
    """Whether every record that was acknowledged is there, and what was sealed with it."""
    found = [leaf_hash(line).hex() for line in lines(folder)] if (folder / "log" / "log").is_dir() else []
    if not all(int(n) < len(found) and found[int(n)] == leaf for n, leaf in map(str.split, said)):
        return False
    numbers = {int(n) for n, _ in map(str.split, said)}
    up_to = zip(range(max(numbers) + 1), LogReader(folder / "log").records(), strict=False) if numbers else ()  # what is behind may be garbage
    calls = [record for n, record in up_to if record.kind == "call" and n in numbers]
    payloads = PayloadReader(LogFolder(folder / "log"))
    return all(payloads.find(int(r.segment[:20]), str(r.body["id"])) is not None for r in calls)


@shim.needs_compiler
def test_a_kill_between_any_two_calls_loses_nothing_and_the_log_opens(tmp_path, memory):
    top, trace = lived(tmp_path)
    tried = 0
    for disk, said in states(trace, top):
        after = memory / "after"
        disk.write(after, None)
        shutil.copytree(top / "keys", after / "keys")
        start(after)
        assert holds(after, said)
        assert verified(after).ok
        shutil.rmtree(after)
        tried += 1
    assert tried > 150


@shim.needs_compiler
def test_whatever_a_power_cut_leaves_no_acknowledged_record_is_lost(tmp_path, memory):
    top, trace = lived(tmp_path)
    chance = random.Random(5)
    tried = refused = 0
    for disk, said in states(trace, top):
        for _ in range(STATES_PER_CALL):
            after = memory / "after"
            disk.write(after, chance)
            shutil.copytree(top / "keys", after / "keys")
            tried += 1
            try:
                start(after)
            except Problem as problem:
                assert problem.code == "log_damaged", problem
                refused += 1
            else:
                assert verified(after).ok
            assert holds(after, said)
            shutil.rmtree(after)

    assert tried > 1_000
    assert refused < tried / 20


@shim.needs_compiler
@pytest.mark.parametrize("part", ["records", "names", "sealed", "sealed names"])
def test_without_a_sync_the_model_does_lose_records(tmp_path, part):
    """The check of the check: a log that syncs its files, or its folders, too late is caught."""
    top, trace = lived(tmp_path)
    text = trace.read_text().splitlines()
    late = [line for line in text if not (line.startswith("sync\t") and line.split("\t")[1].endswith(ENDS[part]))]
    trace.write_text("\n".join(late))
    chance = random.Random(5)
    lost = 0
    for disk, said in states(trace, top):
        after = tmp_path / "after"
        disk.write(after, chance)
        lost += not holds(after, said)
        shutil.rmtree(after)
    assert lost > 10
