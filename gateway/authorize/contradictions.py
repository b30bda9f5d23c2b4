"""Finds conditions that are the same whatever the call is: constants, a value compared with itself, two conditions that no value can meet.

The validator knows types, not values: `1 > 2`, and a currency that is both EUR and USD, are fine with it.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from gateway.authorize.syntax import Clause, Node

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_OTHERWISE = {"==": "!=", "!=": "==", "<": ">=", ">=": "<", ">": "<=", "<=": ">"}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_METHODS = {"lessThan": "<", "lessThanOrEqual": "<=", "greaterThan": ">", "greaterThanOrEqual": ">="}


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong with a condition, and where it stands."""

    node: Node
    message: str


@dataclass(frozen=True, slots=True)
class _Bound:
    """A condition on one value: `subject operator value`."""

    node: Node
    subject: str
    operator: str
    value: Any

    def allows(self, value: Any) -> bool:
        return _COMPARE[self.operator](value, self.value)


def contradictions(text: str, clauses: Sequence[Clause]) -> list[Finding]:
    """Every condition of a policy's text that is constant by itself, or impossible beside an earlier one."""
    found: dict[Node, Finding] = {}
    together = [(node, clause.kind == "when") for clause in clauses for node in clause.conjuncts]
    groups = [together]
    for clause in clauses:
        for node in clause.body.walk():
            constant = _constant(text, node)
            if constant:
                found[node] = Finding(node, constant)
            if node.kind == "and":
                groups.append([(part, True) for part in node.parts])
    for group in groups:
        for finding in _impossible(text, group):
            found.setdefault(finding.node, finding)
    return sorted(found.values(), key=lambda finding: finding.node.start)


def _constant(text: str, node: Node) -> str:
    """Why a comparison is always the same; empty where it is not."""
    if node.kind != "compare":
        return ""
    left, right = node.parts
    one, other = _value(text, left), _value(text, right)
    if text[left.start : left.end] == text[right.start : right.end]:
        one = other = True
    if one is None or type(one) is not type(other):
        return ""
    return f"this is always {'true' if _COMPARE[node.word](one, other) else 'false'}"


def _impossible(text: str, group: Sequence[tuple[Node, bool]]) -> Iterator[Finding]:
    bounds: dict[str, list[_Bound]] = {}
    said: dict[tuple[str, bool], Node] = {}
    for node, holds in group:
        words = " ".join(text[node.start : node.end].split())
        if (words, holds) in said:
            yield Finding(node, "this condition stands here twice")
        elif (words, not holds) in said:
            yield Finding(node, "this contradicts a condition before it, so no call meets both")
        said[words, holds] = node
        bound = _bound(text, node, holds=holds)
        if bound is None:
            continue
        earlier = bounds.setdefault(bound.subject, [])
        against = next((other for other in earlier if not _meet(bound, other)), None)
        if against is not None:
            other = " ".join(text[against.node.start : against.node.end].split())
            yield Finding(node, f"this and {other} are never true together")
        earlier.append(bound)


def _bound(text: str, node: Node, *, holds: bool) -> _Bound | None:
    """A condition read as a bound of one value; None where it is none."""
    if node.kind == "not":
        return _bound(text, node.parts[0], holds=not holds)
    if node.kind == "compare":
        word, (left, right) = node.word, node.parts
    elif node.kind == "call" and node.word in _METHODS and len(node.parts) == 2:
        word, (left, right) = _METHODS[node.word], node.parts
    else:
        return None
    if _value(text, left) is not None:
        word, left, right = _MIRRORED.get(word, word), right, left
    value = _value(text, right)
    if value is None or left.path is None:
        return None
    return _Bound(node, ".".join(left.path), word if holds else _OTHERWISE[word], value)


def _meet(one: _Bound, other: _Bound) -> bool:
    """Whether some value meets both. Tried are the two values and, of what has an order, those beside and between them."""
    if type(one.value) is not type(other.value):
        return True
    first, second = one.value, other.value
    tried = [first, second]
    if isinstance(first, Decimal):
        tried += [first - 1, first + 1, second - 1, second + 1, (first + second) / 2]
    elif isinstance(first, dt.datetime):
        step = dt.timedelta(days=1)
        tried += [first - step, first + step, second - step, second + step, first + (second - first) / 2]
    elif isinstance(first, bool):
        tried += [True, False]
    else:
        tried.append(f"{first}{second}-")
    return any(one.allows(value) and other.allows(value) for value in tried)


def _value(text: str, node: Node) -> bool | str | Decimal | dt.datetime | None:
    """A constant's value; None for what is no constant or cannot be read."""
    if node.kind == "negate":
        inner = _value(text, node.parts[0])
        return -inner if isinstance(inner, Decimal) else None
    if node.kind == "literal":
        if node.word in {"true", "false"}:
            return node.word == "true"
        return node.word if node.word.startswith('"') else Decimal(node.word)
    if node.kind == "call" and node.word in {"decimal", "datetime"} and len(node.parts) == 1 and node.parts[0].kind == "literal":
        inside = node.parts[0].word.strip('"')
        try:
            return Decimal(inside) if node.word == "decimal" else _moment(inside)
        except (InvalidOperation, ValueError, OverflowError):
            return None
    return None


def _moment(text: str) -> dt.datetime:
    moment = dt.datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
