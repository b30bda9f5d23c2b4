"""Reads an argument's JSON Schema as the Cedar type that its values will have.

string, boolean, integer, number (decimal), date-time, a list of one scalar (Set), an object (record). Whatever has no such type is `raw`:
policy sees its canonical JSON as text in `context.raw`, and nothing that was declared disappears.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.canonical import Json

Kind = Literal["string", "boolean", "long", "decimal", "datetime", "set", "record", "raw"]

_SCALARS: dict[str, Kind] = {"string": "string", "boolean": "boolean", "integer": "long", "number": "decimal"}
_BRANCHES = ("allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas", "not", "patternProperties")
RESERVED = frozenset({"__extn", "__entity", "__expr"})
"""Names that are escapes in Cedar's JSON. A contract that uses one as a member does not load."""


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a record. `required`: it is always there and never null."""

    name: str
    shape: Shape
    required: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """What a value will be for policy. `whole`: the typed form shows all of it; if not, its JSON text goes to `context.raw` besides."""

    kind: Kind
    items: Shape | None = None
    members: tuple[Member, ...] = ()
    nullable: bool = False
    whole: bool = True
    closed: bool = True

    @property
    def cedar(self) -> dict[str, Json]:
        """The type in Cedar's JSON schema form. Not for `raw`."""
        match self.kind:
            case "string":
                return {"type": "String"}
            case "boolean":
                return {"type": "Boolean"}
            case "long":
                return {"type": "Long"}
            case "decimal" | "datetime":
                return {"type": "Extension", "name": self.kind}
            case "set":
                assert self.items
                return {"type": "Set", "element": self.items.cedar}
            case "record":
                return record({m.name: (m.shape.cedar, m.required) for m in self.members if m.shape.kind != "raw"})
            case "raw":
                raise AssertionError("raw has no type of its own")


RAW = Shape("raw", nullable=True, whole=False)


def record(attributes: Mapping[str, tuple[dict[str, Json], bool]]) -> dict[str, Json]:
    """A record type: name -> (type, required)."""
    return {
        "type": "Record",
        "attributes": {name: kind if required else {**kind, "required": False} for name, (kind, required) in attributes.items()},
    }


def shape_of(schema: Json) -> Shape:
    """The shape of a JSON Schema (references already inlined). Anything not understood is raw. Raises ValueError for a reserved name."""
    if not isinstance(schema, dict):
        return RAW
    types, nullable = _types(schema)
    if types == ["object"]:
        return _record(schema, nullable=nullable)
    if types == ["array"]:
        return _set(schema, nullable=nullable)
    if len(types) == 1 and types[0] in _SCALARS:
        kind = _SCALARS[types[0]]
        return Shape("datetime" if kind == "string" and schema.get("format") == "date-time" else kind, nullable=nullable)
    if not types:
        return _union(schema)
    return RAW


def _types(schema: Mapping[str, Json]) -> tuple[list[str], bool]:
    """The stated JSON types without null, or those of its enum; and whether null is one."""
    stated = schema.get("type")
    types = [stated] if isinstance(stated, str) else list(stated) if isinstance(stated, list) else []
    if not types:
        values = schema["enum"] if isinstance(schema.get("enum"), list) else [schema["const"]] if "const" in schema else []
        names = {str: "string", bool: "boolean", int: "integer", float: "number", type(None): "null", list: "array", dict: "object"}
        types = sorted({names[type(v)] for v in values})
        if "object" in types or "array" in types:
            return ["object", "array"], True  # a constant structure: more than one type, so raw
    nullable = "null" in types
    types = [t for t in types if t != "null"]
    if sorted(types) == ["integer", "number"]:
        types = ["number"]
    return types, nullable


def _record(schema: Mapping[str, Json], *, nullable: bool) -> Shape:
    properties = schema.get("properties")
    if not isinstance(properties, dict) or not properties:
        closed = schema.get("additionalProperties") is False and not any(key in schema for key in _BRANCHES)
        return Shape("record", nullable=nullable) if closed else RAW
    reserved = RESERVED & properties.keys()
    if reserved:
        raise ValueError(f"the member name {min(reserved)} is reserved")
    required = set(schema.get("required", ()))
    members = []
    for name, inner in properties.items():
        shape = shape_of(inner)
        members.append(Member(name, shape, name in required and not shape.nullable))
    closed = schema.get("additionalProperties") is False and not any(key in schema for key in _BRANCHES)
    return Shape("record", members=tuple(members), nullable=nullable, whole=closed and all(m.shape.whole for m in members), closed=closed)


def _set(schema: Mapping[str, Json], *, nullable: bool) -> Shape:
    items = shape_of(schema.get("items"))
    if "prefixItems" in schema or items.nullable or items.kind in {"raw", "record", "set"}:
        return RAW
    return Shape("set", items=items, nullable=nullable)


def _union(schema: Mapping[str, Json]) -> Shape:
    """A choice that is one scalar type whatever is chosen, perhaps with null; anything else is raw."""
    for key in ("anyOf", "oneOf", "allOf"):
        branches = schema.get(key)
        if isinstance(branches, list) and branches and not any(other in schema for other in _BRANCHES if other != key):
            shapes = [shape_of(branch) for branch in branches if branch != {"type": "null"}]
            kinds = {shape.kind for shape in shapes}
            nullable = len(shapes) < len(branches) or any(shape.nullable for shape in shapes)
            if len(shapes) == 1 and key != "allOf":
                return Shape(shapes[0].kind, shapes[0].items, shapes[0].members, nullable, shapes[0].whole, shapes[0].closed)
            if len(kinds) == 1 and kinds <= set(_SCALARS.values()) | {"datetime"}:
                return Shape(shapes[0].kind, nullable=nullable)
    return RAW
