"""Measures the decision log on this machine: `python -m tests.benchmarks.log [--seconds S] [--records N]`. The last line is one JSON object.

Appends are closed loop: each of N tasks appends a call of about 1.3 kB, waits until it is durable, and goes on; chain, tree, checkpoints and fdatasync
are on. The baseline writes the same bytes in the same run with nothing but write and fdatasync, as many at a time as are in flight: a disk that is
slow today is slow for both.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import tempfile
import time
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import uvloop
import zstandard

from gateway.authorize import recompute
from gateway.config.load import load as load_settings
from gateway.record import CallIndex, LogReader, NoteSigner, Withheld, verify_folder
from tests.benchmarks import log_load as load
from tests.benchmarks.log_load import ORIGIN, Load
from tests.cli.sample import call_of, copy_sample, write_log

IN_FLIGHT = (1, 16, 64, 256)
PER_S = (500, 5_000)


def appends(seconds: float) -> dict[str, object]:
    """Closed loops, in this process and through the writer's socket, with the disk's own speed beside them."""
    rows: dict[str, dict[int, Load]] = {"in-process": {}, "socket": {}}
    for in_flight in IN_FLIGHT:
        for name, measure in (("in-process", _in_process), ("socket", _by_socket)):
            with tempfile.TemporaryDirectory() as folder:
                gc.collect()
                rows[name][in_flight] = measure(Path(folder), in_flight, seconds)
    plain = {in_flight: load.plain(min(1.0, seconds), in_flight, sync=True) for in_flight in IN_FLIGHT}
    print(f"{'':>12}{'in flight':>10} {'appends/s':>11} {'of plain':>9} {'p50 ms':>8} {'p99 ms':>8} {'CPU us':>8}")
    for name, found in rows.items():
        for in_flight, row in found.items():
            ratio = row.rate / plain[in_flight]
            print(f"{name:>12}{in_flight:>10} {row.rate:>11,.0f} {ratio:>9.2f} {row.p50_ms:>8.2f} {row.p99_ms:>8.2f} {row.cpu_us:>8.1f}")
    for in_flight, rate in plain.items():
        print(f"{'plain':>12}{in_flight:>10} {rate:>11,.0f}")
    unsynced = load.plain(min(1.0, seconds), 64, sync=False)
    print(f"{'no fdatasync':>12}{64:>10} {unsynced:>11,.0f}")
    with tempfile.TemporaryDirectory() as folder, load.service(Path(folder)):
        two = load.workers(Path(folder), 2, 64, seconds)
    print(f"{'2 workers':>12}{'2 x 64':>10} {two:>11,.0f}")
    own, remote = rows["in-process"], rows["socket"]
    return {
        "appends_per_s": {str(k): round(v.rate) for k, v in own.items()},
        "p50_ms": {str(k): round(v.p50_ms, 3) for k, v in own.items()},
        "p99_ms": {str(k): round(v.p99_ms, 3) for k, v in own.items()},
        "ratio_vs_plain": {str(k): round(v.rate / plain[k], 3) for k, v in own.items()},
        "socket_appends_per_s": {str(k): round(v.rate) for k, v in remote.items()} | {"2x64": round(two)},
        "socket_p50_ms": {str(k): round(v.p50_ms, 3) for k, v in remote.items()},
        "socket_p99_ms": {str(k): round(v.p99_ms, 3) for k, v in remote.items()},
        "plain_per_s": {str(k): round(v) for k, v in plain.items()},
        "unsynced_plain_per_s": round(unsynced),
    }


def _in_process(folder: Path, in_flight: int, seconds: float) -> Load:
    async def run() -> Load:
        async with load.in_process(folder) as log:
            return await load.closed(log, in_flight, seconds)

    return uvloop.run(run())


def _by_socket(folder: Path, in_flight: int, seconds: float) -> Load:
    """The CPU time is that of worker and writer together."""

    async def run() -> Load:
        async with load.by_socket(folder) as log:
            return await load.closed(log, in_flight, seconds)

    with load.service(folder) as writer_us:
        found = uvloop.run(run())
    return replace(found, cpu_us=found.cpu_us + writer_us[0])


def added(seconds: float) -> dict[str, object]:
    """What a call waits for at a steady pace."""
    print(f"\n{'calls/s':>10} {'decision p50 ms':>16} {'p99':>7} {'and outcome p50':>16} {'p99':>7}")
    found = {}
    for per_s in PER_S:
        with tempfile.TemporaryDirectory() as folder:
            found[str(per_s)] = row = uvloop.run(_added(Path(folder), per_s, seconds))
        print(f"{per_s:>10,} {row[0]:>16.2f} {row[1]:>7.2f} {row[2]:>16.2f} {row[3]:>7.2f}")
    names = ("decision_p50_ms", "decision_p99_ms", "both_p50_ms", "both_p99_ms")
    return {"added": {per_s: dict(zip(names, (round(ms, 3) for ms in row), strict=True)) for per_s, row in found.items()}}


async def _added(folder: Path, per_s: int, seconds: float) -> tuple[float, float, float, float]:
    async with load.in_process(folder) as log:
        return await load.open_loop(log, per_s, seconds)


def reading(records: int) -> dict[str, object]:
    """A log of `records`: how long a start takes, and how fast it is verified and indexed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load.fill(folder, records)
        restart = min(uvloop.run(_reopened(folder)) for _ in range(3))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        load.fill(folder, min(records, 100_000), segment_bytes_max=1 << 30)
        segments = sorted((folder / "log" / "log").iterdir())
        raw = sum(path.stat().st_size for path in segments)
        packed = sum(len(zstandard.ZstdCompressor(level=3).compress(path.read_bytes())) for path in segments)
        size = LogReader(folder / "log").newest(1)[-1].n + 1
        levels = {level: round(_verified(folder, level)) for level in ("chain", "root", "full")}
        began = time.perf_counter()
        CallIndex(LogReader(folder / "log")).rebuild()
        index = size / (time.perf_counter() - began)
    print()
    for level, rate in levels.items():
        print(f"verify {level:<6} {rate:>11,} records/s")
    print(f"index         {index:>11,.0f} records/s")
    print(f"{raw / size:.0f} bytes a record, {packed / size:.0f} archived (zstd; the records here are alike, so a real log takes more)")
    print(f"restart with {records:,} records: {restart:.2f} s")
    return {
        "verify_full_per_s": levels["full"],
        "verify_root_per_s": levels["root"],
        "verify_chain_per_s": levels["chain"],
        "index_per_s": round(index),
        "bytes_per_record": round(raw / size),
        "archived_bytes_per_record": round(packed / size),
        "restart_s": round(restart, 3),
        "restart_records": records,
    }


