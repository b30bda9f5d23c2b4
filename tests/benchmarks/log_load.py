"""What the log's benchmark appends, and how: a recorded decision of usual size, closed and open loops, a log filled quickly, the disk alone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.call import Blob
from gateway.config.model import LogSettings
from gateway.record import Log, NoteSigner, connect_log, open_log
from gateway.record.disk import SystemDisk
from gateway.record.entry import Entry
from gateway.record.line import rest_of
from gateway.record.opening import open_writer

ROOT = Path(__file__).resolve().parents[2]
ORIGIN = "gw.example/bench"
IN_FLIGHT = (1, 16, 64, 256)
BLOBS = tuple(Blob.of(text * 20) for text in (b"policies", b"schema", b"entities"))
CALL = {
    "id": "0123456789abcdef0123456789",
    "who": {
        "agent": "support-assistant",
        "iss": "https://gateway.example.com",
        "sub": "agent:support-assistant",
        "jti": "x7Gk2mQ9vL0aT4cR8yBn1w",
        "kid": "QmFzZTY0dXJs",
        "aud": "https://gateway.example.com/tools",
        "user": "alice@example.com",
        "act": ["planner"],
        "run": "run-4711",
    },
    "what": {
        "tool": "tickets",
        "op": "create_refund",
        "method": "POST",
        "template": "/customers/{id}/refunds",
        "path": "/customers/8812/refunds",
        "effect": "write",
        "door": "http",
        "peer": "10.1.2.3:51234",
    },
    "authz": {
        "p": 'Agent::"support-assistant"',
        "a": 'Action::"tickets/create_refund"',
        "r": 'Tool::"tickets"',
        "ctx": {"input": {"id": "8812", "amount": {"__extn": {"fn": "decimal", "arg": "49.9000"}}, "reason": "double charge"}, "now": 1795251052},
        "policies": BLOBS[0].digest,
        "schema": BLOBS[1].digest,
        "ents": BLOBS[2].digest,
        "engine": "cedarpy/4.12.2",
        "decision": "deny",
        "reasons": ["refunds-over-limit"],
        "errors": [],
        "obl": [],
        "shadow": [],
    },
    "now": 1795251052708512,
    "code": "denied",
    "state": "sha256:" + "0" * 64,
}
RESULT = {
    "id": "0123456789abcdef0123456789",
    "status": "ok",
    "http": 200,
    "tries": [{"u": "127.0.0.1:9001", "s": "200", "ms": 12}],
    "cred": {"name": "tickets-key", "kind": "header", "fp": "hmac:9f86d081884c7d65"},
    "bytes": 512,
    "ms": 14,
    "code": "",
}
SERVICE = """
import os, signal, sys, time
from pathlib import Path
from gateway.config.model import LogSettings
from gateway.record import NoteSigner
from gateway.record.disk import SystemDisk
from gateway.record.opening import open_writer
from gateway.record.service import WriterService, listen_at

