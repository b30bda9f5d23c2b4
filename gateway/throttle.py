"""How often something may happen per name and minute: a bucket for each name, bounded in number."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable

NAMES_MAX = 8_192


class Throttle:
    """Lets `per_minute` things of one name happen in a minute, at most that many at once. `clock` is in seconds and never goes back.

    The names come from strangers, so the ones seen longest ago are forgotten when there are too many: that lets somebody off early, never locks out.
    """

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._used: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def is_over(self, name: Hashable) -> bool:
        """Whether the name has used up what it may. Counts nothing."""
        return self._level(name) + 1 > self._per_minute

    def count(self, name: Hashable) -> None:
        """One more of this name."""
        level = self._level(name) + 1
        self._used.pop(name, None)
        self._used[name] = (min(level, self._per_minute), self._clock())
        if len(self._used) > NAMES_MAX:
            self._used.popitem(last=False)

    def wait_s(self) -> int:
        """How long until one more is let through."""
        return max(1, -(-60 // self._per_minute))

    def _level(self, name: Hashable) -> float:
        level, at = self._used.get(name, (0.0, 0.0))
        return max(0.0, level - (self._clock() - at) * self._per_minute / 60)
