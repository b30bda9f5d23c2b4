"""Tries to turn every forbid off by spoiling the arguments of calls that it stops: each such call must still be denied.

A forbid that looks at an optional argument can be evaded by leaving that argument out. Where this is what the author wants, a case says so:
one that is expected to be allowed, of the same agent and operation, with that argument in that same state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from gateway.authorize.bundle import Bundle
from gateway.authorize.cases import Case, ask
from gateway.authorize.mutations import Mutation, lookup, mutations, required
from gateway.authorize.plans import Plan
from gateway.authorize.policy import Policy, keys_of
from gateway.call import Deny, Operation
from gateway.canonical import Json

BASES_MAX = 8
"""Calls of one operation that are spoiled for one forbid."""

Contract = Callable[[Operation, Mapping[str, Json]], str]
"""Why the contract refuses these arguments before policy is asked; empty where it does not."""


@dataclass(frozen=True, slots=True)
class World:
    """What forbids are tried in. `stopped` are the cases that each policy stops, by its @id."""

    bundle: Bundle
    cases: tuple[Case, ...]
    contract: Contract
    stopped: Mapping[str, tuple[Case, ...]]

    @classmethod
    def of(cls, bundle: Bundle, cases: Sequence[Case], contract: Contract) -> World:
        stopped: dict[str, tuple[Case, ...]] = {}
        for case in cases:
            verdict = ask(bundle, case)
            if isinstance(verdict, Deny) and verdict.code == "denied":
                for name in verdict.basis.reasons:
                    stopped[name] = (*stopped.get(name, ()), case)
        return cls(bundle, tuple(cases), contract, stopped)

    def denies(self, policy: Policy, case: Case) -> bool:
        """Whether the contract lets this call pass and the policy stops it."""
        operation = self.bundle.plans[_action(case)].operation
        if self.contract(operation, case.call["arguments"]):
            return False
        verdict = ask(self.bundle, case)
        return isinstance(verdict, Deny) and verdict.code == "denied" and policy.id in verdict.basis.reasons


@dataclass(frozen=True, slots=True)
class Escape:
    """A call that, spoiled, is no longer denied. `accepted` names the case that says it need not be; empty where none does."""

    base: Case
    mutation: Mutation
    decision: str
    reasons: tuple[str, ...]
    accepted: str = ""

    @property
    def action(self) -> str:
        return _action(self.base)

    @property
    def agent(self) -> str:
        return str(self.base.call["agent"])


@dataclass(slots=True)
class Confusion:
    """What came of one forbid. `stopped`: calls of which it is known to stop them, by operation; the rest counts spoiled ones."""

    policy: Policy
    stopped: dict[str, int] = field(default_factory=dict)
    tried: int = 0
    by_contract: int = 0
    by_policy: int = 0
    escapes: list[Escape] = field(default_factory=list)

    @property
    def open(self) -> tuple[Escape, ...]:
        """Escapes that no case accepts, one for each way."""
        ways = {(e.action, e.agent, e.mutation.kind, e.mutation.path): e for e in reversed(self.escapes) if not e.accepted}
        return tuple(reversed(ways.values()))


def confuse(world: World, policy: Policy) -> Confusion:
    """Try one forbid. Calls to spoil are the cases that it stops, and the like of them for the other operations of its scope."""
    found = Confusion(policy)
    for plan in world.bundle.plans.values():
        if not set(keys_of(plan.action, plan.groups)) & set(policy.actions):
            continue
        bases = list(islice((case for case in _candidates(world, policy, plan) if world.denies(policy, case)), BASES_MAX))
        if bases:
            found.stopped[plan.action.id] = len(bases)
        for base in bases:
            for mutation in mutations(base.call["arguments"], plan.operation.input_schema):
                _try(found, world, base, mutation)
    return found


def _try(found: Confusion, world: World, base: Case, mutation: Mutation) -> None:
    found.tried += 1
    if world.contract(world.bundle.plans[_action(base)].operation, mutation.arguments):
        found.by_contract += 1
        return
    verdict = ask(world.bundle, replace(base, call={**base.call, "arguments": mutation.arguments}))
    assert not isinstance(verdict, str)
    if isinstance(verdict, Deny):
        found.by_policy += 1
        return
    accepted = next((case.name for case in world.cases if _accepts(case, base, mutation)), "")
    found.escapes.append(Escape(base, mutation, verdict.basis.verdict, verdict.basis.reasons, accepted))


def _accepts(case: Case, base: Case, mutation: Mutation) -> bool:
    """Whether a case expects such a call not to be denied."""
    same = all(case.call[key] == base.call[key] for key in ("agent", "tool", "operation"))
    if not same or case.expect["decision"] == "deny":
        return False
    there, value = lookup(case.call["arguments"], mutation.path)
    match mutation.kind:
        case "missing":
            return not there
        case "extra":
            return there
        case _:
            return there and value == mutation.value and type(value) is type(mutation.value)


def _candidates(world: World, policy: Policy, plan: Plan) -> Iterator[Case]:
    """The cases of this operation that the policy stops; without any, those of other operations moved over, and a plain call by every agent."""
    stopped = world.stopped.get(policy.id, ())
    own = [case for case in stopped if _action(case) == plan.action.id]
    if own:
        yield from own
        return
    schema = plan.operation.input_schema
    declared = schema.get("properties", {}) if schema else {}
    here = {"tool": plan.operation.tool, "operation": plan.operation.name}
    for case in stopped:
        kept = {name: value for name, value in case.call["arguments"].items() if name in declared}
        caller = {name: value for name, value in case.call.items() if name not in {"method", "path"}}
        yield replace(case, call={**caller, **here, "arguments": required(schema) | kept})
    for agent in sorted(world.bundle.agents):
        yield Case("", 0, "", {**here, "agent": agent, "arguments": required(schema)}, {"decision": "deny"})


def _action(case: Case) -> str:
    return f"{case.call['tool']}/{case.call['operation']}"
