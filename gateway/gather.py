"""Gathers the facts a decision may depend on: the only reader of the clock and of counters on the way of a call."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from gateway.call import Facts, Identity
from gateway.config.model import Limits
from gateway.errors import Refusal
from gateway.halting import Halting


class _Activity:
    """One agent's calls: how many run now, and how many began in the last sixty seconds (counted in whole seconds)."""

    __slots__ = ("in_flight", "ring", "second", "total")

    def __init__(self, second: int) -> None:
        self.ring = [0] * 60
        self.second = second
        self.total = 0
        self.in_flight = 0

    def turn(self, second: int) -> None:
        """Forget the seconds that have passed. A clock that goes back forgets nothing."""
        gone = second - self.second
        if gone <= 0:
            return
        for step in range(1, min(gone, 60) + 1):
            place = (self.second + step) % 60
            self.total -= self.ring[place]
            self.ring[place] = 0
        self.second = second


class Gatherer:
    """Admits identified calls within the limits and tells what the decision may know. One entry per registered agent."""

    def __init__(self, limits: Limits, halting: Halting, *, now_us: Callable[[], int] = lambda: time.time_ns() // 1000) -> None:
        self.halting = halting
        self._limits = limits
        self._now_us = now_us
        self._agents: dict[str, _Activity] = {}
        self._in_flight = 0

    def enter(self, identity: Identity, tool: str) -> Facts:
        """Count the call in and return its facts. Raises Refusal `overloaded` or `rate_limited`; then it was not counted in."""
        now_us = self._now_us()
        second = now_us // 1_000_000
        activity = self._agents.get(identity.agent)
        if activity is None:
            activity = self._agents[identity.agent] = _Activity(second)
        activity.turn(second)
        limits = self._limits
        if self._in_flight >= limits.in_flight_max:
            raise Refusal("overloaded", reason=f"{self._in_flight} calls in flight", retry_after_s=1)
        if activity.in_flight >= limits.in_flight_per_agent_max:
            raise Refusal("rate_limited", "Too many of your calls are running at once", retry_after_s=1)
        if activity.total >= limits.calls_per_minute_per_agent:
            raise Refusal("rate_limited", retry_after_s=self._wait_s(activity))
        facts = Facts(now_us=now_us, calls_last_minute=activity.total, calls_in_flight=activity.in_flight, halted=self.halting.halted(identity, tool))
        activity.ring[activity.second % 60] += 1
        activity.total += 1
        activity.in_flight += 1
        self._in_flight += 1
        return facts

    def look(self, identity: Identity, tool: str) -> Facts:
        """The facts as such a call would have them now. A question is no call: nothing is counted, no agent is remembered."""
        now_us = self._now_us()
        halted = self.halting.halted(identity, tool)
        activity = self._agents.get(identity.agent)
        if activity is None:
            return Facts(now_us=now_us, halted=halted)
        activity.turn(now_us // 1_000_000)
        return Facts(now_us=now_us, calls_last_minute=activity.total, calls_in_flight=activity.in_flight, halted=halted)

    def leave(self, identity: Identity) -> None:
        """The call is over. MUST be called once for each `enter` that returned."""
        self._agents[identity.agent].in_flight -= 1
        self._in_flight -= 1

    def _wait_s(self, activity: _Activity) -> int:
        """Seconds until the oldest second with calls in it leaves the window."""
        for age in range(59, -1, -1):
            if activity.ring[(activity.second - age) % 60]:
                return max(1, math.ceil(60 - age))
        return 1

    @property
    def in_flight(self) -> int:
        return self._in_flight
