"""Counts over many decisions how often each policy applied and did not, and how often each of its conditions held and failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from gateway.authorize.bundle import Bundle
from gateway.authorize.conditions import Condition, dissect
from gateway.authorize.engine import EngineError, Uid
from gateway.authorize.judgement import STOP
from gateway.authorize.policy import Policy
from gateway.authorize.trial import Trial
from gateway.call import Basis
from gateway.canonical import Json, loads_trusted

TRIALS_MAX = 1_024

Taken = Literal["asked", "stopped", "unfit", "withheld"]
"""What came of a decision here. `stopped`: the gateway decided before policy. `unfit`: it does not fit today's contracts and identities.
`withheld`: its inputs cannot be had any more; whoever reads the log counts those.
"""


@dataclass(frozen=True, slots=True)
class Tally:
    """How often something came out true and how often false."""

    true: int
    false: int

    @property
    def seen(self) -> int:
        """How many of the two outcomes were ever seen."""
        return bool(self.true) + bool(self.false)


@dataclass(frozen=True, slots=True)
class Covered:
    """One policy: how often it applied, out of all decisions, and how often each condition held, out of those that came as far as it."""

    policy: Policy
    applied: Tally
    conditions: tuple[tuple[Condition, Tally], ...]

    @property
    def tallies(self) -> tuple[Tally, ...]:
        return (self.applied, *(tally for _, tally in self.conditions))


class Coverage:
    """Collects decisions. Policies and schema are those of the bundle, whatever was in force when a decision was made."""

    def __init__(self, bundle: Bundle) -> None:
        self.taken: Counter[Taken] = Counter()
        self._bundle = bundle
        self._applied: Counter[str] = Counter()
        self._conditions: Counter[tuple[str, int, bool]] = Counter()
        self._trial: Callable[[tuple[str, str, str], bytes], Trial] = lru_cache(maxsize=TRIALS_MAX)(self._make_trial)

    def add(self, who: tuple[str, str, str], context: Mapping[str, Json], entities: bytes) -> None:
        """Count one decision: principal, action and resource as they are recorded, the typed context, the JSON of the entities."""
        self.taken[self._take(who, context, entities)] += 1

    def add_basis(self, basis: Basis) -> None:
        self.add((basis.principal, basis.action, basis.resource), loads_trusted(basis.context), basis.entities.data)

    def report(self) -> tuple[Covered, ...]:
        """Every policy, in the order of the bundle."""
        return tuple(self._covered(policy) for policy in self._bundle.library.policies)

    def _take(self, who: tuple[str, str, str], context: Mapping[str, Json], entities: bytes) -> Taken:
        if STOP in context:
            return "stopped"
        try:
            found = self._trial(who, entities).look(context)
        except (EngineError, KeyError, ValueError):  # an operation or argument that is no more
            return "unfit"
        for near in found:
            self._applied[near.policy.id] += near.applies
            for number, seen in enumerate(near.seen):
                if seen.reached and seen.outcome != "erred":
                    self._conditions[near.policy.id, number, seen.outcome == "held"] += 1
        return "asked"

    def _make_trial(self, who: tuple[str, str, str], entities: bytes) -> Trial:
        principal, action, resource = (Uid.parse(name) for name in who)
        return Trial(self._bundle.library, self._bundle.library.seat(principal, action, resource, entities, projected=False))

    def _covered(self, policy: Policy) -> Covered:
        applied = self._applied[policy.id]
        conditions = tuple(
            (condition, Tally(self._conditions[policy.id, number, True], self._conditions[policy.id, number, False]))
            for number, condition in enumerate(dissect(policy).conditions)
        )
        return Covered(policy, Tally(applied, self.taken["asked"] - applied), conditions)


def percent(report: Sequence[Covered]) -> float | None:
    """The share of outcomes seen, true and false of every policy and condition, in percent. None where there is no policy: nothing is no share."""
    tallies = [tally for covered in report for tally in covered.tallies]
    return 100 * sum(tally.seen for tally in tallies) / (2 * len(tallies)) if tallies else None
