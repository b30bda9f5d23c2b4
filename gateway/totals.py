"""The metrics of several workers as those of one gateway: what they count is added up, and what a worker that ended had counted stays.

Works on the exposition text of `gateway.metrics`, so a metric that is added there is summed here by its type.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

SUMMED = frozenset({"portreeve_calls_in_flight", "portreeve_workers"})
"""Gauges of which each worker has its part. Of the others the largest value is shown: a breaker that is open somewhere is open."""
LOG = "portreeve_log_"
LOG_SIZE = "portreeve_log_size"
"""The log is one, so its gauges are taken together from the worker that knows most of it."""
COUNTED = frozenset({"counter", "histogram", "summary"})


@dataclass(slots=True)
class _Seen:
    """One exposition. `kinds` and `heads` (the comment lines) by family; `values` by family, then by sample with its labels."""

    kinds: dict[str, str] = field(default_factory=dict)
    heads: dict[str, list[str]] = field(default_factory=dict)
    values: dict[str, dict[str, float]] = field(default_factory=dict)


class Totals:
    """`saw` what a worker exposes, `retire` a worker that has ended, read the `text` of all. Counters never go back."""

    def __init__(self) -> None:
        self._seen: dict[int, _Seen] = {}
        self._retired: dict[str, dict[str, float]] = {}

    def saw(self, worker: int, text: str) -> None:
        """Keep a worker's newest exposition."""
        self._seen[worker] = _read(text)

    def retire(self, worker: int) -> None:
        """The worker has ended: what it was last seen to have counted is kept for good."""
        seen = self._seen.pop(worker, None)
        for family, values in seen.values.items() if seen else ():
            if seen and seen.kinds[family] in COUNTED:
                for sample, value in values.items():
                    self.add(family, sample, value)

    def add(self, family: str, sample: str, value: float = 1.0) -> None:
        """Count something that no worker can, or no longer can. `sample` is the name with its labels, as it is exposed."""
        kept = self._retired.setdefault(family, {})
        kept[sample] = kept.get(sample, 0.0) + value

    def text(self) -> str:
        merged = _Seen()
        longest = max(self._seen.values(), key=lambda seen: sum(seen.values.get(LOG_SIZE, {}).values()), default=None)
        for seen in self._seen.values():
            for family, kind in seen.kinds.items():
                if kind == "gauge" and family.startswith(LOG) and seen is not longest:
                    continue
                merged.kinds[family] = kind
                merged.heads.setdefault(family, seen.heads[family])
                into = merged.values.setdefault(family, {})
                for sample, value in seen.values.get(family, {}).items():
                    into[sample] = _joined(family, kind, into.get(sample), value)
        for family, kept in self._retired.items():
            into = merged.values.get(family, {})
            for sample, value in kept.items():
                into[sample] = into.get(sample, 0.0) + value
        return "".join(_lines(merged))


def _joined(family: str, kind: str, before: float | None, value: float) -> float:
    if before is None:
        return value
    if kind in COUNTED or family in SUMMED:
        return before + value
    return min(before, value) if family.endswith("_created") else max(before, value)


def _read(text: str) -> _Seen:
    """Our own exposition text: `# HELP`, `# TYPE`, then the samples of that family."""
    seen = _Seen()
    family = ""
    for line in text.splitlines():
        if line.startswith("# "):
            _, word, family, rest = line.split(" ", 3)
            seen.heads.setdefault(family, []).append(line)
            if word == "TYPE":
                seen.kinds[family] = rest
                seen.values.setdefault(family, {})
        elif line:
            sample, _, value = line.rpartition(" ")
            seen.values[family][sample] = float(value)
    return seen


def _lines(seen: _Seen) -> Iterator[str]:
    for family in seen.kinds:
        for head in seen.heads[family]:
            yield f"{head}\n"
        for sample, value in seen.values[family].items():
            yield f"{sample} {value}\n"
