"""Reads off policies which values of a call they tell apart: each constant, what lies beside it, members of sets and others, presence and absence."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from gateway.authorize.plans import Fact, Plan
from gateway.authorize.policy import Policy
from gateway.authorize.syntax import Node, NotUnderstood, clauses
from gateway.canonical import Json

Place = tuple[str, ...]
"""Where a value stands in the description of a call: ("arguments", NAME, ...), ("user",), ("now",) and so on."""

LENGTH_MAX = 100_000
_METHODS = {"lessThan": "<", "lessThanOrEqual": "<=", "greaterThan": ">", "greaterThanOrEqual": ">="}
_MIRRORED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_SETS = frozenset({"contains", "containsAll", "containsAny"})
_STRANGER = "nobody-named-this"


@dataclass(frozen=True, slots=True)
class Boundary:
    """A value that a policy compares something with: `hit` is one that its condition holds for, `beside` are others worth trying."""

    place: Place
    hit: Json
    beside: tuple[Json, ...]


def boundaries(policy: Policy, plan: Plan) -> Iterator[Boundary]:
    """Every comparison of a policy with a constant, as values for a call of this operation."""
    try:
        conditions = clauses(policy.piece.text)
    except NotUnderstood:
        return
    for clause in conditions:
        for node in (Node("and", "&&", 0, 0, 0, (clause.body,)), *clause.body.walk()):
            for comparison in _comparisons(node):
                for found in _placed(comparison, plan):
                    yield (
                        found if clause.kind == "when" or not found.beside else Boundary(found.place, found.beside[0], (found.hit, *found.beside[1:]))
                    )


@dataclass(frozen=True, slots=True)
class _Comparison:
    """Something in the context, its path without that word, and the constants that it is compared with."""

    path: tuple[str, ...]
    operator: str
    values: tuple[Json | Decimal, ...]


def _comparisons(node: Node) -> Iterator[_Comparison]:
    parts = node.parts
    if node.kind in {"compare", "like"} and len(parts) == 2:
        left, right, operator = parts[0], parts[1], node.word
    elif node.kind == "call" and len(parts) == 2:
        left, right, operator = parts[0], parts[1], _METHODS.get(node.word, node.word)
    else:
        if node.kind in {"and", "or", "not", "if"}:
            paths = (part.path for part in parts if part.kind == "member")
            yield from (_Comparison(path[1:], "==", (node.kind != "not",)) for path in paths if path and path[0] == "context")
        return
    if left.path is None and right.path is not None:
        left, right, operator = right, left, "among" if operator in _SETS else _MIRRORED.get(operator, operator)
    if left.path and left.path[0] == "context":
        yield _Comparison(left.path[1:], operator, tuple(_constants(right)))


def _constants(node: Node) -> Iterator[Json | Decimal]:
    if node.kind == "set":
        for part in node.parts:
            yield from _constants(part)
    elif node.kind == "negate":
        yield from (-value for value in _constants(node.parts[0]) if isinstance(value, int | Decimal))
    elif node.kind == "literal":
        yield node.word == "true" if node.word in {"true", "false"} else _text(node.word) if node.word[0] == '"' else int(node.word)
    elif node.kind == "entity":
        yield _text(node.word.rpartition("::")[2])
    elif node.kind == "call" and len(node.parts) == 1 and node.parts[0].kind == "literal":
        inner = _text(node.parts[0].word)
        try:
            yield Decimal(inner) if node.word == "decimal" else inner
        except InvalidOperation:
            return


def _text(word: str) -> str:
    """A Cedar string's value; its escapes are near enough those of JSON for a value that is only tried."""
    try:
        return str(json.loads(word))
    except ValueError:
        return word.strip('"')


def _placed(comparison: _Comparison, plan: Plan) -> Iterator[Boundary]:
    path = comparison.path
    for value in comparison.values:
        hit, beside = _around(comparison.operator, value)
        match path:
            case ("input", name, *below):
                yield _argument((name, *below), [_json(one) for one in (hit, *beside)], plan)
            case ("raw", name):
                yield _argument((name,), [_unraw(one) for one in (hit, *beside)], plan)
            case ("facts", name, part):
                for fact in (fact for fact in plan.facts if fact.name == name):
                    texts = [text for one in (hit, *beside) if (text := _spelled(fact, part, one)) is not None]
                    if texts:
                        yield _argument(fact.path, texts, plan)
            case _:
                yield from _of_caller(path, hit, beside)
                yield from _of_moment(path, hit, beside)


