"""Spoils the arguments of a call in every way that an agent may try: missing, empty, wrong-typed and extra ones, each change by itself."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from gateway.canonical import Json

DEPTH_MAX = 4
SAMPLE_DEPTH_MAX = 8

Kind = Literal["missing", "empty", "wrong type", "extra"]
Path = tuple[str, ...]

_EMPTY: tuple[Json, ...] = (None, "", [], {})
_FOREIGN: tuple[Json, ...] = (
    "x",
    0,
    1,
    0.5,
    True,
    False,
    {"__extn": {"fn": "unknown", "arg": "a"}},  # an escape of Cedar's JSON: must not be able to mean anything
    {"__entity": {"type": "User", "id": "a"}},
)
_STRANGE_NAMES = ("extra", "__extn", "__entity")


@dataclass(frozen=True, slots=True)
class Mutation:
    """Arguments with one change. `path` are the names down to what was changed; `value` is what is there now, None where it was taken away."""

    kind: Kind
    path: Path
    value: Json
    arguments: Mapping[str, Json]


def mutations(arguments: Mapping[str, Json], schema: Mapping[str, Json] | None) -> Iterator[Mutation]:
    """Every change of these arguments, and of the members of objects in them. `schema` is what the operation declares."""
    for path, value in _below(arguments, ()):
        yield Mutation("missing", path, None, _without(arguments, path))
        for other in _EMPTY:
            if not _same(other, value):
                yield Mutation("empty", path, other, _with(arguments, path, other))
        for other in (*_FOREIGN, str(value), [value], {path[-1]: value}):
            if _family(other) != _family(value):
                yield Mutation("wrong type", path, other, _with(arguments, path, other))
        for name in _respelled(path[-1]):
            renamed = (*path[:-1], name)
            yield Mutation("extra", renamed, value, _with(arguments, renamed, value))
            yield Mutation("extra", renamed, value, _with(_without(arguments, path), renamed, value))
    for name in _STRANGE_NAMES:
        yield Mutation("extra", (name,), "x", _with(arguments, (name,), "x"))
    for name, inner in _properties(schema).items():
        if name not in arguments:
            value = sample(inner)
            yield Mutation("extra", (name,), value, _with(arguments, (name,), value))


def required(schema: Mapping[str, Json] | None) -> dict[str, Json]:
    """Plain arguments with everything that a schema requires. They need not keep to its finer rules, such as patterns."""
    names = schema.get("required", ()) if schema else ()
    return {name: sample(_properties(schema).get(name, {})) for name in names}


def sample(schema: Json, depth: int = 0) -> Json:
    """A plain value of a schema's type."""
    if not isinstance(schema, dict) or depth > SAMPLE_DEPTH_MAX:
        return "x"
    for given in (
        [schema[key]] if key in ("const", "default") else schema[key] for key in ("const", "default", "enum", "examples") if schema.get(key)
    ):
        return given[0]
    branches = next((schema[key] for key in ("anyOf", "oneOf", "allOf") if schema.get(key)), None)
    if branches and "type" not in schema:
        return sample(branches[0], depth + 1)
    kind = schema.get("type", "string")
    match kind if isinstance(kind, str) else kind[0]:
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
        case "array":
            return [sample(schema.get("items"), depth + 1)]
        case "object":
            return {name: sample(_properties(schema).get(name, {}), depth + 1) for name in schema.get("required", ())}
        case "null":
            return None
        case _:
            return "2026-01-01T00:00:00Z" if schema.get("format") == "date-time" else "x"


def lookup(arguments: Json, path: Path) -> tuple[bool, Json]:
    """Whether something stands at the path, and what."""
    for name in path:
        if not isinstance(arguments, dict) or name not in arguments:
            return False, None
        arguments = arguments[name]
    return True, arguments


def _properties(schema: Mapping[str, Json] | None) -> Mapping[str, Any]:
    found = schema.get("properties") if schema else None
    return found if isinstance(found, dict) else {}


def _below(value: Mapping[str, Json], path: Path) -> Iterator[tuple[Path, Json]]:
    for name, inner in value.items():
        yield (*path, name), inner
        if isinstance(inner, dict) and len(path) + 1 < DEPTH_MAX:
            yield from _below(inner, (*path, name))


def _without(arguments: Mapping[str, Json], path: Path) -> dict[str, Json]:
    if len(path) == 1:
        return {name: value for name, value in arguments.items() if name != path[0]}
    return {**arguments, path[0]: _without(arguments[path[0]], path[1:])}


def _with(arguments: Mapping[str, Json], path: Path, value: Json) -> dict[str, Json]:
    return {**arguments, path[0]: value if len(path) == 1 else _with(arguments[path[0]], path[1:], value)}


def _respelled(name: str) -> list[str]:
    """Names that a careless server takes for the same."""
    return sorted({name.upper(), name.capitalize(), f"{name} ", f"{name}[]"} - {name})


def _family(value: Json) -> str:
    return "number" if type(value) in (int, float) else type(value).__name__


def _same(one: Json, other: Json) -> bool:
    return _family(one) == _family(other) and one == other