folder, origin = Path(sys.argv[1]), sys.argv[2]
lock, writer = open_writer(LogSettings(folder / "log", origin), NoteSigner.open(folder / "keys"), SystemDisk())
service = WriterService(listen_at(folder / "socket"), writer, origin, frozenset({os.getuid()}), print)
signal.signal(signal.SIGTERM, lambda *_: service.stop())
print("ready", flush=True)
began = time.process_time()
service.run()
print(1e6 * (time.process_time() - began) / writer.tree.size, flush=True)
"""
WORKER = """
import sys
from pathlib import Path
from tests.benchmarks import log_load
log_load.work(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What a closed loop did: appends a second, milliseconds, and CPU microseconds an append in this process."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float


def settings(folder: Path) -> LogSettings:
    return LogSettings(folder / "log", ORIGIN)


@contextlib.asynccontextmanager
async def in_process(folder: Path) -> AsyncIterator[Log]:
    log = await open_log(settings(folder), NoteSigner.open(folder / "keys"))
    try:
        yield log
    finally:
        await log.close()


@contextlib.contextmanager
def service(folder: Path) -> Iterator[list[float]]:
    """The writer process; afterwards the list holds the CPU microseconds that it took a record."""
    found: list[float] = []
    run = subprocess.Popen([sys.executable, "-c", SERVICE, str(folder), ORIGIN], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert run.stdout
    assert run.stdout.readline() == "ready\n"
    try:
        yield found
    finally:
        run.terminate()
        found.append(float(run.communicate(timeout=30)[0]))


@contextlib.asynccontextmanager
async def by_socket(folder: Path) -> AsyncIterator[Log]:
    log = await connect_log(settings(folder), folder / "socket")
    try:
        yield log
    finally:
        await log.close()


async def closed(log: Log, in_flight: int, seconds: float) -> Load:
    """Each of `in_flight` tasks appends, waits until that is durable, and goes on."""
    took: list[float] = []
    clock = time.perf_counter
    end = clock() + seconds

    async def task() -> None:
        while (began := clock()) < end:
            await log.append("call", CALL, blobs=BLOBS)
            took.append(clock() - began)

    await log.append("call", CALL, blobs=BLOBS)
    began, cpu = clock(), time.process_time()
    await asyncio.gather(*(task() for _ in range(in_flight)))
    rate = len(took) / (clock() - began)
    took.sort()
    return Load(rate, took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000, (time.process_time() - cpu) / len(took) * 1e6)


def work(folder: Path, in_flight: int, seconds: float) -> None:
    """One worker process of several: prints how many appends a second it made."""

    async def run() -> None:
        async with by_socket(folder) as log:
            print((await closed(log, in_flight, seconds)).rate, flush=True)

    asyncio.run(run())


def workers(folder: Path, count: int, in_flight: int, seconds: float) -> float:
    """Appends a second of several worker processes together, `in_flight` each."""
    words = [sys.executable, "-c", WORKER, str(folder), str(in_flight), str(seconds)]
    runs = [subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(count)]
    return sum(float(run.communicate(timeout=120)[0]) for run in runs)


async def open_loop(log: Log, per_s: int, seconds: float) -> tuple[float, float, float, float]:
    """Calls that come by chance, `per_s` on average: milliseconds until the decision is durable, which is what a call waits for (p50, p99), and
    until its outcome is, too (p50, p99)."""
    chance = random.Random(1)
    waited: list[float] = []
    both: list[float] = []
    clock = time.perf_counter

    async def call(due: float) -> None:
        receipt = await log.append("call", CALL, blobs=BLOBS)
        waited.append(clock() - due)
        await log.append("result", {"call": receipt.n, **RESULT}, lazily=True)
        both.append(clock() - due)

    tasks: set[asyncio.Task[None]] = set()
    due, end = clock(), clock() + seconds
    while due < end:
        due += chance.expovariate(per_s)
        if (pause := due - clock()) > 0:
            await asyncio.sleep(pause)
        task = asyncio.create_task(call(due))  # late is late: the wait of the loop itself counts
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    waited.sort()
    both.sort()
    return tuple(1000 * found[len(found) * part // 100] for found in (waited, both) for part in (50, 99))  # type: ignore[return-value]


class _Unsynced(SystemDisk):
    def sync(self, descriptor: int) -> None:
        pass


class _Given:
    """Entries for the writer, in batches, until there are enough."""

    def __init__(self, records: int) -> None:
        self.left = records
        self.call = Entry(rest_of("call", CALL), BLOBS)
        self.result = Entry(rest_of("result", {"call": 1, **RESULT}), outcome=True)

    def take(self, patience_s: float) -> tuple[list[Entry], bool]:
        count = min(1_024, self.left)
        self.left -= count
        return [self.call, self.result] * (count // 2), self.left > 1


def fill(folder: Path, records: int, *, segment_bytes_max: int = 64 * 1024 * 1024) -> None:
    """A log of so many records, decisions and outcomes in turn, quickly: in one go, and without waiting for the disk."""
    given = dataclasses.replace(settings(folder), segment_bytes_max=segment_bytes_max)
    lock, writer = open_writer(given, NoteSigner.open(folder / "keys"), _Unsynced())
    writer.run(_Given(records), lambda _: None)
    os.close(lock)


def plain(seconds: float, batch: int, *, sync: bool) -> float:
    """Lines a second of the same size written to a file, `batch` at a time, without chain, tree, signatures or anybody who waits."""
    data = (rest_of("call", CALL) + b"\n") * batch
    with tempfile.TemporaryFile(buffering=0) as stream:
        began, done = time.perf_counter(), 0
        while time.perf_counter() - began < seconds:
            stream.write(data)
            if sync:
                os.fdatasync(stream.fileno())
            done += batch
        return done / (time.perf_counter() - began)