def replaying(calls: int = 2_000) -> dict[str, object]:
    """The sample deployment's decisions, each made again from the log alone, on the whole context under the whole schema."""
    with tempfile.TemporaryDirectory() as name:
        folder = copy_sample(Path(name))
        asked = [call_of("tickets/create_ticket", {"title": f"Down {n}", "body": "All of it", "priority": "low"}) for n in range(calls)]
        asyncio.run(write_log(folder, asked))
        reader = LogReader(load_settings(folder).log.folder)
        stored = lru_cache(reader.object)
        began = time.perf_counter()
        for record in reader.records():
            authz = reader.decision(record)
            if authz is not None:
                assert not isinstance(authz, Withheld)
                assert recompute(authz, stored)["decision"] == authz["decision"]
        rate = calls / (time.perf_counter() - began)
    print(f"replay        {rate:>11,.0f} decisions/s, by the sample's policies; see bench-policy for more of them")
    return {"replay_per_s": round(rate)}


async def _reopened(folder: Path) -> float:
    began = time.perf_counter()
    async with load.in_process(folder):
        return time.perf_counter() - began


def _verified(folder: Path, level: str) -> float:
    """Records per second, the best of three looks."""
    keys = (NoteSigner.open(folder / "keys").key(ORIGIN),)
    reports = [verify_folder(folder / "log", keys=keys, level=level) for _ in range(3)]  # type: ignore[arg-type]
    assert all(report.ok for report in reports), reports
    return max(report.size / report.elapsed_s for report in reports)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--seconds", type=float, default=3.0, help="length of each load")
    parser.add_argument("--records", type=int, default=1_000_000, help="records in the log that is opened again (1 GB a million)")
    given = parser.parse_args()
    found = {"bench": "log", **appends(given.seconds), **added(given.seconds), **reading(given.records), **replaying()}
    print(json.dumps(found, separators=(",", ":")))


if __name__ == "__main__":
    main()
