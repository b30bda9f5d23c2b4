"""`make bench-reload`: how long a reload of many policies keeps the gateway's loop from the calls that it serves.

A gateway in this process serves calls all the while; beside them a task wakes up every millisecond and notes how late it was. A process that does
nothing but the same shows what the machine itself is doing: lag that both have is not the reload's. Every reload replaces all policies, most of
which apply to the calls being made, so that what has to be parsed for them is as much as it can be. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from pathlib import Path
from time import perf_counter

import httpx2
import uvloop

from gateway.app import Gateway
from tests.benchmarks import deployment
from tests.benchmarks.peers.processes import ask, child, cores, free_port, python, said
from tests.benchmarks.peers.tick import tick

QUIET_S = 3.0
CALLS_EVERY_S = 0.01


def policies(count: int, mark: str) -> str:
    """`count` policies about the agent's two operations; another `mark` changes all of them."""
    one = 'forbid (principal == Agent::"bench-agent", action == Action::"tickets/read_ticket", resource) when {{ context.input.ticket_id == "{mark}-{n}" }};'
    other = 'forbid (principal in AgentGroup::"bench", action in Action::"write", resource) when {{ context.delegation_depth > {n} || context.request.path == "{mark}" }};'
    return "\n".join(f'@id("many-{n}") ' + (other if n % 10 == 0 else one).format(n=n, mark=mark) for n in range(count))


class Calls:
    """Calls made one after the other for as long as the block lasts; `took_ms` are those that have ended."""

    def __init__(self, gateway: Gateway, token: str) -> None:
        self.took_ms: list[float] = []
        self.wrong = 0
        self._client = httpx2.AsyncClient(base_url=gateway.addresses["agents"], headers={"authorization": f"Bearer {token}"}, trust_env=False)

    async def __aenter__(self):
        self._task = asyncio.create_task(self._go())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])
        await self._client.aclose()

    async def _go(self) -> None:
        while True:
            began = perf_counter()
            reply = await self._client.get("/tools/tickets/tickets/T-1")
            self.took_ms.append((perf_counter() - began) * 1_000)
            self.wrong += reply.status_code != 200
            await asyncio.sleep(CALLS_EVERY_S)


async def measure(folder: Path, count: int, turns: int) -> dict:
    _, other = cores()
    with (
        child(python("answer"), core=other, log=folder / "upstream.log") as upstream,
        child(python("tick"), core=None, log=folder / "tick.log") as control,
    ):
        place = folder / "deployment"
        deployment.write(place, free_port(), free_port(), said(upstream)["port"])
        many = place / "policies" / "many.cedar"
        many.write_text(policies(count, "start"))
        gateway = await Gateway.start(place)
        gateway._watcher.cancel()  # reloads are asked for here, one at a time
        lags: list[float] = []
        ticking = asyncio.create_task(tick(lags))
        rows = []
        async with Calls(gateway, deployment.gateway_token(place)) as calls:

            async def window(name: str, work) -> None:
                await asyncio.sleep(0.3)
                await asyncio.to_thread(ask, control, {})
                lags.clear()
                calls.took_ms.clear()
                began = perf_counter()
                await work
                seconds = perf_counter() - began
                await asyncio.sleep(0.1)  # what is left to do after the swap counts, too
                mine = list(lags)
                rows.append(Row(name, seconds, mine, (await asyncio.to_thread(ask, control, {}))["lags_ms"], list(calls.took_ms)))

            await window("quiet", asyncio.sleep(QUIET_S))
            for turn in range(turns):
                many.write_text(policies(count, f"turn-{turn}"))
                await window("reload", gateway.reload())
            loaded = gateway.pipeline.state.bundle.policy_count
            wrong = calls.wrong
        ticking.cancel()
        await gateway.stop()
    if wrong or loaded < count:
        raise SystemExit(f"{wrong} calls were not answered as they should; {loaded} policies in force")
    return report(rows, count)


class Row:
    def __init__(self, name: str, seconds: float, lags_ms: list[float], control_ms: list[float], calls_ms: list[float]) -> None:
        self.name, self.seconds = name, seconds
        self.lag_p99, self.lag_max = p99(lags_ms), max(lags_ms)
        self.control_p99, self.control_max = p99(control_ms), max(control_ms)
        self.call_p50, self.call_max = statistics.median(calls_ms), max(calls_ms)


def p99(values: list[float]) -> float:
    return sorted(values)[int(len(values) * 0.99)]


def report(rows: list[Row], count: int) -> dict:
    print(f"{count:,} policies; milliseconds")
    print(f"{'':<8}{'seconds':>9}{'loop lag p99':>14}{'max':>7}{'idle loop p99':>15}{'max':>7}{'call p50':>10}{'max':>7}")
    for row in rows:
        print(
            f"{row.name:<8}{row.seconds:>9.2f}{row.lag_p99:>14.1f}{row.lag_max:>7.1f}{row.control_p99:>15.1f}{row.control_max:>7.1f}"
            f"{row.call_p50:>10.1f}{row.call_max:>7.1f}"
        )
    reloads = [row for row in rows if row.name == "reload"]

    def middle(name: str) -> float:
        return round(statistics.median(getattr(row, name) for row in reloads), 1)

    figures = {name: middle(name) for name in ("lag_p99", "lag_max", "control_max", "call_p50", "call_max", "seconds")}
    return {"bench": "reload", "policies": count, **figures, "quiet_lag_max": round(rows[0].lag_max, 1), "quiet_call_max": round(rows[0].call_max, 1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--policies", type=int, default=1_000)
    parser.add_argument("--reloads", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="portreeve-bench-") as folder:
        found = uvloop.run(measure(Path(folder), asked.policies, asked.reloads))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
