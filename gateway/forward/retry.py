"""Further attempts after a first one that failed: what may be repeated, how often, how long to wait, and who pays for it.

Entered only after a retryable first attempt: tenacity's loop would cost 25 us on every call that needs none. Full jitter between attempts,
`Retry-After` honoured, a budget per tool so that retries never multiply the load on an upstream in trouble.
"""

from __future__ import annotations

import email.utils
import time
from collections.abc import Awaitable, Callable

import tenacity

from gateway.forward.exchange import Failed, Incoming, Outgoing

Tried = Incoming | Failed

RETRY_STATUSES = frozenset({429, 502, 503, 504})
WAIT_S_MIN, WAIT_S_MAX = 0.1, 2.0
RETRY_AFTER_S_MAX = 20.0
BUDGET_S = 10.0
"""How many seconds of its floor a budget can save up."""


class Budget:
    """How many retries a tool may still afford: a share of its calls, and a few per second for tools that are called rarely."""

    def __init__(self, ratio: float, floor_per_s: float, now_s: float) -> None:
        self._ratio = ratio
        self._floor_per_s = floor_per_s
        self._balance_max = max(1.0, floor_per_s * BUDGET_S)
        self._balance = self._balance_max if floor_per_s or ratio else 0.0
        self._at_s = now_s

    def deposit(self) -> None:
        """A call was made."""
        if self._balance < self._balance_max:
            self._balance = min(self._balance_max, self._balance + self._ratio)

    def withdraw(self, now_s: float) -> bool:
        """Whether one retry can be paid for; pays it."""
        self._balance = min(self._balance_max, self._balance + max(0.0, now_s - self._at_s) * self._floor_per_s)
        self._at_s = now_s
        if self._balance < 1:
            return False
        self._balance -= 1
        return True


def may_repeat(tried: Tried, outgoing: Outgoing, *, body_bytes_max: int) -> bool:
    """Whether another attempt does no harm and may do good.

    Nothing sent: any request may go again. Else only one whose repetition changes nothing, whose body is at hand and small, and of whose
    answer nothing was handed down.
    """
    if outgoing.body_started or (isinstance(outgoing.body, bytes) and len(outgoing.body) > body_bytes_max):
        return False
    if isinstance(tried, Failed):
        if not tried.sent:
            return tried.kind == "unreachable"
        return outgoing.repeatable and tried.kind in ("broken", "timeout")
    if tried.status not in RETRY_STATUSES or not outgoing.repeatable or not isinstance(tried.body, bytes):
        return False
    return tried.status != 429 or retry_after_s(tried) is not None


def retry_after_s(tried: Tried) -> float | None:
    """What the upstream asked for in `Retry-After` (RFC 9110 10.2.3), in seconds from now; None when it said nothing that can be read."""
    if isinstance(tried, Failed):
        return None
    for name, value in tried.headers:
        if name == b"retry-after":
            if value.isdigit() and len(value) < 10:
                return float(value)
            try:
                return max(0.0, email.utils.parsedate_to_datetime(value.decode("ascii")).timestamp() - time.time())
            except (ValueError, OverflowError):
                return None
    return None


class Plan:
    """The terms of the further attempts of one call. `left_s` gives the seconds to its deadline, `pay` takes one retry from the budget."""

    def __init__(self, retries_max: int, may: Callable[[Tried], bool], left_s: Callable[[], float], pay: Callable[[], bool]) -> None:
        self._enough = tenacity.stop_after_attempt(1 + retries_max)
        self._may = may
        self._left_s = left_s
        self._pay = pay
        self._jitter = tenacity.wait_random_exponential(multiplier=2 * WAIT_S_MIN, max=WAIT_S_MAX, min=WAIT_S_MIN)

    async def again(self, first: Tried, attempt: Callable[[Tried], Awaitable[Tried]], sleep: Callable[[float], Awaitable[None]]) -> Tried:
        """The best that could be had: a first answer that needs no retry, or the last one tried. `attempt` gets what the one before came to."""
        pending: Tried | None = first
        last = first

        async def step() -> Tried:
            nonlocal pending, last
            if pending is not None:  # tenacity's first round is the attempt that has already been made
                pending = None
                return first
            last = await attempt(last)
            return last

        retrying = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_result(self._may),
            wait=self._wait_s,
            stop=self._is_over,
            sleep=sleep,
            retry_error_callback=lambda _: last,
        )
        return await retrying(step)

    def _wait_s(self, state: tenacity.RetryCallState) -> float:
        assert state.outcome
        asked = retry_after_s(state.outcome.result())
        return asked if asked is not None else self._jitter(state)

    def _is_over(self, state: tenacity.RetryCallState) -> bool:
        wait_s = state.upcoming_sleep
        return self._enough(state) or wait_s > RETRY_AFTER_S_MAX or wait_s >= self._left_s() or not self._pay()
