"""Which arguments the decision log may show, as a contract says it: `x-portreeve-log` on an operation, or on the schema of an argument.

On an operation it is `{"/pointer": mode}`, each pointer a place in the arguments as policy sees them; `-` stands for any item of a list. On a schema it
is the mode of whatever that schema describes. Both may be given: the stricter holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from gateway.call import Operation
from gateway.canonical import Json
from gateway.logmode import LOG_MODES, LogMode, LogRule, parts_of, pointer_of, strictest
from gateway.tools.document import Place
from gateway.tools.findings import Findings

MARK = "x-portreeve-log"

_BRANCHES = ("allOf", "anyOf", "oneOf")
_UNNAMED = (
    "additionalProperties",
    "patternProperties",
    "unevaluatedProperties",
    "prefixItems",
    "unevaluatedItems",
    "dependentSchemas",
    "then",
    "else",
)
"""Members and items without a name of their own: a mark below one of these is held against all of what they belong to."""


def log_rules(findings: Findings, stated: Json, place: Place, properties: Mapping[str, Json]) -> tuple[LogRule, ...]:
    """The rules of one operation, sorted. Raises Problem for a mode that is none, and for a pointer to what is no argument."""
    if not isinstance(stated, dict):
        raise findings.problem("contract_log", f"{MARK} is a mode for each pointer", place, 'write {"/argument": seal}')
    rules: set[LogRule] = set()
    for text, mode in stated.items():
        if not text.startswith("/") or not _declared(properties, parts_of(text)):
            raise findings.problem("contract_log", f"{text[:64]!r} points to no argument", (*place, text), "point to a declared one, such as /ssn")
        rules.add((text, _mode(findings, mode, (*place, text))))
    for name, schema in properties.items():
        rules |= {(pointer_of(at), _mode(findings, mode, place)) for at, mode in _marks(schema, (name,))}
    return tuple(sorted(rules))


def undeclared_rules(operations: Iterable[Operation]) -> tuple[LogRule, ...]:
    """The rule for paths that no operation declares: as strict as for any argument in a path of these, because it may be a slip of one of them."""
    modes = {mode for o in operations for at, mode in o.log if f"{{{parts_of(at)[0]}}}" in o.template}
    return (("/path", strictest(modes)),) if modes else ()


def stricter(whole: Mapping[str, Json], member: Mapping[str, Json]) -> dict[str, Json]:
    """A member's schema with the mark of the object that it is a member of, where that is stricter than its own."""
    marks = [schema[MARK] for schema in (whole, member) if MARK in schema]
    if not marks or not all(mark in LOG_MODES for mark in marks):
        return {**whole, **member}
    return {**member, MARK: max(marks, key=LOG_MODES.index)}


def _mode(findings: Findings, stated: Json, place: Place) -> LogMode:
    for mode in LOG_MODES:
        if mode == stated:
            return mode
    raise findings.problem("contract_log", f"{str(stated)[:64]!r} is no way to log an argument", place, f"write one of {', '.join(LOG_MODES)}")


def _marks(schema: Json, at: Place) -> Iterator[tuple[Place, Json]]:
    """Every marked place in a schema whose references have been inlined."""
    if not isinstance(schema, dict):
        return
    if MARK in schema:
        yield at, schema[MARK]
    for name, inner in _members(schema):
        yield from _marks(inner, (*at, name))
    for key in _BRANCHES:
        for branch in schema.get(key, ()):
            yield from _marks(branch, at)
    for key in _UNNAMED:
        for inner in _inner(schema.get(key)):
            yield from ((at, mode) for _, mode in _marks(inner, at))


def _members(schema: Mapping[str, Json]) -> Iterator[tuple[str, Json]]:
    yield from schema.get("properties", {}).items()
    if "items" in schema:
        yield "-", schema["items"]


def _inner(value: Json) -> list[Json]:
    """The schemas that an unnamed keyword holds: itself, a list of them, or a table of them."""
    if isinstance(value, list):
        return value
    return [value, *value.values()] if isinstance(value, dict) else []


def _declared(properties: Mapping[str, Json], parts: Place) -> bool:
    """Whether a pointer may lead somewhere: a member that a schema with members does not name is a misspelling."""
    schema: Json = {"properties": properties, "additionalProperties": False}
    for part in parts:
        known = dict(_members(schema)) if isinstance(schema, dict) else {}
        if part in known:
            schema = known[part]
        elif known:
            return False
        else:
            return schema is not None and isinstance(schema, dict) and not _is_scalar(schema)
    return True


def _is_scalar(schema: Mapping[str, Json]) -> bool:
    return schema.get("type") in {"string", "integer", "number", "boolean", "null"}
