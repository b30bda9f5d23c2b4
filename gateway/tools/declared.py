"""Reads the parameters and the body that an operation declares into typed parameters, a body plan and one flat set of arguments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.canonical import Json
from gateway.tools.dialect import SchemaReader
from gateway.tools.document import Place
from gateway.tools.fields import is_never
from gateway.tools.findings import Findings, Unsupported
from gateway.tools.logged import MARK, stricter
from gateway.tools.parameters import Parameter, Scalar
from gateway.tools.plan import OPAQUE, BodyPlan

FORM = "application/x-www-form-urlencoded"
BODY = "body"
_PLACES: dict[str, Literal["path", "query", "header"]] = {"path": "path", "query": "query", "header": "header"}
_ORDER = ("path", "query", "header")
# OpenAPI 3.0.3, Parameter Object: a header parameter of these names is ignored.
_IGNORED_HEADERS = frozenset({"accept", "content-type", "authorization"})
_FLAT = frozenset({"type", "properties", "required", "description", "additionalProperties", MARK})


@dataclass(slots=True)
class Arguments:
    """The arguments of one operation while they are read: their schemas, which are required, and where each comes from."""

    properties: dict[str, Json] = field(default_factory=dict)
    required: list[str] = field(default_factory=list)
    path: dict[str, Parameter] = field(default_factory=dict)
    query: dict[str, Parameter] = field(default_factory=dict)
    headers: dict[str, Parameter] = field(default_factory=dict)
    body: BodyPlan | None = None

    def add(self, parameter: Parameter, schema: Json) -> None:
        self.properties[parameter.argument] = schema
        if parameter.required:
            self.required.append(parameter.argument)
        {"path": self.path, "query": self.query, "header": self.headers}[parameter.place][parameter.name] = parameter

    def schema(self) -> dict[str, Json]:
        """The closed schema of all arguments."""
        found: dict[str, Json] = {"type": "object", "properties": self.properties, "required": self.required, "additionalProperties": False}
        if self.body is not None and self.body.kind == "opaque":
            found[OPAQUE] = "opaque"
        return found


class ArgumentReader:
    """Reads parameters and bodies. Raises Problem for what is wrong and Unsupported for what cannot be held to exactly."""

    def __init__(self, findings: Findings, schemas: SchemaReader, taken: frozenset[str] = frozenset()) -> None:
        self.findings = findings
        self.schemas = schemas
        self.taken = taken

    def parameters(self, lists: list[tuple[Json, Place]], arguments: Arguments) -> None:
        """Read the parameters of a path item and then of its operation; the latter override by name and place."""
        found: dict[tuple[str, str], tuple[Mapping[str, Json], Place]] = {}
        for items, place in lists:
            if not isinstance(items, list):
                raise self.findings.problem("contract_parameter", "parameters is a list", place, "write a list")
            for n, item in enumerate(items):
                declared, at, _ = self.schemas.follow(item, (*place, str(n)))
                name, where = (declared.get("name"), declared.get("in")) if isinstance(declared, dict) else (None, None)
                if not isinstance(name, str) or not name or not isinstance(where, str) or where not in {*_PLACES, "cookie"}:
                    raise self.findings.problem("contract_parameter", "a parameter needs a name and `in`", at, "in: path, query or header")
                found[name.lower() if where == "header" else name, where] = (declared, at)
        for (name, where), (declared, at) in sorted(found.items(), key=lambda entry: _ORDER.index(entry[0][1]) if entry[0][1] in _ORDER else 9):
            if where == "header" and name in _IGNORED_HEADERS:
                continue
            try:
                self._parameter(name, where, declared, at, arguments)
            except Unsupported as why:
                if where == "path" or (declared.get("required") is True and where != "cookie" and not self._is_withheld(name, where)):
                    raise
                self.findings.leave_out(f"the {where} parameter {name[:64]}", why)

    def _is_withheld(self, name: str, where: str) -> bool:
        return where == "header" and (is_never(name) or name in self.taken)

    def _parameter(self, name: str, where: str, declared: Mapping[str, Json], at: Place, arguments: Arguments) -> None:
        if where == "cookie":
            raise Unsupported("cookies are never forwarded", at, "use a header or query parameter")
        if self._is_withheld(name, where):  # policy must not decide on what the tool does not get
            raise Unsupported("this field is never forwarded", at, "let the gateway's credential carry it, or use a query parameter")
        if "schema" not in declared:
            raise Unsupported("it has no schema of its own", at, "declare it with a schema")
        style = declared.get("style", "form" if where == "query" else "simple")
        if style != ("form" if where == "query" else "simple"):
            raise Unsupported(f"the style {str(style)[:32]} is not read", at, "declare single values, or arrays of style form")
        schema = never_null(self.schemas.read(declared["schema"], (*at, "schema")))
        kind, array = scalar(schema, (*at, "schema"))
        if array and where == "path":
            raise Unsupported("a list in a path is not read", at, "declare a string")
        schema.setdefault("type", kind)
        if "description" not in schema and isinstance(declared.get("description"), str):
            schema["description"] = declared["description"]
        spelled = str(declared["name"])
        argument = spelled if spelled not in arguments.properties else f"{where}_{spelled}"
        if argument in arguments.properties:
            raise Unsupported(f"two arguments would be called {argument[:64]}", at, "rename one of them")
        explode = declared.get("explode", where == "query") is True
        required = where == "path" or declared.get("required") is True
        arguments.add(Parameter(name, argument, _PLACES[where], kind, array, explode, required), schema)

    def body(self, declared: Json, place: Place, arguments: Arguments, *, opaque: bool) -> None:
        """Read a request body. JSON is preferred to a form, and anything else has to be declared opaque."""
        declared, place, _ = self.schemas.follow(declared, place)
        content = declared.get("content") if isinstance(declared, dict) else None
        if not isinstance(content, dict) or not content or not all(isinstance(entry, dict) for entry in content.values()):
            raise self.findings.problem(
                "contract_body", "a body needs its content by media type", place, "write content: {application/json: {schema: ...}}"
            )
        required = declared.get("required") is True
        kinds: dict[str, list[str]] = {"json": [], "form": [], "opaque": []}
        for media in content:
            kinds[_kind(media)].append(media)
        if opaque:
            arguments.body = BodyPlan("opaque", frozenset(map(_essence, content)), required)
        elif kinds["json"]:
            self._json(content, kinds["json"], place, arguments, required=required)
        elif kinds["form"]:
            self._form(content[kinds["form"][0]], (*place, "content", kinds["form"][0]), arguments, required=required)
        else:
            why = f"its body ({', '.join(content)[:128]}) cannot be read, so policy would not see it"
            raise Unsupported(why, place, f"declare {OPAQUE}: opaque on the operation to stream it unread")
        unread = [m for m in content if arguments.body is not None and _essence(m) not in arguments.body.media and not m.endswith("*")]
        if unread:
            why_not = Unsupported("only one kind of body is read", (*place, "content"), "send the other one")
            self.findings.leave_out(f"the body of type {', '.join(unread)[:128]}", why_not)

    def _json(self, content: Mapping[str, Json], medias: list[str], place: Place, arguments: Arguments, *, required: bool) -> None:
        schemas = [self.schemas.read(content[m].get("schema", {}), (*place, "content", m, "schema")) for m in medias]
        schema = schemas[0]
        same = frozenset(_essence(m) for m, s in zip(medias, schemas, strict=True) if s == schema)
        media = frozenset("application/json" if m.endswith("*") else m for m in same)
        if not _is_flat(schema) or schema.get("properties", {}).keys() & arguments.properties.keys():
            if BODY in arguments.properties:
                raise Unsupported("a parameter is called body, too", place, "rename the parameter")
            arguments.properties[BODY] = schema
            arguments.required += [BODY] if required else []
            arguments.body = BodyPlan("json", media, required, BODY)
            return
        elsewhere = frozenset(arguments.properties)
        members = self._flatten(schema, arguments, required=required)
        arguments.body = BodyPlan("json", media, required, members=members, elsewhere=elsewhere)

    def _flatten(self, schema: Mapping[str, Json], arguments: Arguments, *, required: bool) -> tuple[str, ...]:
        """Make the members of an object arguments; returns those that only an existing body must have."""
        mark = {MARK: schema[MARK]} if MARK in schema else {}  # the object itself is no argument any more; all of its members are
        arguments.properties.update({name: stricter(mark, value) for name, value in schema.get("properties", {}).items()})
        if required:
            arguments.required += schema.get("required", [])
            return ()
        return tuple(schema.get("required", []))

    def _form(self, entry: Mapping[str, Json], place: Place, arguments: Arguments, *, required: bool) -> None:
        schema = self.schemas.read(entry.get("schema", {}), (*place, "schema"))
        if not _is_flat(schema) or schema.get("properties", {}).keys() & arguments.properties.keys():
            raise Unsupported("a form is read only as an object of single values with names of its own", place, "declare properties")
        fields: dict[str, Parameter] = {}
        properties: dict[str, Json] = {}
        for name, stated in schema["properties"].items():
            value = never_null(stated)
            try:
                kind, array = scalar(value, (*place, "schema", "properties", name))
            except Unsupported as why:
                if name in schema.get("required", ()):
                    raise
                self.findings.leave_out(f"the form field {name[:64]}", why)
                continue
            fields[name] = Parameter(name, name, "form", kind, array)
            properties[name] = {**value, "type": value.get("type", kind)}
        members = self._flatten({**schema, "properties": properties}, arguments, required=required)
        arguments.body = BodyPlan("form", frozenset({FORM}), required, fields=fields, members=members)


def never_null(schema: dict[str, Json]) -> dict[str, Json]:
    """The schema for what comes as text: a choice between null and one other schema, as generators write for what is optional, is that other one."""
    for key in ("anyOf", "oneOf"):
        own = {name: value for name, value in schema.items() if name != key}
        others = [branch for branch in schema.get(key, ()) if branch != {"type": "null"}]
        if len(others) == 1 and not (own.keys() & others[0].keys()) - {"description"}:
            return {**others[0], **own}
    return schema


def scalar(schema: Mapping[str, Json], place: Place) -> tuple[Scalar, bool]:
    """How a text becomes this schema's value: its one scalar type, and whether it is a list of them. Raises Unsupported."""
    kinds = kinds_of(schema) - {"null"}
    if kinds == {"array"}:
        items = schema.get("items", {})
        inner, nested = scalar(items, (*place, "items")) if isinstance(items, dict) else ("string", True)
        if nested:
            raise Unsupported("a list of lists is not read", place, "declare a list of single values")
        return inner, True
    if kinds == {"integer", "number"}:
        return "number", False
    for kind in ("string", "integer", "number", "boolean"):
        if kinds <= {kind}:
            return kind, False
    raise Unsupported("a text cannot be read as one of several types, or as an object", place, "declare one type")


