"""The bulkhead of one tool: so many calls in flight at once, a short queue, and a quick refusal beyond it."""

from __future__ import annotations

import asyncio
from collections import deque

from gateway.errors import Refusal

RETRY_AFTER_S = 1


class Bulkhead:
    """Places for calls, handed on in the order of arrival. `places` is also the most that may wait.

    Every `acquire` that returns MUST be followed by exactly one `release`; one that raises holds nothing.
    """

    def __init__(self, places: int, queue_timeout_s: float) -> None:
        self._places = places
        self._queue_timeout_s = queue_timeout_s
        self.taken = 0
        self._waiting: deque[asyncio.Future[None]] = deque()

    def try_acquire(self) -> bool:
        """Take a place if one is free: the way of nearly every call."""
        if self.taken < self._places:
            self.taken += 1
            return True
        return False

    async def acquire(self) -> None:
        """Take a place, waiting for one if need be. Raises Refusal overloaded when the queue is full or the wait is over."""
        if self.try_acquire():
            return
        if len(self._waiting) >= self._places:
            raise Refusal("overloaded", reason="the tool's queue is full", retry_after_s=RETRY_AFTER_S)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await turn
        except TimeoutError:
            self._give_up(turn)
            raise Refusal("overloaded", reason="no place in flight became free in time", retry_after_s=RETRY_AFTER_S) from None
        except asyncio.CancelledError:
            self._give_up(turn)
            raise

    def release(self) -> None:
        """Give the place back: straight to the one who waited longest, so that no newcomer overtakes."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.taken -= 1

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if turn.done() and not turn.cancelled():
            self.release()  # the place came in the same instant: hand it on
        elif turn in self._waiting:
            self._waiting.remove(turn)
