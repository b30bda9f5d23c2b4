"""Finds the policies that can apply to a request, and keeps them parsed: the cost of a decision does not grow with the number of policies.

Slicing is by scope alone. A scope that does not match makes Cedar skip the policy, without evaluating anything and without an error; leaving
it out beforehand therefore changes neither decision nor reasons nor errors; nor does it to take the scope away from a policy whose scope matches.
Tests compare slices with whole sets over random policies.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from gateway.authorize.conditions import without_scope
from gateway.authorize.engine import Rules
from gateway.authorize.policy import Key, Path, Policy
from gateway.canonical import Json

SLICES_MAX = 1_024

Pick = Callable[[Mapping[str, Json]], dict[str, Json]]


@dataclass(frozen=True, slots=True)
class Slice:
    """The policies for one kind of request. A set that is empty is None. `reads`: what the enforced ones look at in the context."""

    enforced: Rules | None
    shadow_permits: Rules | None
    shadow_forbids: Rules | None
    reads: frozenset[Path]
    shadow_reads: frozenset[Path]


class Index:
    """Policies by scope. Does not change after it is made, but for its cache of parsed slices."""

    def __init__(self, policies: Sequence[Policy]) -> None:
        self.policies = tuple(policies)
        self._by_scope: dict[tuple[Key, Key, Key], list[int]] = {}
        for number, policy in enumerate(self.policies):
            for action in policy.actions:
                self._by_scope.setdefault((policy.principal, action, policy.resource), []).append(number)
        self._parsed = lru_cache(maxsize=SLICES_MAX)(self._parse)

    def numbers(self, principal: tuple[Key, ...], action: tuple[Key, ...], resource: tuple[Key, ...]) -> tuple[int, ...]:
        """The policies whose scope these keys satisfy, in the order of the bundle."""
        lookup = self._by_scope.get
        found = {n for p in principal for a in action for r in resource for n in lookup((p, a, r), ())}
        return tuple(sorted(found))

    def slice(self, principal: tuple[Key, ...], action: tuple[Key, ...], resource: tuple[Key, ...]) -> Slice:
        return self._parsed(self.numbers(principal, action, resource))

    def whole(self) -> Slice:
        """All policies: what a slice is compared with."""
        return self._parse(tuple(range(len(self.policies))), scoped=True)

    def _parse(self, numbers: tuple[int, ...], *, scoped: bool = False) -> Slice:
        def rules(policies: Iterable[Policy]) -> Rules | None:
            policies = list(policies)
            texts = [p.piece.text if scoped or not p.exact else without_scope(p) for p in policies]
            return Rules.of(texts, [p.id for p in policies]) if policies else None

        chosen = [self.policies[n] for n in numbers]
        enforced = [p for p in chosen if not p.shadow]
        shadow = [p for p in chosen if p.shadow]
        return Slice(
            enforced=rules(enforced),
            shadow_permits=rules(p for p in shadow if p.effect == "permit"),
            shadow_forbids=rules(p for p in shadow if p.effect == "forbid"),
            reads=frozenset().union(*(p.reads for p in enforced)),
            shadow_reads=frozenset().union(*(p.reads for p in shadow)),
        )


@dataclass(frozen=True, slots=True)
class Projection:
    """The part of a context that some policies can look at: its Cedar record attributes and the function that cuts it out."""

    attributes: Mapping[str, Json]
    pick: Pick


def project(reads: Iterable[Path], context: Mapping[str, Json], common: Mapping[str, Json]) -> Projection | None:
    """Cut a context type down to what is read. None when a policy takes the context as a whole.

    A read that the type does not have is left out here as it is absent there: validation lets a policy read it only behind a `has`.
    """
    wanted: dict[str, set[str] | None] = {}
    for path in reads:
        if not path:
            return None
        names = wanted.setdefault(path[0], set())
        if len(path) == 1:
            wanted[path[0]] = None
        elif names is not None:
            names.add(path[1])
    attributes: dict[str, Json] = {}
    cuts: list[_Cut] = []
    for name, names in sorted(wanted.items()):
        kind = context["attributes"].get(name)
        if kind is None:
            continue
        inner = common.get(kind["type"], kind)
        if names is None or inner["type"] != "Record":
            attributes[name] = kind
            cuts.append((name, _constructor(kind), None))
            continue
        kept = {n: t for n, t in inner["attributes"].items() if n in names}
        attributes[name] = {"type": "Record", "attributes": kept, **({"required": False} if kind.get("required") is False else {})}
        cuts.append((name, None, tuple((n, _constructor(t)) for n, t in sorted(kept.items()))))
    return Projection(attributes, _picker(tuple(cuts)))


_Cut = tuple[str, str | None, tuple[tuple[str, str | None], ...] | None]
"""A member, the constructor of its extension type if it has one, and the members of it that are kept with theirs; None keeps all of it."""


def _picker(cuts: tuple[_Cut, ...]) -> Pick:
    def pick(context: Mapping[str, Json]) -> dict[str, Json]:
        found: dict[str, Json] = {}
        for name, constructor, kept in cuts:
            value = context.get(name)
            if value is None:
                continue
            if kept is not None:
                found[name] = {n: spelled(value[n], c) if c else value[n] for n, c in kept if n in value}
            else:
                found[name] = spelled(value, constructor) if constructor else value
        return found

    return pick


def whole(context: Mapping[str, Json], common: Mapping[str, Json]) -> Pick:
    """The function that shows all of a context, whatever is in it, with extension values of two names' depth as text."""
    tops: list[tuple[str, str]] = []
    inners: list[tuple[str, tuple[tuple[str, str], ...]]] = []
    for name, kind in context["attributes"].items():
        if constructor := _constructor(kind):
            tops.append((name, constructor))
        inner = common.get(kind["type"], kind)
        if found := [(n, c) for n, t in inner.get("attributes", {}).items() if (c := _constructor(t))]:
            inners.append((name, tuple(found)))

    def pick(context: Mapping[str, Json]) -> dict[str, Json]:
        found = dict(context)
        for name, constructor in tops:
            if name in found:
                found[name] = spelled(found[name], constructor)
        for name, members in inners:
            value = found.get(name)
            if type(value) is dict:
                found[name] = {**value, **{n: spelled(value[n], c) for n, c in members if n in value}}
        return found

    return pick


def _constructor(kind: Mapping[str, Json]) -> str | None:
    """The function that makes a value of an extension type; None for any other type."""
    if kind["type"] != "Extension":
        return None
    return "ip" if kind["name"] == "ipaddr" else str(kind["name"])


def spelled(value: Json, constructor: str) -> Json:
    """An extension value as bare text, which under a schema means the same and which the engine reads in half the time.

    Only what is exactly such a value: anything else stays as it is, for the schema to refuse.
    """
    if type(value) is dict and len(value) == 1:
        call = value.get("__extn")
        if type(call) is dict and len(call) == 2 and call.get("fn") == constructor and type(call.get("arg")) is str:
            return call["arg"]
    return value
