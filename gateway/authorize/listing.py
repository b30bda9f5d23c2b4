"""Says what an agent may call, before it calls: for each operation whether policy could allow it, and on what conditions.

An operation is hidden only where it is certain that every call of it is denied. Whatever depends on the call itself is shown with the
conditions that remain, in the words of the policies. Nothing here decides a call.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.authorize.bundle import Bundle
from gateway.authorize.conditions import dissect
from gateway.authorize.engine import evaluate_partly
from gateway.authorize.plans import caller
from gateway.authorize.policy import Policy
from gateway.call import Identity, Operation
from gateway.canonical import Json

_OF_THE_CALL = re.compile(r"\bcontext(?: has |\.)(?:input|facts|raw|request|run|now|weekday)\b")

_OF_THE_CONTEXT = re.compile(r"\bcontext\b")


@dataclass(frozen=True, slots=True)
class Remaining:
    """One policy that the call itself decides. `says` are its author's words, `conditions` what it asks of the call."""

    policy: str
    effect: Literal["permit", "forbid"]
    says: str
    conditions: tuple[str, ...]
    approval: str

    @property
    def json(self) -> Mapping[str, Json]:
        found: dict[str, Json] = {"effect": self.effect, "says": self.says, "conditions": list(self.conditions), "approval": self.approval}
        return {name: value for name, value in found.items() if value}


@dataclass(frozen=True, slots=True)
class Listed:
    """An operation that an agent may hope for. `approval` names the groups one of which must approve, where that is certain."""

    operation: Operation
    answer: Literal["allow", "approval", "depends"]
    approval: tuple[str, ...]
    remaining: tuple[Remaining, ...]


def listed(bundle: Bundle, identity: Identity, action: str) -> Listed | None:
    """What to tell this caller of this action. None: nothing, because no call of it with this token can be allowed."""
    absent = frozenset({"user"} - caller(identity).keys())  # without a user in the token there is none
    return _look(bundle, identity.agent, action, caller(identity), absent)


def outlook(bundle: Bundle, agent: str, action: str) -> Listed | None:
    """The same where of the caller nothing but the agent is known. None: no call of it by this agent can be allowed, whatever its token says."""
    without, with_user = (_look(bundle, agent, action, {}, absent) for absent in (frozenset({"user"}), frozenset[str]()))
    if without == with_user:
        return without
    both = {one.policy: one for found in (without, with_user) if found is not None for one in found.remaining}
    on_user = [policy for policy in bundle.near(agent, action) if not policy.shadow and any(path[:1] in {("user",), ()} for path in policy.paths)]
    both |= {policy.id: _remaining(policy, {}) for policy in on_user}
    operation = bundle.plans[action].operation
    return Listed(operation, "depends", (), tuple(both[name] for name in sorted(both)))


def _look(bundle: Bundle, agent: str, action: str, known: Mapping[str, Json], absent: frozenset[str]) -> Listed | None:
    """`known` is what is certain of the context, `absent` what is certainly not there; the rest is open."""
    near = [policy for policy in bundle.near(agent, action) if not policy.shadow]
    if not any(policy.effect == "permit" for policy in near):
        return None
    place = bundle.seat(agent, action)
    if place is None or place.seat.enforced is None:
        return None
    question = place.seat.enforced
    unknown = place.plan.context["attributes"].keys() - known.keys() - absent
    found = evaluate_partly(question.request, known, unknown, question.rules, question.entities)
    if found.decision == "deny":
        return None
    policies = bundle.library.by_id
    groups = _groups(policies[name] for name in found.reasons) if found.decision == "allow" else ()
    unsure = [policies[name] for name in found.open]
    if found.decision == "allow":  # a further permit matters only where it would ask for an approval
        unsure = [policy for policy in unsure if "require_approval" in policy.annotations]
    answer: Literal["allow", "approval", "depends"] = "approval" if groups else "allow" if found.decision == "allow" and not unsure else "depends"
    return Listed(place.plan.operation, answer, groups, tuple(_remaining(policy, known) for policy in unsure))


def _groups(policies: Iterable[Policy]) -> tuple[str, ...]:
    return tuple(sorted({policy.annotations["require_approval"] for policy in policies if "require_approval" in policy.annotations}))


def _remaining(policy: Policy, known: Mapping[str, Json]) -> Remaining:
    """What a policy still asks. Where the token is known, conditions on agent, tool and token alone have been decided."""
    words = policy.annotations
    conditions = [str(condition) for condition in dissect(policy).conditions]
    of_the_call = [condition for condition in conditions if (_OF_THE_CALL if known else _OF_THE_CONTEXT).search(condition)]
    says = words.get("description") or words.get("message", "")
    return Remaining(policy.id, policy.effect, says, tuple(of_the_call or conditions), words.get("require_approval", ""))
