"""What is counted of stopping: the halts in force, and the calls that were cut on their way."""

from __future__ import annotations

from collections import Counter as Count
from collections.abc import Iterable
from typing import get_args

from prometheus_client import CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from gateway.stores.halts import HaltBoard, Kind

CODES = ("halted", "invalid_token", "state_unavailable")
"""The refusals that can stop a call on its way (see halting.py)."""


class HaltMetrics(Collector):
    """Part of `Metrics`. `board` is read at scrape time."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.board = HaltBoard()
        self._stopped = Counter(
            "portreeve_calls_stopped", "Calls cut on their way, open streams among them, by refusal code", ["code"], registry=registry
        )
        for code in CODES:
            self._stopped.labels(code)
        registry.register(self)

    def collect(self) -> Iterable[GaugeMetricFamily]:
        found = Count(kind for kind, _ in self.board.halts)
        if self.board.glass_broken:
            found["all"] = 1
        halts = GaugeMetricFamily("portreeve_halts", "Halts in force, by kind", labels=["kind"])
        for kind in get_args(Kind):
            halts.add_metric([kind], found[kind])
        yield halts

    def stopped(self, code: str) -> None:
        """Count one call that was cut; `code` is one of CODES."""
        self._stopped.labels(code).inc()
