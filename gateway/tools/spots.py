"""Finds what a fact is declared for: an argument by its name, or a member below one by a JSON pointer in which `*` stands for every item."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gateway.canonical import Json

EACH = "*"


@dataclass(frozen=True, slots=True)
class Spot:
    """Where it stands and its schema. `many`: below a list, so there are any number. `required`: it, or that list, is always there."""

    path: tuple[str, ...]
    schema: Json
    many: bool
    required: bool


def spot(arguments: Mapping[str, Json], name: str) -> Spot:
    """The place that `name` says, in the closed schema of an operation's arguments. Raises ValueError."""
    if name in arguments.get("properties", {}):
        return _below(arguments, (name,))
    if not name.startswith("/"):
        raise ValueError(f"a fact is declared for {name[:64]!r}, which is no argument")
    return _below(arguments, tuple(part.replace("~1", "/").replace("~0", "~") for part in name[1:].split("/")))


def _below(schema: Json, path: tuple[str, ...]) -> Spot:
    many, required = False, True
    for part in path:
        stated = schema.get("type") if isinstance(schema, dict) else None
        kinds = set(stated) if isinstance(stated, list) else {stated}
        required = required and (many or "null" not in kinds)
        if part == EACH and kinds - {"null"} == {"array"} and isinstance(schema.get("items"), dict):
            many, schema = True, schema["items"]
        elif kinds - {"null"} == {"object"} and part in schema.get("properties", {}):
            required = required and (many or part in schema.get("required", ()))
            schema = schema["properties"][part]
        else:
            raise ValueError(f"a fact is declared for a place with {part[:64]!r} in it, which the contract does not declare")
    return Spot(path, schema, many, required)
