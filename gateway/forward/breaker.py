"""The circuit breaker of one tool at one host: stops calls to what is failing, and lets a few through to see whether it recovered.

Definition after resilience4j: a sliding window of ten buckets; opens when enough calls were seen and enough of them failed; stays open for a
time that doubles with each failed recovery; then a few probes at once, all of which must succeed.

| state     | enter                                        | success                    | failure                 |
|-----------|----------------------------------------------|----------------------------|-------------------------|
| closed    | let through                                  | counted                    | counted; enough -> open |
| open      | refused; once its time is over -> half_open  | ignored (a late result)    | ignored (a late result) |
| half_open | the first few let through, the rest refused  | all of the few -> closed   | -> open, twice as long  |

A result counts only in the state that let the call through, or a slow answer from before an outage would close the circuit in the midst of it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Literal

from gateway.config.model import ToolSettings
from gateway.errors import Refusal

State = Literal["closed", "open", "half_open"]
Vote = Literal["success", "failure"]
OnChange = Callable[[str, str, State], None]

BUCKETS = 10
HALF_OPEN_RETRY_AFTER_S = 1
JITTER = 0.2


class Breaker:
    """Counts votes and says who may pass. All times are seconds of a monotonic clock handed in as `now_s`; `uniform` draws the jitter.

    `enter` gives a ticket; each ticket MUST come back through `leave` exactly once, with a vote or with None (the client left, or nothing was
    tried). `break_later` adds a failure for a ticket that had left with success: its stream broke afterwards.
    """

    def __init__(self, tool: ToolSettings, host: str, on_change: OnChange, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self._tool = tool
        self._host = host
        self._on_change = on_change
        self._uniform = uniform
        self.state: State = "closed"
        self._ticket = 0  # of the state now in force; changes with every change of state
        self._bucket_s = tool.breaker_window_s / BUCKETS
        self._calls = [0] * BUCKETS
        self._failures = [0] * BUCKETS
        self._bucket = 0
        self._openings = 0
        self._open_until_s = 0.0
        self._probes_out = [0, 0]  # of calls whose request is all here, and of slow ones
        self._probes_passed = 0

    def enter(self, now_s: float, *, slow: bool = False) -> int:
        """A ticket for one call. Raises Refusal circuit_open with the seconds to wait.

        `slow`: its client has still to send the body. Such a probe takes no other's place, or clients that never finish could keep all out.
        """
        if self.state == "closed":
            return self._ticket
        if self.state == "open":
            if now_s < self._open_until_s:
                raise self._refusal(max(1, round(self._open_until_s - now_s)))
            self._become("half_open", now_s)
        if self._probes_out[slow] + self._probes_passed >= self._tool.breaker_probes:
            raise self._refusal(HALF_OPEN_RETRY_AFTER_S)
        self._probes_out[slow] += 1
        return self._ticket

    def leave(self, ticket: int, vote: Vote | None, now_s: float, *, slow: bool = False) -> None:
        if ticket != self._ticket:
            return
        if self.state == "half_open":
            self._probes_out[slow] -= 1
            if vote == "failure":
                self._become("open", now_s)
            elif vote == "success":
                self._probes_passed += 1
                if self._probes_passed >= self._tool.breaker_probes:
                    self._become("closed", now_s)
        elif vote is not None:
            self._count(vote, now_s)

    def break_later(self, ticket: int, now_s: float) -> None:
        if ticket != self._ticket:
            return
        if self.state == "half_open":
            self._become("open", now_s)
        else:
            self._count("failure", now_s)

    def _count(self, vote: Vote, now_s: float) -> None:
        self._advance(now_s)
        slot = self._bucket % BUCKETS
        self._calls[slot] += 1
        if vote == "failure":
            self._failures[slot] += 1
            calls = sum(self._calls)
            if calls >= self._tool.breaker_calls_min and sum(self._failures) >= calls * self._tool.breaker_failure_ratio:
                self._become("open", now_s)

    def _advance(self, now_s: float) -> None:
        """Forget the buckets that have left the window. A clock that steps back counts into the bucket it was in."""
        bucket = int(now_s / self._bucket_s)
        for step in range(self._bucket + 1, min(bucket, self._bucket + BUCKETS) + 1):
            self._calls[step % BUCKETS] = self._failures[step % BUCKETS] = 0
        if bucket > self._bucket + BUCKETS:
            self._calls, self._failures = [0] * BUCKETS, [0] * BUCKETS
        self._bucket = max(self._bucket, bucket)

    def _become(self, state: State, now_s: float) -> None:
        """The only place where the state changes."""
        self.state = state
        self._ticket += 1
        self._probes_out, self._probes_passed = [0, 0], 0
        if state == "open":
            wait_s = min(self._tool.breaker_open_s * 2**self._openings, self._tool.breaker_open_s_max)
            # spread, so that many gateways do not probe a recovering upstream in the same instant
            self._open_until_s = now_s + wait_s * self._uniform(1 - JITTER, 1 + JITTER)
            self._openings = min(self._openings + 1, 32)
        elif state == "closed":
            self._openings = 0
            self._calls, self._failures = [0] * BUCKETS, [0] * BUCKETS
        self._on_change(self._tool.name, self._host, state)

    def _refusal(self, retry_after_s: int) -> Refusal:
        return Refusal("circuit_open", reason=f"the breaker for {self._host} is {self.state}", retry_after_s=retry_after_s)
