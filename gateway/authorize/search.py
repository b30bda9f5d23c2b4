"""Looks for calls that two sets of policies decide differently: calls at the boundaries of what the policies compare, and the cases.

The search is bounded, so what it does not find may exist. What it leaves out is certain: where the same policies are near a call on both sides, it
is decided the same.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, product

from gateway.authorize.boundaries import Boundary, Place, boundaries
from gateway.authorize.bundle import Bundle
from gateway.authorize.cases import Case, ask
from gateway.authorize.differences import substance
from gateway.authorize.judgement import Judgement
from gateway.authorize.mutations import required, sample
from gateway.authorize.policy import Policy
from gateway.authorize.rerun import Flip, again, flip, judgement_of
from gateway.authorize.syntax import NotUnderstood, clauses
from gateway.call import Operation
from gateway.canonical import Json
from gateway.errors import Problem
from gateway.identities import Agent

CALLS_MAX = 1_000
"""Calls that are tried for one kind of agent and one operation."""
VALUES_MAX = 12
"""Values that are tried in one place of a call."""

Contract = Callable[[Operation, Mapping[str, Json]], str]
"""Why the contract refuses these arguments before policy is asked; empty where it does not."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Agents that nothing near tells apart, and an operation whose policies are not the same on both sides."""

    agents: tuple[str, ...]
    action: str
    before: tuple[Policy, ...]
    after: tuple[Policy, ...]


@dataclass(slots=True)
class Turned:
    """Calls of one pair that turn the same way. `example` is the smallest."""

    pair: Pair
    flip: Flip
    example: Mapping[str, Json]
    before: Judgement
    after: Judgement
    count: int = 1


@dataclass(slots=True)
class Found:
    """What came of a search. `same`: pairs of agent and operation that were not searched, because nothing can be different there."""

    turned: list[Turned] = field(default_factory=list)
    calls: int = 0
    searched: int = 0
    same: int = 0
    blind: list[Pair] = field(default_factory=list)
    """Pairs of which no call is known that the contract lets pass: nothing was seen there."""


def pairs(before: Bundle, after: Bundle, agents: Mapping[str, Agent]) -> tuple[list[Pair], int]:
    """What has to be searched, and how many pairs need not be."""
    grouped: dict[tuple[object, ...], Pair] = {}
    same = 0
    for name in sorted(before.agents & after.agents):
        for action in before.plans:
            old, new = (tuple(p for p in bundle.near(name, action) if not p.shadow) for bundle in (before, after))
            if Counter(map(substance, old)) == Counter(map(substance, new)):
                same += 1
                continue
            alike = (action, *(p.id for p in old), "", *(p.id for p in new), _seen(agents[name], (*old, *new)))
            known = grouped.get(alike)
            grouped[alike] = replace(known, agents=(*known.agents, name)) if known else Pair((name,), action, old, new)
    return list(grouped.values()), same


def _seen(agent: Agent, near: Sequence[Policy]) -> tuple[object, ...]:
    """What these policies can tell of an agent besides that their scopes match."""
    if not any(_looks_at_agent(policy) for policy in near):
        return ()
    names = any(uid.type == "Agent" for policy in near for uid in policy.names)
    return (agent.owner, agent.groups, json.dumps(dict(agent.attributes), sort_keys=True), agent.id if names else "")


def _looks_at_agent(policy: Policy) -> bool:
    try:
        nodes = (node for clause in clauses(policy.piece.text) for node in clause.body.walk())
        return any(node.kind == "name" and node.word == "principal" for node in nodes)
    except NotUnderstood:
        return True


def search(before: Bundle, after: Bundle, pair: Pair, calls: Iterable[dict[str, Json]], contract: Contract) -> Found:
    """Try calls of one pair."""
    found = Found(searched=len(pair.agents))
    groups: dict[Flip, Turned] = {}
    operation = before.plans[pair.action].operation
    fits = False
    for call in calls:
        found.calls += 1
        if contract(operation, call["arguments"]):
            continue
        both = _decided(before, after, call)
        if both is None:
            continue
        fits = True
        turned = flip(*both)
        if turned is None:
            continue
        known = groups.get(turned)
        if known is None:
            groups[turned] = Turned(pair, turned, call, *both)
        else:
            known.count += 1
            if _size(call) < _size(known.example):
                known.example, known.before, known.after = call, *both
    found.turned = list(groups.values())
    found.blind = [] if fits else [pair]
    return found


