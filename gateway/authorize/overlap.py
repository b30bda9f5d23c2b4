"""Finds policies that another policy makes idle: the same one twice, a permit within a wider permit, a permit below a wider forbid.

Only a wider policy without conditions counts, since what conditions come to is known of calls, not of policies. What a scope covers is read off the
agents and operations that there are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.authorize.bundle import Bundle
from gateway.authorize.differences import substance
from gateway.authorize.engine import Uid
from gateway.authorize.policy import Key, Policy, keys_of
from gateway.authorize.syntax import tokens
from gateway.errors import Problem

Spread = frozenset[Uid]
"""The actions whose calls can satisfy a policy's scope."""


class Reach:
    """What the scopes of a bundle's policies can match, action and resource together."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self._plans = [(p.action, frozenset(keys_of(p.action, p.groups)), frozenset(bundle.keys(p.resource))) for p in bundle.plans.values()]
        self._known: dict[tuple[object, ...], Spread] = {}

    def of(self, policy: Policy) -> Spread:
        scope = (policy.actions, policy.resource)
        if scope not in self._known:
            wanted = set(policy.actions)
            self._known[scope] = frozenset(action for action, keys, where in self._plans if wanted & keys and policy.resource in where)
        return self._known[scope]


class _Wide:
    """The policies without conditions, by a principal and an action of their scope; of those alike in reach and effect the first."""

    def __init__(self, policies: Iterable[Policy], reach: Reach) -> None:
        self._reach = reach
        self._found: dict[tuple[Key, Uid], list[tuple[Policy, Spread]]] = {}
        seen: set[tuple[object, ...]] = set()
        for policy in policies:
            spread = reach.of(policy)
            alike = (policy.principal, policy.effect, _owes(policy), spread)
            if not _conditions(policy) and alike not in seen:
                seen.add(alike)
                for action in spread:
                    self._found.setdefault((policy.principal, action), []).append((policy, spread))

    def around(self, policy: Policy) -> Iterator[tuple[Policy, Spread]]:
        """Those whose scope holds the whole scope of this one."""
        mine = self._reach.of(policy)
        some = min(mine, key=str, default=None)
        if some is None:
            return
        for key in self._principals(policy.principal):
            yield from ((other, theirs) for other, theirs in self._found.get((key, some), ()) if other is not policy and mine <= theirs)

    def _principals(self, key: Key) -> Iterator[Key]:
        """Every principal of a scope that holds all whom this one holds."""
        everybody: tuple[Key, ...] = (None, ("is", "Agent", ""))
        yield from everybody
        if key is not None and key[0] == "==":
            yield from (wider for wider in self._reach.bundle.keys(Uid(key[1], key[2])) if wider not in everybody)
        elif key not in everybody:
            yield key


def overlaps(reach: Reach) -> Iterator[Problem]:
    """Every enforced policy that changes nothing beside another one."""
    policies = [policy for policy in reach.bundle.library.policies if not policy.shadow]
    first: dict[tuple[str, ...], Policy] = {}
    wide = _Wide(policies, reach)
    for policy in policies:
        same = first.setdefault(substance(policy), policy)
        if same is not policy:
            yield _problem(policy, "policy_duplicate", f"this says the same as {_named(same)}", "remove one of the two")
        elif idle := next(filter(None, (_idle(policy, other, reach.of(policy) == theirs) for other, theirs in wide.around(policy))), None):
            yield idle


def _idle(policy: Policy, other: Policy, same_spread: bool) -> Problem | None:  # noqa: FBT001 - the only thing to know of the two reaches
    """Why a policy changes nothing beside a wider one without conditions."""
    if policy.effect == "permit" and other.effect == "forbid":
        message = f"{_named(other)} forbids every call that this permits"
        return _problem(policy, "permit_without_effect", message, "remove this permit, or give the forbid a condition")
    if policy.effect != other.effect or _owes(policy) or _owes(other):
        return None
    if same_spread and other.principal == policy.principal and not _conditions(policy):
        return None  # each covers the other, and the names of one thing differ: the first alone is enough, and which that is nobody knows
    message = f"{_named(other)} already {policy.effect}s every call that this {policy.effect}s"
    return _problem(policy, "policy_covered", message, "remove this one, or make the wider one narrower")


def _owes(policy: Policy) -> bool:
    """Whether it does more than decide: asks for an approval, or tells the agent why."""
    return "require_approval" in policy.annotations or (policy.effect == "forbid" and "message" in policy.annotations)


def _conditions(policy: Policy) -> bool:
    return any(word.text in {"when", "unless"} for word in tokens(policy.piece.text))


def _named(policy: Policy) -> str:
    return f"{policy.id} ({policy.piece.file.rpartition('/')[2]}:{policy.piece.line})"


def _problem(policy: Policy, code: str, message: str, remedy: str) -> Problem:
    return policy.piece.problem(code, message, key=policy.id, remedy=remedy)
