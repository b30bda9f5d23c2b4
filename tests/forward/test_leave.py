"""A call whose leave is taken back sends nothing more, wherever it is."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from gateway.config.model import ToolSettings
from gateway.errors import Refusal
from gateway.forward import Upstreams
from gateway.leave import Leave
from tests.forward.world import grant, no_sleep
from tests.simulators import upstreams as sim
from tests.simulators.upstreams import upstream

HALTED = Refusal("halted")
Effect = Literal["read", "write"]


async def refused(upstreams: Upstreams, tool: ToolSettings, leave: Leave, effect: Effect = "read") -> Refusal:
    method = "GET" if effect == "read" else "POST"
    with pytest.raises(Refusal) as caught:
        await upstreams.forward(grant(tool, method=method, effect=effect, body=None), deadline=asyncio.get_running_loop().time() + 20, leave=leave)
    return caught.value


@pytest.mark.parametrize("kind", ["direct", "httpx2"])
async def test_before_the_first_attempt(kind: Literal["direct", "httpx2"]):
    async with upstream(sim.echo) as up:
        tool = ToolSettings("t", up.url, transport=kind)
        upstreams, leave = Upstreams.open({"t": tool}, sleep=no_sleep), Leave()
        leave.take_back(HALTED)
        found = await refused(upstreams, tool, leave)
        assert (found.code, found.outcome, up.connections) == ("halted", "refused", 0)
        await upstreams.close()


async def test_before_the_next_attempt_even_without_a_turn_of_the_loop_in_between():
    async with upstream(sim.flaky(1)) as up:
        tool, leave = ToolSettings("t", up.url), Leave()

        async def sleep(_: float) -> None:
            leave.take_back(HALTED)

        upstreams = Upstreams.open({"t": tool}, sleep=sleep)
        found = await refused(upstreams, tool, leave)
        assert (found.code, found.outcome, len(up.seen)) == ("halted", "cancelled", 1)
        assert found.attempts[0].result == "503"
        await upstreams.close()


@pytest.mark.parametrize(("effect", "outcome"), [("read", "cancelled"), ("write", "unknown")])
async def test_while_it_waits_for_an_answer(effect: Effect, outcome: str):
    async with upstream(sim.stalls) as up:
        tool, leave = ToolSettings("t", up.url), Leave()
        upstreams = Upstreams.open({"t": tool}, sleep=no_sleep)
        waiting = asyncio.create_task(refused(upstreams, tool, leave, effect))
        async with asyncio.timeout(10):
            while not up.seen:
                await asyncio.sleep(0.01)
        leave.take_back(HALTED)
        found = await waiting
        assert (found.code, found.outcome) == ("halted", outcome)
        assert upstreams.breakers() == {"t": "closed"}
        await upstreams.close()


async def test_while_it_waits_for_a_place_nothing_was_sent():
    async with upstream(sim.stalls) as up:
        tool = ToolSettings("t", up.url, in_flight_max=1, queue_timeout_s=20)
        upstreams, first, second = Upstreams.open({"t": tool}, sleep=no_sleep), Leave(), Leave()
        holding = asyncio.create_task(refused(upstreams, tool, first))
        async with asyncio.timeout(10):
            while not up.seen:
                await asyncio.sleep(0.01)
        queued = asyncio.create_task(refused(upstreams, tool, second))
        await asyncio.sleep(0)
        second.take_back(HALTED)
        found = await queued
        assert (found.outcome, len(up.seen)) == ("refused", 1)
        first.take_back(HALTED)
        await holding
        await upstreams.close()
