"""The bulkhead of one tool: so many calls in flight at once, a short queue, and a quick refusal beyond it."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.errors import Refusal

RETRY_AFTER_S = 1


class Bulkhead:
    """Places for calls, handed on in the order of arrival. `places` is also the most that may wait.

    The last quarter of the places is kept for agents that hold fewer than a quarter, so that one agent with slow calls cannot take them all.
    Every `acquire` that returns MUST be followed by exactly one `release` for the same agent; one that raises holds nothing.
    """

    def __init__(self, places: int, queue_timeout_s: float) -> None:
        self._places = places
        self._queue_timeout_s = queue_timeout_s
        self._kept = places // 4
        self.taken = 0
        self._held: dict[str, int] = {}
        self._waiting: deque[tuple[asyncio.Future[None], str]] = deque()

    def _may(self, agent: str) -> bool:
        return self.taken < self._places - self._kept or (self.taken < self._places and self._held.get(agent, 0) < self._kept)

    def try_acquire(self, agent: str) -> bool:
        """Take a place if one is free: the way of nearly every call."""
        if not self._may(agent):
            return False
        self.taken += 1
        self._held[agent] = self._held.get(agent, 0) + 1
        return True

    async def acquire(self, agent: str) -> None:
        """Take a place, waiting for one if need be. Raises Refusal overloaded when the queue is full or the wait is over."""
        if self.try_acquire(agent):
            return
        if len(self._waiting) >= self._places:
            raise Refusal("overloaded", reason="the tool's queue is full", retry_after_s=RETRY_AFTER_S)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((turn, agent))
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await turn
        except TimeoutError:
            self._give_up(turn, agent)
            raise Refusal("overloaded", reason="no place in flight became free in time", retry_after_s=RETRY_AFTER_S) from None
        except asyncio.CancelledError:
            self._give_up(turn, agent)
            raise

    def release(self, agent: str) -> None:
        """Give the place back: straight to the one who waited longest among those who may have it."""
        self.taken -= 1
        self._held[agent] -= 1
        if not self._held[agent]:
            del self._held[agent]
        for waiting in tuple(self._waiting):
            turn, who = waiting
            if turn.done():
                self._waiting.remove(waiting)
            elif self.try_acquire(who):
                self._waiting.remove(waiting)
                turn.set_result(None)
                return

    def _give_up(self, turn: asyncio.Future[None], agent: str) -> None:
        if turn.done() and not turn.cancelled():
            self.release(agent)  # the place came in the same instant: hand it on
        elif (turn, agent) in self._waiting:
            self._waiting.remove((turn, agent))