def _decided(before: Bundle, after: Bundle, call: Mapping[str, Json]) -> tuple[Judgement, Judgement] | None:
    try:
        verdict = ask(before, Case("", 0, "", call, {}))
    except Problem:  # a time that is none
        return None
    if isinstance(verdict, str):
        return None
    other = again(after, verdict.basis)
    return (judgement_of(verdict.basis), other) if other is not None else None


def calls_of(bundle: Bundle, pair: Pair, cases: Sequence[Case], calls_max: int = CALLS_MAX) -> Iterator[dict[str, Json]]:
    """Plain calls, those of the cases, and those that meet one policy wholly; then each with every value in every place; then combinations."""
    plan = bundle.plans[pair.action]
    schema = plan.operation.input_schema
    given = [{**case.call, "agent": pair.agents[0]} for case in cases if f"{case.call['tool']}/{case.call['operation']}" == pair.action]
    plain = {"agent": pair.agents[0], "tool": plan.operation.tool, "operation": plan.operation.name, "arguments": required(schema)}
    values: dict[Place, list[Json]] = {}
    wholly = []
    for policy in (*pair.after, *pair.before):
        own = list(boundaries(policy, plan))
        wholly.append(_met(plain, own))
        for boundary in own:
            _add(values, boundary.place, (boundary.hit, *boundary.beside))
    for name, inner in (schema or {}).get("properties", {}).items():
        _add(values, ("arguments", name), (sample(inner),))
    bases = _distinct([plain, *wholly, *given])
    yield from islice(_distinct_of(bases, values), calls_max)


def _met(plain: dict[str, Json], own: Sequence[Boundary]) -> dict[str, Json]:
    call = plain
    for boundary in own:
        call = _put(call, boundary.place, boundary.hit)
    return call


def _add(values: dict[Place, list[Json]], place: Place, more: Sequence[Json]) -> None:
    known = values.setdefault(place, [])
    known += [value for value in more if not any(value == one and type(value) is type(one) for one in known)]
    del known[VALUES_MAX:]


def _distinct_of(bases: Sequence[dict[str, Json]], values: Mapping[Place, list[Json]]) -> Iterator[dict[str, Json]]:
    seen: set[str] = set()
    for call in _variants(bases, values):
        key = json.dumps(call, sort_keys=True)
        if key not in seen:
            seen.add(key)
            yield call


def _distinct(calls: Sequence[dict[str, Json]]) -> list[dict[str, Json]]:
    return list({json.dumps(call, sort_keys=True): call for call in calls}.values())


def _variants(bases: Sequence[dict[str, Json]], values: Mapping[Place, list[Json]]) -> Iterator[dict[str, Json]]:
    yield from bases
    for base in bases:
        for place, ones in values.items():
            yield _put(base, place, None)
            for value in ones:
                yield _put(base, place, value)
    for chosen in product(*([None, *ones] for ones in values.values())):  # as far as the limit goes
        call = bases[0]
        for place, value in zip(values, chosen, strict=True):
            call = _put(call, place, value)
        yield call


def _put(call: dict[str, Json], place: Place, value: Json) -> dict[str, Json]:
    """The call with a value in a place; None takes away what is there."""
    name, *rest = place
    if not rest:
        if value is None:
            return {key: inner for key, inner in call.items() if key != name}
        return {**call, name: value}
    inner = call.get(name)
    if value is None and not isinstance(inner, dict):
        return call
    return {**call, name: _put(inner if isinstance(inner, dict) else {}, tuple(rest), value)}


def _size(call: Mapping[str, Json]) -> tuple[int, int, str]:
    text = json.dumps(call, sort_keys=True)
    return len(call) + len(call["arguments"]), len(text), text
