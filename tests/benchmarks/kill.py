"""`make bench-kill`: how long after `portreeve kill` has been acknowledged the last call is let through and the last stream is open.

The gateway runs as it does in production, as processes of its own; fifty callers and ten readers of streams run here. Every round kills the
agent, notes from the acknowledgement on when the last good answer began to be true and when the last stream ended, then lifts it and begins anew
with a new token. Before the acknowledgement is 0: the halt was in force already. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import uvloop

from gateway.cli.kill import What, kill, unkill
from tests.journeys.place import client_of, write_place
from tests.journeys.process import process
from tests.journeys.test_kill import LIMITS, Load, fresh, mixed
from tests.simulators.upstreams import upstream

CALLS, STREAMS = 50, 10


async def once(folder: Path, url: str) -> dict[str, float]:
    """One round, in milliseconds."""
    async with client_of(url, fresh(folder)) as client:
        load = Load(client)
        async with load.running(calls=CALLS, streams=STREAMS):
            began = perf_counter()
            await asyncio.to_thread(kill, What.agent, "writer", why="bench", folder=folder, as_json=True)
            at = perf_counter()
            async with asyncio.timeout(30):
                while len(load.closed_at) < STREAMS:
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.2)
            through = [when for when, status, _ in load.statuses if status == 200]
            refused = [when for when, status, _ in load.statuses if status == 403]
        await asyncio.to_thread(unkill, What.agent, "writer", why="bench", folder=folder, as_json=True)
        await asyncio.sleep(0.1)
    if not refused:
        raise SystemExit("no call was refused")
    return {
        "command": (at - began) * 1000,
        "last call let through": max(0.0, max(through) - at) * 1000,
        "last stream closed": max(0.0, max(load.closed_at) - at) * 1000,
    }


async def measure(folder: Path, rounds: int, workers: int) -> list[dict[str, float]]:
    async with upstream(mixed) as up:
        write_place(folder, up.port, limits=LIMITS)
        more = ["--workers", str(workers)] if workers > 1 else []
        async with process(folder, *more) as (_, where):
            return [await once(folder, where["agents"]) for _ in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portreeve-bench-") as folder:
        rounds = uvloop.run(measure(Path(folder), asked.rounds, asked.workers))
    print(f"{CALLS} callers, {STREAMS} streams, {asked.workers} worker(s), {len(rounds)} rounds; milliseconds after the acknowledgement")
    figures: dict[str, dict[str, float]] = {}
    for name in rounds[0]:
        values = sorted(row[name] for row in rounds)
        shown = {"median": statistics.median(values), "p90": values[int(len(values) * 0.9) - 1], "max": values[-1]}
        figures[name] = {key: round(value, 1) for key, value in shown.items()}
        print(f"{name:<24}" + "".join(f"{key:>8} {value:>7.1f}" for key, value in figures[name].items()))
    print(json.dumps({"bench": "kill", "workers": asked.workers, "rounds": len(rounds), **figures}))


if __name__ == "__main__":
    main()
