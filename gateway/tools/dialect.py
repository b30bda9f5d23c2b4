"""Turns a schema as OpenAPI 3.0 or 3.1 writes it into a plain JSON Schema 2020-12 without references.

Objects that declare properties are closed unless they say otherwise: a member that policy cannot see must not travel. `$ref` is inlined, local
ones only. A recursive schema has no finite inlined form: whatever needs it is left out (Unsupported), so its calls count as unmapped. An unknown
keyword is a Problem, because ignoring it would check less than what is written.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from gateway.canonical import Json
from gateway.tools.document import Place
from gateway.tools.findings import Findings, Unsupported
from gateway.tools.logged import MARK

NODES_MAX = 5_000
DEPTH_MAX = 64

TYPES = frozenset({"string", "number", "integer", "boolean", "array", "object", "null"})
FORMATS = frozenset({"date-time", "date", "time", "duration", "email", "uuid", "ipv4", "ipv6", "uri", "hostname"})
_COPIED = frozenset(
    [
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "minimum",
        "maxLength",
        "minLength",
        "pattern",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "minProperties",
        "required",
        "dependentRequired",
        "minContains",
        "maxContains",
        "description",
        MARK,
    ]
)
_DROPPED = frozenset(
    [
        "title",
        "default",
        "example",
        "examples",
        "deprecated",
        "readOnly",
        "writeOnly",
        "xml",
        "externalDocs",
        "discriminator",
        "nullable",
        "contentEncoding",
        "contentMediaType",
        "contentSchema",
        "$comment",
        "$defs",
        "definitions",
        "type",
        "format",
        "exclusiveMaximum",
        "exclusiveMinimum",
    ]
)
_ONE = frozenset({"items", "additionalProperties", "unevaluatedProperties", "unevaluatedItems"})
_LISTS = frozenset({"allOf", "anyOf", "oneOf", "prefixItems"})
_MAPS = frozenset({"properties", "patternProperties", "dependentSchemas"})
_PARTS = frozenset({"allOf", "anyOf", "oneOf", "dependentSchemas", "then", "else"})
# Closing an object inside these would turn a refusal into an acceptance or the other way round, so they stay as written.
_TESTS = frozenset({"not", "if", "contains", "propertyNames"})
_COMPOSITIONS = frozenset({"allOf", "anyOf", "oneOf", "if", "then", "else", "dependentSchemas"})
_PLAIN_OBJECT = frozenset({"type", "properties", "required", "description"})


class SchemaReader:
    """Reads the schemas of one document. `begin()` starts a new operation and its budget of nodes."""

    def __init__(self, findings: Findings, *, nullable: bool) -> None:
        self.findings = findings
        self.nullable = nullable  # OpenAPI 3.0: `nullable`, boolean exclusiveMinimum, siblings of $ref ignored
        self.nodes = 0
        self.depth = 0

    def begin(self) -> None:
        self.nodes = 0

    def follow(self, value: Json, place: Place, trail: tuple[str, ...] = ()) -> tuple[Json, Place, tuple[str, ...]]:
        """Follow `$ref` until there is none; `trail` holds the references passed so far. Raises Problem or Unsupported."""
        while isinstance(value, dict) and "$ref" in value:
            reference = value["$ref"]
            if not isinstance(reference, str) or not reference.startswith("#/"):
                raise self.findings.problem(
                    "contract_reference",
                    "only references within the file are followed",
                    (*place, "$ref"),
                    "copy the schema in and write #/components/...",
                )
            if reference in trail or len(trail) > DEPTH_MAX:
                raise Unsupported(f"{reference[:128]} refers to itself", place, "write the levels that are needed out")
            trail = (*trail, reference)
            value, place = self._find(reference, place)
        return value, place, trail

    def _find(self, reference: str, place: Place) -> tuple[Json, Place]:
        target: Place = tuple(unquote(part).replace("~1", "/").replace("~0", "~") for part in reference[2:].split("/"))
        value = self.findings.document.value
        for part in target:
            if isinstance(value, dict) and part in value:
                value = value[part]
            elif isinstance(value, list) and part.isascii() and part.isdigit() and len(part) < 7 and int(part) < len(value):
                value = value[int(part)]
            else:
                raise self.findings.problem("contract_reference", f"{reference[:128]} is not in this file", (*place, "$ref"), "correct the reference")
        return value, target

    def read(self, schema: Json, place: Place, trail: tuple[str, ...] = (), *, part: bool = False, test: bool = False) -> dict[str, Json]:
        """Normalise one schema. `part`: a branch of a composition, which the whole closes; `test`: below a keyword that only asks."""
        self.nodes += 1
        if self.nodes > NODES_MAX or self.depth > DEPTH_MAX:
            raise Unsupported(f"its schemas unfold to more than {NODES_MAX} parts or {DEPTH_MAX} levels", place, "declare simpler arguments")
        self.depth += 1
        try:
            return self._read(schema, place, trail, part=part, test=test)
        finally:
            self.depth -= 1

    def _read(self, schema: Json, place: Place, trail: tuple[str, ...], *, part: bool, test: bool) -> dict[str, Json]:
        if schema is True:
            return {}
        if schema is False:
            return {"not": {}}
        if not isinstance(schema, dict):
            raise self.findings.problem("contract_schema", "a schema is an object", place, "write {type: ...}")
        if "$ref" in schema:
            return self._reference(schema, place, trail, part=part, test=test)
        found = self._numbers(schema, place, self._type(schema, place))
        for key, value in schema.items():
            if key in _COPIED:
                found[key] = value
            elif key not in _DROPPED and not key.startswith("x-"):
                found[key] = self._inner(key, value, (*place, key), trail, part=part, test=test)
        self._required(schema, found, place)
        return found if test else _closed(_merged(found), part=part)

    def _reference(self, schema: Mapping[str, Json], place: Place, trail: tuple[str, ...], *, part: bool, test: bool) -> dict[str, Json]:
        siblings = {} if self.nullable else {k: v for k, v in schema.items() if k != "$ref"}
        beside = {k for k in siblings if k not in _DROPPED - {"type", "format", "exclusiveMaximum", "exclusiveMinimum"} and k != "description"}
        target, target_place, target_trail = self.follow(schema, place, trail)
        if not beside:
            return self.read(target, target_place, target_trail, part=part, test=test)
        branches = [self.read(target, target_place, target_trail, part=True, test=test), self.read(siblings, place, trail, part=True, test=test)]
        return branches_of(branches) if test else _closed(_merged(branches_of(branches)), part=part)

    def _inner(self, key: str, value: Json, place: Place, trail: tuple[str, ...], *, part: bool, test: bool) -> Json:
        part = key in _PARTS
        test = test or key in _TESTS
        if key in {"additionalProperties", "unevaluatedProperties", "unevaluatedItems"} and isinstance(value, bool):
            return value
        if key in _ONE | _TESTS | {"then", "else"}:
            return self.read(value, place, trail, part=part, test=test)
        if key in _LISTS and isinstance(value, list):
            return [self.read(item, (*place, str(n)), trail, part=part, test=test) for n, item in enumerate(value)]
        if key in _MAPS and isinstance(value, dict):
            return {name: self.read(item, (*place, name), trail, part=part, test=test) for name, item in value.items()}
        if key in _LISTS | _MAPS:
            raise self.findings.problem("contract_schema", f"{key} has the wrong shape", place, "see JSON Schema 2020-12")
        raise self.findings.problem("contract_schema", f"{key[:64]!r} is not a keyword this gateway knows", place, "correct or remove it")

    def _type(self, schema: Mapping[str, Json], place: Place) -> dict[str, Json]:
        stated = schema.get("type")
        if stated is None:
            return {}
        types = stated if isinstance(stated, list) and not self.nullable else [stated]
        if not types or not all(isinstance(t, str) and t in TYPES for t in types):
            raise self.findings.problem("contract_schema", "not a JSON type", (*place, "type"), f"write one of {', '.join(sorted(TYPES))}")
        if self.nullable and schema.get("nullable") is True:
            types = [*types, "null"]
        return {"type": types[0] if len(types) == 1 else sorted(set(types), key=types.index)}

    def _numbers(self, schema: Mapping[str, Json], place: Place, found: dict[str, Json]) -> dict[str, Json]:
        """Formats that bound a number or are checked, and the boolean bounds of OpenAPI 3.0."""
        stated = schema.get("format")
        if stated == "int32":
            found["minimum"], found["maximum"] = -(2**31), 2**31 - 1
        elif isinstance(stated, str) and stated in FORMATS:
            found["format"] = stated
        for bound, exclusive in (("minimum", "exclusiveMinimum"), ("maximum", "exclusiveMaximum")):
            value = schema.get(exclusive)
            if isinstance(value, bool) and self.nullable:
                if value and bound in schema:
                    found[exclusive] = schema[bound]
            elif value is not None:
                if isinstance(value, bool):
                    raise self.findings.problem("contract_schema", f"{exclusive} is a number since OpenAPI 3.1", place, "write the bound itself")
                found[exclusive] = value
        return found

    def _required(self, schema: Mapping[str, Json], found: dict[str, Json], place: Place) -> None:
        """A property that is readOnly belongs to answers, so it cannot be required of a request (OpenAPI 3.0.3, Schema Object)."""
        required = schema.get("required", [])
        if required == []:
            return
        if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
            raise self.findings.problem("contract_schema", "required is a list of names", (*place, "required"), "list the names")
        properties = schema.get("properties")
        declared = properties if isinstance(properties, dict) else {}
        answers = {name for name, value in declared.items() if isinstance(value, dict) and value.get("readOnly") is True}
        found["required"] = [name for name in dict.fromkeys(required) if name not in answers]


def branches_of(branches: list[dict[str, Json]]) -> dict[str, Json]:
    return {"allOf": branches}


def _merged(schema: dict[str, Json]) -> dict[str, Json]:
    """Fold an allOf of plain objects with different members into one object; one branch alone stands for itself."""
    branches = schema.get("allOf")
    if not branches:
        return schema
    own = {k: v for k, v in schema.items() if k != "allOf"}
    if len(branches) == 1 and not own.keys() - {"description"}:
        return {**branches[0], **own}
    parts = [own, *branches]
    names = [name for p in parts for name in p.get("properties", {})]
    plain = all(p.keys() <= _PLAIN_OBJECT and p.get("type", "object") == "object" for p in parts)
    if not plain or len(names) != len(set(names)):
        return schema
    merged: dict[str, Json] = {**own, "type": "object", "properties": {k: v for p in parts for k, v in p.get("properties", {}).items()}}
    merged["required"] = list(dict.fromkeys(name for p in parts for name in p.get("required", ())))
    if not any(p.get("type") == "object" for p in parts):
        del merged["type"]
    return merged


def _closed(schema: dict[str, Json], *, part: bool) -> dict[str, Json]:
    """Refuse members that nobody declared, unless the schema says what they may be or declares none at all."""
    if part or "additionalProperties" in schema or "unevaluatedProperties" in schema or not _declares_members(schema):
        return schema
    key = "unevaluatedProperties" if schema.keys() & _COMPOSITIONS else "additionalProperties"
    return {**schema, key: False}


def _declares_members(schema: Mapping[str, Json]) -> bool:
    if "properties" in schema or "patternProperties" in schema:
        return True
    return any(_declares_members(branch) for key in ("allOf", "anyOf", "oneOf") for branch in schema.get(key, ()))
