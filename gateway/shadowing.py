"""Decides every call once more by a candidate policies folder, behind the reply: what a change would do is known before it is in force.

Nothing here can harm a call or the policies in force. The work waits in a short queue and is done in small slices of the loop's time; what
finds no place is counted and forgotten. A candidate that does not load is reported, and that is all.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from time import perf_counter

from gateway.authorize import Bundle, load_bundle
from gateway.authorize.engine import EngineError
from gateway.authorize.rerun import again, flip, judgement_of
from gateway.call import Basis, Receipt
from gateway.config.model import Settings
from gateway.errors import Problem, Problems
from gateway.identities import Identities
from gateway.metrics import Metrics
from gateway.record import Log
from gateway.tools.catalogue import Catalogue

QUEUE_MAX = 1_024
SLICE_S = 0.001
"""How long evaluations may hold the loop at a time; one that has begun ends."""
PAUSE_S = 0.004
"""Between two slices, so that candidates get at most a fifth of a busy loop's time."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The candidate of a deployment. `bundle` is None where it does not load; `problems` then say why."""

    bundle: Bundle | None
    problems: tuple[Problem, ...] = ()


def load_candidate(settings: Settings, catalogue: Catalogue, identities: Identities) -> Candidate | None:
    """Load the folder that `[gateway] candidate` names, with all checks of a live one. None where none is named. Raises nothing for its faults."""
    if settings.candidate is None:
        return None
    try:
        return Candidate(load_bundle(settings.candidate, catalogue.operations(), settings.tools.values(), identities))
    except Problems as found:
        return Candidate(None, tuple(found.problems))
    except (OSError, ValueError, RecursionError) as error:  # no fault that a load foresees, and still none of the policies in force
        remedy = "run `portreeve policy check --candidate` on it"
        return Candidate(None, (Problem("candidate_broken", f"{type(error).__name__}: {error}", file=str(settings.candidate), remedy=remedy),))


@dataclass(frozen=True, slots=True)
class _Waiting:
    bundle: Bundle
    basis: Basis
    n: int


class Shadowing:
    """Evaluates decided calls against the candidate of their state. Flips go to the log as `shadow` records, counts to the metrics."""

    def __init__(self, log: Log, metrics: Metrics) -> None:
        self._log = log
        self._metrics = metrics
        self._queue: deque[_Waiting] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, candidate: Candidate | None, basis: Basis | None, n: int) -> None:
        """Take up a decision whose record is `n`, if there is a candidate to ask and the decision was one of policy. Never waits."""
        if candidate is None or candidate.bundle is None or basis is None:
            return
        if len(self._queue) >= QUEUE_MAX:
            self._metrics.candidate_dropped.inc()
            return
        self._queue.append(_Waiting(candidate.bundle, basis, n))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._work)

    def close(self) -> None:
        """Evaluate what still waits, before the log closes."""
        if self._timer is not None:
            self._timer.cancel()
        while self._queue:
            self._evaluate(self._queue.popleft())

    def _work(self) -> None:
        """One slice. Goes on later even when an evaluation broke: the one that broke is out of the queue."""
        self._timer = None
        end = perf_counter() + SLICE_S
        try:
            while self._queue and perf_counter() < end:
                self._evaluate(self._queue.popleft())
        finally:
            if self._queue:
                self._timer = asyncio.get_running_loop().call_later(PAUSE_S, self._work)

    def _evaluate(self, waiting: _Waiting) -> None:
        try:
            after = again(waiting.bundle, waiting.basis)
        except EngineError:
            self._metrics.candidate_dropped.inc()
            return
        if after is None:
            return
        self._metrics.candidate_evaluations.inc()
        changed = flip(judgement_of(waiting.basis), after)
        if changed is None:
            return
        self._metrics.candidate_flipped(changed.before, changed.after)
        body = {
            "call": waiting.n,
            "candidate": waiting.bundle.digest,
            "decision": after.verdict,
            "reasons": after.reasons,
            "errors": [text.partition(":")[0] for text in after.errors],  # what follows may quote an argument that the log must not hold
        }
        self._log.append("shadow", body, lazily=True).add_done_callback(self._written)

    def _written(self, written: asyncio.Future[Receipt]) -> None:
        if written.cancelled() or written.exception() is not None:
            self._metrics.candidate_dropped.inc()
