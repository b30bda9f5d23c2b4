"""Explains one decision: which policies were near, which of their conditions held, and what would have changed the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from gateway.authorize.bundle import Bundle
from gateway.authorize.engine import EngineError, Uid
from gateway.authorize.judgement import Judgement, judge, message, stopped
from gateway.authorize.library import Library, Seat
from gateway.authorize.replay import ReplayError, reopen
from gateway.authorize.trial import Near, Seen, Trial
from gateway.call import Basis
from gateway.canonical import Json, loads_trusted
from gateway.errors import Problem

_HELD = "require_approval"


@dataclass(frozen=True, slots=True)
class Step:
    """What one policy would have to do. `apply`: all of these conditions have to hold. `not apply`: any one of them has to fail."""

    policy: str
    want: Literal["apply", "not apply"]
    conditions: tuple[Seen, ...]

    @property
    def is_single(self) -> bool:
        """Whether one condition is enough."""
        return self.want == "not apply" or len(self.conditions) == 1


@dataclass(frozen=True, slots=True)
class Change:
    """One way to another answer: all of its steps together."""

    to: Literal["allow", "deny", "hold"]
    steps: tuple[Step, ...]

    @property
    def is_single(self) -> bool:
        return len(self.steps) == 1 and self.steps[0].is_single


@dataclass(frozen=True, slots=True)
class Explanation:
    """A decision with the policies near it. `notes` say what no condition can change, or why policy was not asked."""

    who: tuple[str, str, str]
    context: Mapping[str, Json]
    judgement: Judgement
    message: str
    near: tuple[Near, ...]
    changes: tuple[Change, ...]
    notes: tuple[str, ...]


def explain_record(authz: Mapping[str, Json], blob: Callable[[str], bytes]) -> Explanation:
    """Explain a recorded decision by the policies that were in force. Raises ReplayError, and what `blob` raises."""
    try:
        who, context = (authz["p"], authz["a"], authz["r"]), authz["ctx"]
        halt = stopped(context)
        if halt is not None:
            return _stopped(who, context, halt)
        library, seat = reopen(authz, blob)
        return _explain(library, seat, who, context)
    except (KeyError, TypeError, EngineError, Problem) as error:
        raise ReplayError(f"{type(error).__name__}: {error}") from error


def explain_basis(bundle: Bundle, basis: Basis) -> Explanation:
    """Explain a decision that this bundle has just made."""
    who, context = (basis.principal, basis.action, basis.resource), loads_trusted(basis.context)
    halt = stopped(context)
    if halt is not None:
        return _stopped(who, context, halt)
    principal, action, resource = (Uid.parse(name) for name in who)
    seat = bundle.library.seat(principal, action, resource, basis.entities.data, projected=False)
    return _explain(bundle.library, seat, who, context)


def _stopped(who: tuple[str, str, str], context: Mapping[str, Json], halt: Judgement) -> Explanation:
    why = ", ".join((*halt.reasons, *halt.errors))
    return Explanation(who, context, halt, "", (), (), (f"the gateway decided before policy was asked: {why}",))


def _explain(library: Library, seat: Seat, who: tuple[str, str, str], context: Mapping[str, Json]) -> Explanation:
    judgement = judge(seat.evaluate(context), library.by_id)
    near = Trial(library, seat).look(context)
    changes, notes = _changes(judgement, [n for n in near if not n.policy.shadow])
    return Explanation(who, context, judgement, message(judgement, library.by_id), near, changes, notes)


def _changes(judgement: Judgement, near: list[Near]) -> tuple[tuple[Change, ...], tuple[str, ...]]:
    """The ways to another answer, those of fewest conditions first."""
    if judgement.verdict == "error":
        return (), ("a condition that cannot be evaluated denies the call: ask first with `has`, or keep the arithmetic within 64 bits",)
    permits = [n for n in near if n.policy.effect == "permit"]
    forbids = [n for n in near if n.policy.effect == "forbid"]
    changes, notes = _to_deny(permits, forbids) if judgement.verdict in {"allow", "hold"} else _to_allow(permits, forbids)
    return tuple(sorted(changes, key=lambda change: sum(1 if step.is_single else len(step.conditions) for step in change.steps))), tuple(notes)


def _to_allow(permits: list[Near], forbids: list[Near]) -> tuple[list[Change], list[str]]:
    """Every forbid that applies has to stop, and one permit has to apply."""
    notes = [f"{n.policy.id} applies whatever the call holds: it has no condition" for n in forbids if n.applies and not n.seen]
    if not permits:
        notes.append("no permit is for this agent, operation and tool: a policy would have to be written")
    if notes:
        return [], notes
    stops = tuple(Step(n.policy.id, "not apply", n.seen) for n in forbids if n.applies)
    applied = [n for n in permits if n.applies]
    if applied:
        return [Change(_allowed(applied), stops)], []
    return [Change(_allowed([n]), (*stops, Step(n.policy.id, "apply", n.missing))) for n in permits], []


def _to_deny(permits: list[Near], forbids: list[Near]) -> tuple[list[Change], list[str]]:
    """One forbid has to apply, or every permit that does has to stop."""
    changes = [Change("deny", (Step(n.policy.id, "apply", n.missing),)) for n in forbids]
    applied = [n for n in permits if n.applies]
    if all(n.seen for n in applied):
        changes.append(Change("deny", tuple(Step(n.policy.id, "not apply", n.seen) for n in applied)))
    if not changes:
        return [], ["nothing that the call holds would change this: a permit applies without condition, and no forbid is near"]
    return changes, []


def _allowed(permits: list[Near]) -> Literal["allow", "hold"]:
    return "hold" if _HELD in chain.from_iterable(n.policy.annotations for n in permits) else "allow"
