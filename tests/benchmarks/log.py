"""Measures the decision log on this machine: `python -m tests.benchmarks.log [SECONDS]`. The last line is one JSON object.

Appends are closed loop: each of N tasks appends a call of about 1 kB, waits until it is durable, and goes on. fdatasync is on.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import sys
import tempfile
import time
from pathlib import Path

import uvloop

from gateway.call import Blob
from gateway.config.model import LogSettings
from gateway.record import LogReader, NoteSigner, open_log, verify_folder

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


async def appends(folder: Path, in_flight: int, seconds: float) -> tuple[float, float, float, float]:
    """(appends per second, p50 ms, p99 ms, CPU microseconds per append in both threads)"""
    log = await open_log(LogSettings(folder / "log", ORIGIN), NoteSigner.open(folder / "keys"))
    took: list[float] = []
    clock = time.perf_counter
    end = clock() + seconds

    async def work() -> None:
        while (began := clock()) < end:
            await log.append("call", CALL, blobs=BLOBS)
            took.append(clock() - began)

    began, cpu = clock(), time.process_time()
    await asyncio.gather(*(work() for _ in range(in_flight)))
    rate = len(took) / (clock() - began)
    cpu_us = (time.process_time() - cpu) / len(took) * 1e6
    await log.close()
    took.sort()
    return rate, took[len(took) // 2] * 1000, took[len(took) * 99 // 100] * 1000, cpu_us


async def reopened(folder: Path) -> float:
    """Seconds to open a log whose newest segment is as full as it gets."""
    settings = LogSettings(folder / "log", ORIGIN)
    began = time.perf_counter()
    log = await open_log(settings, NoteSigner.open(folder / "keys"))
    took = time.perf_counter() - began
    await log.close()
    return took


async def filled(folder: Path) -> None:
    """A log of one segment, just below 64 MiB."""
    settings = dataclasses.replace(LogSettings(folder / "log", ORIGIN), segment_bytes_max=1 << 30)
    log = await open_log(settings, NoteSigner.open(folder / "keys"))
    while log.size < 48_000:
        await asyncio.gather(*(log.append("call", CALL, blobs=BLOBS) for _ in range(1_000)))
    await log.close()


def verified(folder: Path, level: str) -> float:
    """Records per second, the best of three looks."""
    keys = (NoteSigner.open(folder / "keys").key(ORIGIN),)
    reports = [verify_folder(folder / "log", keys=keys, level=level) for _ in range(3)]  # type: ignore[arg-type]
    assert all(report.ok for report in reports), reports
    return max(report.size / report.elapsed_s for report in reports)


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 3.0
    found: dict[str, object] = {"bench": "log"}
    rates, p50, p99 = {}, {}, {}
    print(f"{'in flight':>10} {'appends/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8}")
    for in_flight in IN_FLIGHT:
        with tempfile.TemporaryDirectory() as name:
            gc.collect()
            rate, middle, late, cpu_us = uvloop.run(appends(Path(name), in_flight, seconds))
        rates[str(in_flight)], p50[str(in_flight)], p99[str(in_flight)] = round(rate), round(middle, 3), round(late, 3)
        print(f"{in_flight:>10} {rate:>11,.0f} {middle:>8.2f} {late:>8.2f} {cpu_us:>8.1f}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        uvloop.run(filled(folder))
        size = LogReader(folder / "log").newest(1)[-1].n + 1
        stored = sum(path.stat().st_size for path in (folder / "log" / "log").iterdir())
        restart = uvloop.run(reopened(folder))
        levels = {level: round(verified(folder, level)) for level in ("chain", "root", "full")}
    for level, rate in levels.items():
        print(f"verify {level:<6} {rate:>11,} records/s")
    print(f"restart on a segment of {stored / 2**20:.0f} MiB: {restart:.2f} s; {stored / size:.0f} bytes a record")
    print("replay is not measured here: it is the policy engine's time, see the policy benchmark")
    found |= {"appends_per_s": rates, "p50_ms": p50, "p99_ms": p99, "verify_full_per_s": levels["full"], "verify_chain_per_s": levels["chain"]}
    found |= {"replay_per_s": None, "bytes_per_record": round(stored / size), "restart_s": round(restart, 3)}
    print(json.dumps(found, separators=(",", ":")))


if __name__ == "__main__":
    main()