def _argument(path: tuple[str, ...], values: list[Json], plan: Plan) -> Boundary:
    """Values for an argument, as items of a list where it takes lists; below a list (a `*` in the path) the whole of it is made new."""
    if "*" in path:
        values = [_nested(path[1:], value) for value in values]
        path = path[:1]
    properties = (plan.operation.input_schema or {}).get("properties", {})
    kind = properties.get(path[0], {}).get("type", "") if len(path) == 1 else ""
    if kind == "array" or (isinstance(kind, list) and "array" in kind):
        values = [value if isinstance(value, list) else [value] for value in values]
    return Boundary(("arguments", *path), values[0], tuple(values[1:]))


def _nested(path: tuple[str, ...], value: Json) -> Json:
    for name in reversed(path):
        value = [value] if name == "*" else {name: value}
    return value


def _of_caller(path: tuple[str, ...], hit: Json | Decimal, beside: tuple[Json | Decimal, ...]) -> Iterator[Boundary]:
    """What the token says."""
    match path:
        case ("user",):
            yield Boundary(("user",), hit, (_STRANGER,))
        case ("delegation_depth",) if isinstance(hit, int):
            found = [["agent"] * n for n in (hit, *beside) if isinstance(n, int) and 0 <= n <= 10]
            yield from [Boundary(("actors",), found[0], tuple(found[1:]))] if found else []
        case ("actors",) | ("auth", "scopes") if isinstance(hit, str):
            yield Boundary(("scopes" if path[0] == "auth" else "actors",), [hit], ([], [_STRANGER]))
        case ("auth", "pop"):
            yield Boundary(("pop",), True, (False,))
        case _:
            return


def _of_moment(path: tuple[str, ...], hit: Json | Decimal, beside: tuple[Json | Decimal, ...]) -> Iterator[Boundary]:
    """The request, its run and the time."""
    match path:
        case ("run", "calls_last_minute" | "calls_in_flight") if isinstance(hit, int):
            yield Boundary((path[1],), hit, tuple(n for n in beside if isinstance(n, int) and n >= 0))
        case ("run", "id") if isinstance(hit, str):
            yield Boundary(("run",), hit, (_STRANGER,))
        case ("request", "method" | "path" | "door") if isinstance(hit, str):
            yield Boundary((path[1],), hit, ())
        case ("now",) if isinstance(hit, str):
            moments = [text for one in (hit, *beside) if isinstance(one, str) for text in _moments(one)]
            yield from [Boundary(("now",), moments[0], tuple(moments[1:]))] if moments else []
        case ("weekday",):
            week = tuple(f"2026-01-0{n}T12:00:00Z" for n in range(1, 8))
            yield Boundary(("now",), week[0], week[1:])
        case _:
            return


def _around(operator: str, value: Json | Decimal) -> tuple[Json | Decimal, tuple[Json | Decimal, ...]]:
    """A value for which `x operator value` holds, and others near the border."""
    if isinstance(value, bool):
        return value, (not value,)
    if isinstance(value, int | Decimal):
        step = Decimal(1).scaleb(value.as_tuple().exponent) if isinstance(value, Decimal) else 1  # type: ignore[arg-type]
        low, high = value - step, value + step
        match operator:
            case "<":
                return low, (value, high)
            case ">":
                return high, (value, low)
            case "!=":
                return high, (value, low)
            case _:
                return value, (low, high)
    if not isinstance(value, str):
        return value, ()
    if operator == "like":
        return value.replace("*", "x"), (value.replace("*", ""), f"{_STRANGER}{value.replace('*', '')}")
    if operator == "!=":
        return _STRANGER, (value,)
    return value, (f"{value}x", _STRANGER)


def _moments(text: str) -> list[str]:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return []
    moment = moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)
    try:
        return [(moment + dt.timedelta(seconds=seconds)).isoformat() for seconds in (0, -1, 1)]
    except OverflowError:
        return []


def _spelled(fact: Fact, part: str, value: Json | Decimal) -> Json:
    """An argument whose fact has this value; None where none is known."""
    if fact.kind == "size":
        return "x" * value if isinstance(value, int) and 0 <= value <= LENGTH_MAX else None
    if not isinstance(value, str):
        return None
    match fact.kind, part:
        case "path", "folders":
            return f"{value.rstrip('/')}/x"
        case "url", "scheme" | "schemes":
            return f"{value}://example.com/"
        case "url", "path":
            return f"https://example.com{value}"
        case "url", _:
            return f"https://{value}/"
        case "email" | "recipients", "address" | "addresses":
            return value
        case "email" | "recipients", _:
            return f"somebody@{value}"
        case _:
            return value


def _json(value: Json | Decimal) -> Json:
    """A number as JSON has it: whole where it is, else the nearest."""
    if not isinstance(value, Decimal):
        return value
    return int(value) if value == value.to_integral_value() else float(value)


def _unraw(value: Json | Decimal) -> Json:
    """What raw text is the text of; the text itself where it is none."""
    try:
        return json.loads(value) if isinstance(value, str) else _json(value)
    except ValueError:
        return value
