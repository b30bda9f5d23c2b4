"""Prunes a log: takes away its oldest segments, and leaves a record of it that verification asks for.

What stays of them are their leaf hashes, under which old proofs and checkpoints can still be checked, or with `roots_only` just the state that the
next segment begins with. Proofs of all that remains stay as they are: the tree is the same.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.call import Receipt
from gateway.config.model import LogSettings
from gateway.errors import Problem
from gateway.record.archiving import alone, sealed, sidecar_of
from gateway.record.control import append_record
from gateway.record.folder import LogFolder, sync_folder
from gateway.record.packed import SUFFIX
from gateway.record.sidecar import Sidecar

DAY_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be pruned: whole segments from the oldest on. `young` is how many of their records are younger than the retention allows."""

    segments: tuple[Sidecar, ...]
    young: int

    @property
    def records(self) -> int:
        return sum(len(found.leaves) for found in self.segments)

    @property
    def before(self) -> int:
        """The first record that stays."""
        return self.segments[-1].end if self.segments else 0


def plan(folder: LogFolder, settings: LogSettings, *, n: int | None = None, t: int | None = None, now_us: int | None = None) -> Plan:
    """What can go: segments all of whose records are before number `n`, or before time `t` in microseconds. Raises Problem, OSError."""
    kept_from = (time.time_ns() // 1000 if now_us is None else now_us) - settings.retention_days_min * DAY_US
    found: list[Sidecar] = []
    for first, path, state in sealed(folder):
        if n is not None and state.size > n:
            break
        sidecar = sidecar_of(folder, first, path, state)
        if t is not None and sidecar.last_t >= t:
            break
        found.append(sidecar)
    return Plan(tuple(found), sum(len(sidecar.leaves) for sidecar in found if sidecar.last_t >= kept_from))


def prune(settings: LogSettings, keys: Path, planned: Plan, why: str, *, force: bool, roots_only: bool) -> Receipt:
    """Record the pruning, then do it. Raises Problem: under a legal hold, or within the retention without `force`; OSError."""
    folder = LogFolder(settings.folder)
    folder.refuse_under_hold("prune")
    if planned.young and not force:
        days = settings.retention_days_min
        remedy = f"prune what is older, or give --force: retention_days_min is {days}"
        raise Problem("log_retention", f"{planned.young} of these records are younger than {days} days", file=str(folder.path), remedy=remedy)
    if not os.access(folder.segments, os.W_OK):
        remedy = "run this as the user that writes the log"
        raise Problem("log_unusable", "another user writes this log, and only that user can take segments away", file=str(folder.path), remedy=remedy)
    last = planned.segments[-1]
    body = {
        "before": planned.before,
        "records": planned.records,
        "segments": len(planned.segments),
        "root": last.root.hex(),
        "newest_t": last.last_t,
        "keeps": "root" if roots_only else "leaves",
        "retention_days_min": settings.retention_days_min,
        "forced": bool(planned.young),
        "why": why,
    }
    with alone(folder):
        receipt = append_record(settings, keys, "prune", body)
        _remove(folder, [found.first for found in planned.segments])
        for path in folder.segments.glob("*.leaves") if roots_only else ():
            if int(path.stem) < planned.before:  # those of earlier prunings, too: without these they prove nothing
                path.unlink()
        sync_folder(folder.segments)
    return receipt


def _remove(folder: LogFolder, segments: Sequence[int]) -> None:
    """Take segments away, the oldest first, each for good before the next: a power cut leaves a log that begins later, and never one with a hole.
    What was sealed goes before the segment that leads to it.
    """
    for first in segments:
        folder.payload_of(first).unlink(missing_ok=True)
    if folder.payload.is_dir():
        sync_folder(folder.payload)
    for first in segments:
        plain = folder.segment(first)
        for path in (plain, plain.with_name(plain.name + SUFFIX)):  # both, where archiving was interrupted
            path.unlink(missing_ok=True)
        sync_folder(folder.segments)