def kinds_of(schema: Mapping[str, Json]) -> set[str]:
    """The JSON types that a schema names, in its branches, too; empty when it names none and lists texts or nothing."""
    stated = schema.get("type", [])
    kinds = {stated} if isinstance(stated, str) else set(stated)
    for key in ("allOf", "anyOf", "oneOf"):
        for branch in schema.get(key, ()):
            kinds |= kinds_of(branch)
    if not kinds:
        listed = schema.get("enum")
        values = [*(listed if isinstance(listed, list) else ()), *([schema["const"]] if "const" in schema else [])]
        names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
        kinds = {names.get(type(value), "null") for value in values}
    return kinds


def _is_flat(schema: Mapping[str, Json]) -> bool:
    """Whether an object's members can be arguments by themselves: declared one by one, and closed."""
    return (
        schema.keys() <= _FLAT and schema.get("type", "object") == "object" and "properties" in schema and schema.get("additionalProperties") is False
    )


_JSON = frozenset({"application/json", "application/x-amz-json-1.0", "application/x-amz-json-1.1", "*/*", "application/*"})


def _essence(media: str) -> str:
    return media.partition(";")[0].strip().lower()


def _kind(media: str) -> str:
    essence = _essence(media)
    if essence in _JSON or (essence.startswith("application/") and essence.endswith("+json")):
        return "json"
    return "form" if essence == FORM else "opaque"
