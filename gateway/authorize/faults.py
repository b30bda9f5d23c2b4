"""Words what the compiler finds wrong: one problem for one fault, in an author's words, with its place and what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from gateway.authorize.schema import SchemaSource
from gateway.authorize.spelling import closest
from gateway.authorize.splitting import Piece
from gateway.canonical import Json
from gateway.errors import Problem

MESSAGE_CHARS_MAX = 500
ACTIONS_NAMED_MAX = 3

_NO_ACTION = "unable to find an applicable action"
_ABSENT = re.compile(r'attribute `([^`]+)` in context for Action::"(.+)" not found')
_OPTIONAL = re.compile(r'unable to guarantee safety of access to optional attribute `([^`]+)` in context for Action::"(.+)"')
_OF_ENTITY = re.compile(r"attribute `([^`]+)` on entity type `([^`]+)` not found")
_OPTIONAL_OF_ENTITY = re.compile(r"unable to guarantee safety of access to optional attribute `([^`]+)` on entity type `([^`]+)`")
_UNKNOWN = re.compile(r"unrecognized (action|entity type) `(?:Action::\")?(.+?)\"?`")
_INTERNAL = re.compile(r"Set<__cedar::internal::AnyEntity>, or __cedar::internal::AnyEntity|__cedar::internal::AnyEntity|__cedar::internal::")
_DECIMAL = 'a number of a contract is a decimal: write decimal("50.00"), and compare with lessThan, lessThanOrEqual, greaterThan, greaterThanOrEqual'
_REMEDIES = (
    (_NO_ACTION, "the scope can never match: principals are Agents, resources are Tools"),
    ("can never apply", "look for a misspelt name behind `has`, a constant, or two sides that are never of one type"),
    ("unrecognized action", "use an operation of a contract as TOOL/OPERATION, or a group: read, write, destructive, unmapped, TOOL/*"),
    ("unrecognized entity type", "the types are User, Team, Agent, AgentGroup, Tool and ToolGroup"),
    ("failed to parse as a decimal", 'a decimal has a point and one to four digits behind it: decimal("50.00")'),
    ("failed to parse as a datetime", 'write datetime("2027-01-31") or datetime("2027-01-31T12:00:00Z")'),
    ("decimal", _DECIMAL),
    ("datetime", 'compare with datetime("2027-01-31T12:00:00Z")'),
    ("an entity", 'in asks whether an entity is in a group; compare texts with ==, or with ["a", "b"].contains(...)'),
    ("String and Agent", 'compare with an entity: Agent::"support-bot"'),
    ("String and User", 'compare with an entity: User::"alice"'),
    ("empty set", "write the members, or compare with isEmpty()"),
    ("expected Bool", "a condition is true or false: compare the value with something"),
    ("types", "compare values of one type; `portreeve policy schema` shows the types"),
)


@dataclass(frozen=True, slots=True)
class Fault:
    """What the compiler says: of which policy (-1: none), where in its text (-1: not known), and what to do where that is known."""

    position: int
    code: str
    message: str
    offset: int = -1
    remedy: str = ""


def worded(faults: Sequence[Fault], pieces: Sequence[Piece], source: SchemaSource, declared_in: str) -> list[Problem]:
    """The faults as problems. Several messages about one place of a policy are one problem; what follows from another fault is left out."""
    unknown = {fault.position for fault in faults if fault.message.startswith("unrecognized")}
    places: dict[tuple[int, int, str], list[Fault]] = {}
    for fault in faults:
        if not (fault.position in unknown and fault.message.startswith(_NO_ACTION)):
            places.setdefault((fault.position, fault.offset, fault.code), []).append(fault)
    return [_problem(here, pieces, source, declared_in) for here in places.values()]


def _problem(here: Sequence[Fault], pieces: Sequence[Piece], source: SchemaSource, declared_in: str) -> Problem:
    fault = here[0]
    if fault.position < 0:
        remedy = "correct schema.cedarschema; it may add types and actions, not change the generated ones"
        return Problem(fault.code, fault.message[:MESSAGE_CHARS_MAX], file=declared_in, remedy=remedy)
    message, remedy = _words([f.message for f in here], source)
    remedy = fault.remedy or remedy or "see policies/README.md"
    return pieces[fault.position].problem(fault.code, message[:MESSAGE_CHARS_MAX], max(fault.offset, 0), remedy=remedy)


def _words(messages: Sequence[str], source: SchemaSource) -> tuple[str, str]:
    """What is wrong and what to write, where something better is known than the validator's own words."""
    own = source.generated[""]
    first = messages[0]
    if found := _ABSENT.fullmatch(first):
        actions = [match[2] for text in messages if (match := _ABSENT.fullmatch(text)) and match[1] == found[1]]
        remedy = f"ask first: {_asked(found[1])}, or name in the scope only operations that have it"
        return f"context.{found[1]} does not exist for {_listed(actions)}", _nearest(found[1], actions[0], source) or remedy
    if found := _OPTIONAL.fullmatch(first):
        actions = [match[2] for text in messages if (match := _OPTIONAL.fullmatch(text)) and match[1] == found[1]]
        return f"context.{found[1]} may be absent for {_listed(actions)}", f"ask first: {_asked(found[1])}"
    if found := _OPTIONAL_OF_ENTITY.fullmatch(first):
        who = {"Agent": "principal", "Tool": "resource"}.get(found[2], "it")
        return f"{found[1]} of {found[2]} may be absent", f"ask first: {who} has {found[1]} && ..."
    if found := _OF_ENTITY.fullmatch(first):
        known = sorted(own["entityTypes"].get(found[2], {}).get("shape", {}).get("attributes", {}))
        return f"{found[2]} has no attribute {found[1]}", closest(found[1], known) or f"there is {', '.join(known) or 'none'}"
    remedy = ""
    if found := _UNKNOWN.fullmatch(first):
        remedy = closest(found[2], sorted(own["actions"] if found[1] == "action" else own["entityTypes"]))
    message = _INTERNAL.sub(lambda m: "an entity" if "AnyEntity" in m[0] else "", first).replace(" but saw ", ", not ")
    return message, remedy or next((text for words, text in _REMEDIES if words in message), "")


def _asked(path: str) -> str:
    head, _, name = f"context.{path}".rpartition(".")
    return f"{head} has {name} && ..."


def _listed(actions: Iterable[str]) -> str:
    actions = sorted(set(actions))
    more = len(actions) - ACTIONS_NAMED_MAX
    return ", ".join(actions[:ACTIONS_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _nearest(path: str, action: str, source: SchemaSource) -> str:
    """A hint at a sibling of a misspelt argument."""
    *above, name = path.split(".")
    kind: Mapping[str, Json] = source.generated[""]["actions"].get(action, {}).get("appliesTo", {}).get("context", {})
    for step in above:
        kind = kind.get("attributes", {}).get(step, {})
        kind = source.generated[""]["commonTypes"].get(kind.get("type"), kind)
    return closest(name, sorted(_names(kind)))


def _names(kind: Mapping[str, Json]) -> Iterable[str]:
    names: Mapping[str, Json] = kind.get("attributes", {})
    return names
