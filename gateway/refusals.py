"""Counts refusals that get no record of their own and writes one summary record per window.

A flood of requests without identity must not fill the log: each is counted, a few are sampled, and the sum is durable once per window.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import Counter

from gateway.call import Receipt, ToolCall
from gateway.canonical import Json
from gateway.config.model import Limits
from gateway.errors import Refusal
from gateway.record import Log

KEYS_MAX = 64
SAMPLES_BYTES_MAX = 24_576
"""A summary has to fit into one line of the log (64 KiB), however many samples the settings ask for and whatever strangers write."""


class RefusalSummary:
    """Collects refusals and appends a `refusals` record when a window that saw some ends. `close()` writes what is left."""

    def __init__(self, log: Log, limits: Limits) -> None:
        self._log = log
        self._limits = limits
        self._timer: asyncio.TimerHandle | None = None
        self._from_us = 0
        self._by: Counter[str] = Counter()
        self._samples: list[Json] = []
        self._sampled_bytes = 0
        self._total = 0

    def add(self, refusal: Refusal, *, call: ToolCall | None = None, peer: str = "") -> None:
        """Count one refusal. The reason goes to the log only; the token as the first 12 hex digits of its SHA-256."""
        now_us = time.time_ns() // 1000
        if self._timer is None:
            self._from_us = now_us
            self._timer = asyncio.get_running_loop().call_later(self._limits.refusal_window_s, self.flush)
        self._total += 1
        key = f"{refusal.code}: {refusal.reason[:120]}"
        self._by[key if key in self._by or len(self._by) < KEYS_MAX else f"{refusal.code}: other"] += 1
        if len(self._samples) >= self._limits.refusals_sampled_per_window or self._sampled_bytes > SAMPLES_BYTES_MAX:
            return
        token = call.token if call else None
        sample: dict[str, Json] = {
            "t": now_us,
            "id": call.id if call else "",
            "tool": call.tool[:64] if call else "",
            "peer": call.peer if call else peer,
            "code": refusal.code,
            "reason": refusal.reason[:300],
            "token": hashlib.sha256(token.reveal().encode("utf-8", "surrogatepass")).hexdigest()[:12] if token else "",
        }
        self._samples.append(sample)
        self._sampled_bytes += len(repr(sample).encode("utf-8", "backslashreplace"))

    def flush(self) -> asyncio.Future[Receipt] | None:
        """Write the window's summary, if it saw anything."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._total:
            return None
        body = {
            "from": self._from_us,
            "to": time.time_ns() // 1000,
            "total": self._total,
            "by": dict(self._by.most_common()),
            "samples": self._samples,
        }
        self._by, self._samples, self._sampled_bytes, self._total = Counter(), [], 0, 0
        written = self._log.append("refusals", body)
        written.add_done_callback(lambda done: done.cancelled() or done.exception())
        return written

    async def close(self) -> None:
        """Write what is left; a log that cannot take it is reported by the log itself."""
        written = self.flush()
        if written is not None:
            await asyncio.wait([written])
