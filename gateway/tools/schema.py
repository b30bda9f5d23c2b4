"""Holds arguments to their JSON Schema: compiled once, no network, and no pattern that can stall.

Patterns run on the linear-time engine of jsonschema-rs (Rust's `regex`, no backtracking): look-around and back-references do not compile there
and are a Problem at load, where `fancy-regex`, the library's default, would backtrack on an attacker's text. `offline` refuses every fetch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jsonschema_rs

from gateway.canonical import Json
from gateway.errors import Refusal
from gateway.tools.document import pointer

PATTERN_BYTES_MAX = 1024 * 1024
KEY_CHARACTERS_MAX = 64


class SchemaError(ValueError):
    """The schema does not compile; the text says why."""


@dataclass(frozen=True, slots=True)
class Whole:
    """Where integers stand: a float such as 50.0 or 1e3 is an integer to JSON Schema, but not to every upstream and not to Cedar."""

    integer: bool
    members: Mapping[str, Whole]
    others: Whole | None
    items: Whole | None


@dataclass(frozen=True, slots=True)
class Check:
    """A compiled schema for the arguments of one operation."""

    validator: jsonschema_rs.Validator
    whole: Whole | None

    def hold(self, arguments: dict[str, Json]) -> None:
        """Raise Refusal("contract_violation") with the pointer of the first fault; values are never echoed."""
        try:
            valid = self.validator.is_valid(arguments)
        except ValueError as error:  # a lone surrogate in a text that did not come through canonical.loads
            raise Refusal("contract_violation", "an argument is not valid Unicode", reason=type(error).__name__) from error
        if not valid:
            raise self._violation(arguments)
        if self.whole is not None and (at := _fraction(arguments, self.whole, ())) is not None:
            raise Refusal("contract_violation", "must be an integer, written without fraction or exponent", pointer=_pointer(at))

    def _violation(self, arguments: dict[str, Json]) -> Refusal:
        try:
            self.validator.validate(arguments)
        except jsonschema_rs.ValidationError as error:
            kind = error.kind
            at: list[str | int] = list(error.instance_path)
            if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties | jsonschema_rs.ValidationErrorKind.UnevaluatedProperties):
                at.append(str(kind.unexpected[0]))
            elif isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
                at.append(kind.property)
            return Refusal("contract_violation", _detail(kind), pointer=_pointer(at))
        return Refusal("contract_violation")


def compile_check(schema: dict[str, Json]) -> Check:
    """Compile a normalised schema. Raises SchemaError."""
    try:
        validator = jsonschema_rs.Draft202012Validator(
            schema,
            validate_formats=True,
            pattern_options=jsonschema_rs.RegexOptions(size_limit=PATTERN_BYTES_MAX),
            offline=True,
            mask="...",
        )
    except jsonschema_rs.ValidationError as error:
        keyword = "".join(f"/{part}" for part in error.instance_path)
        kind = error.kind
        if isinstance(kind, jsonschema_rs.ValidationErrorKind.Format) and kind.format == "regex":
            raise SchemaError(f"the pattern at {keyword} does not run in linear time (look-around, back-reference) or is no pattern") from error
        raise SchemaError(f"not a valid JSON Schema at {keyword or 'the top'}: {kind.name}") from error
    except ValueError as error:
        raise SchemaError("not a valid JSON Schema") from error
    return Check(validator, _whole([schema]))


def _whole(schemas: list[Json]) -> Whole | None:
    """Collect the integer positions of schemas that apply to one value; None when there are none below."""
    parts: list[dict[str, Json]] = []
    waiting = [s for s in schemas if isinstance(s, dict)]
    if not waiting:
        return None
    while waiting:
        part = waiting.pop()
        parts.append(part)
        waiting += [branch for key in ("allOf", "anyOf", "oneOf") for branch in part.get(key, ()) if isinstance(branch, dict)]
        waiting += [part[key] for key in ("then", "else") if isinstance(part.get(key), dict)]
    types = {t for p in parts for t in ([p["type"]] if isinstance(p.get("type"), str) else p.get("type", ()))}
    names = dict.fromkeys(name for p in parts for name in p.get("properties", {}))
    members = {n: w for n in names if (w := _whole([p["properties"][n] for p in parts if n in p.get("properties", {})])) is not None}
    others = _whole([v for p in parts for v in [p.get("additionalProperties"), *p.get("patternProperties", {}).values()]])
    items = _whole([v for p in parts for v in [p.get("items"), *p.get("prefixItems", ())]])
    integer = "integer" in types and "number" not in types
    if integer or members or others or items:
        return Whole(integer, members, others, items)
    return None


def _fraction(value: Json, whole: Whole, at: tuple[str | int, ...]) -> tuple[str | int, ...] | None:
    """Where a float stands although an integer is declared; None when nowhere."""
    kind = type(value)
    if kind is float:
        return at if whole.integer else None
    if kind is dict:
        inner = [(key, item, whole.members.get(key, whole.others)) for key, item in value.items()]
    elif kind is list and whole.items is not None:
        inner = [(n, item, whole.items) for n, item in enumerate(value)]
    else:
        return None
    for key, item, below in inner:
        if below is not None and (found := _fraction(item, below, (*at, key))) is not None:
            return found
    return None


def _detail(kind: jsonschema_rs.ValidationErrorKind) -> str:
    """Name the rule that failed, with the contract's own figure where it has one; nothing of what the caller sent."""
    known = {
        "type": "has the wrong type",
        "required": "is required",
        "additionalProperties": "is not declared by the contract",
        "unevaluatedProperties": "is not declared by the contract",
        "enum": "is none of the values that the contract lists",
        "pattern": "does not match the contract's pattern",
    }
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Type):
        return f"must be of type {' or '.join(kind.types)}"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Format):
        return f"is not a valid {kind.format}"
    return known.get(kind.name) or f"breaks the contract's rule {kind.name}"


def _pointer(at: tuple[str | int, ...] | list[str | int]) -> str:
    return pointer(tuple(str(part)[:KEY_CHARACTERS_MAX] for part in at))
