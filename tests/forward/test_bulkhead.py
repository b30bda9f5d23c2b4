"""The bulkhead: places, a short queue, and nothing lost when callers give up."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest

from gateway.errors import Refusal
from gateway.forward.bulkhead import Bulkhead


async def refuses(bulkhead: Bulkhead) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await bulkhead.acquire("x")
    return caught.value


async def test_beyond_its_places_a_call_waits_for_a_moment_and_is_refused():
    bulkhead = Bulkhead(2, 0.01)
    await bulkhead.acquire("x")
    await bulkhead.acquire("x")
    refusal = await refuses(bulkhead)
    assert (refusal.code, refusal.retry_after_s, refusal.outcome) == ("overloaded", 1, "refused")
    assert bulkhead.taken == 2


async def test_a_place_given_back_goes_to_the_one_who_waited_longest():
    bulkhead, order = Bulkhead(2, 5), []
    await bulkhead.acquire("x")
    await bulkhead.acquire("x")

    async def one(name: str) -> None:
        await bulkhead.acquire("x")
        order.append(name)

    tasks = [asyncio.create_task(one(name)) for name in "ab"]
    await asyncio.sleep(0)
    bulkhead.release("x")
    assert not bulkhead.try_acquire("x")
    bulkhead.release("x")
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["a", "b"]


async def test_the_queue_is_no_longer_than_the_places():
    bulkhead = Bulkhead(2, 5)
    for _ in range(2):
        await bulkhead.acquire("x")
    waiting = [asyncio.create_task(bulkhead.acquire("x")) for _ in range(2)]
    await asyncio.sleep(0)
    assert (await refuses(bulkhead)).reason == "the tool's queue is full"
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_thousands_of_callers_who_give_up_at_any_instant_take_no_place_with_them():
    bulkhead, draw = Bulkhead(3, 0.002), random.Random(1)

    async def call() -> None:
        await bulkhead.acquire("x")
        try:
            for _ in range(draw.randrange(4)):
                await asyncio.sleep(0)
        finally:
            bulkhead.release("x")

    for _ in range(500):
        tasks = [asyncio.create_task(call()) for _ in range(6)]
        for _ in range(draw.randrange(6)):
            await asyncio.sleep(0)
        for task in draw.sample(tasks, 3):
            task.cancel()
        with contextlib.suppress(Refusal):
            await asyncio.gather(*tasks, return_exceptions=True)
    assert bulkhead.taken == 0
    assert all(bulkhead.try_acquire("x") for _ in range(3))
