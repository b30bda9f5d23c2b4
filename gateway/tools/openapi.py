"""Reads the operations of an OpenAPI 3.0 or 3.1 document: one pass over `paths`, each operation by itself.

What the gateway cannot hold calls to exactly is left out with a note (Unsupported): an optional parameter is then refused as undeclared, and an
operation's calls count as `unmapped`. What is wrong in the document is a Problem. `servers`, `security` and `responses` are not read: the tool's
settings say where calls go and with which credential.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

from gateway.call import FACT_KINDS, Effect, Operation
from gateway.canonical import Json
from gateway.errors import Problem
from gateway.tools.declared import ArgumentReader, Arguments, kinds_of
from gateway.tools.dialect import SchemaReader
from gateway.tools.document import Place
from gateway.tools.findings import Findings, Unsupported
from gateway.tools.logged import MARK, log_rules
from gateway.tools.plan import EFFECTS, METHODS, OPAQUE, UNMAPPED, LeftOut, Plan, effect_of
from gateway.tools.routes import AmbiguousError, Routes, literal
from gateway.tools.schema import SchemaError, compile_check
from gateway.tools.spots import spot

NAME_CHARACTERS_MAX = 128
_OURS = frozenset({"x-portreeve-effect", "x-portreeve-facts", MARK, OPAQUE})
_ITEM_OTHERS = frozenset({"parameters", "summary", "description", "servers"})


def operation_name(stated: str) -> str:
    """An operationId as a name: ASCII letters, digits, `.`, `-` and `_`; a run of anything else becomes one `_`. May be empty."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", stated).strip("_")[:NAME_CHARACTERS_MAX]


def derived_name(method: str, template: str) -> str:
    """`get_tickets_by_id` for `GET /tickets/{id}`."""
    words = [f"by_{part[1:-1]}" if part.startswith("{") else part for part in template.split("/") if part]
    return operation_name("_".join([method.lower(), *words]))


@dataclass(frozen=True, slots=True)
class _Declared:
    """One operation object with all that stands around it."""

    method: str
    template: str
    names: list[str]
    segments: tuple[str | None, ...]
    item: Mapping[str, Json]
    value: Mapping[str, Json]
    place: Place


class OperationReader:
    """Reads one document for one tool into routes, plans by name, and the names of what was left out.

    `taken` are the header fields (lower case) that carry the tool's credential or the agents' token: they are no arguments.
    """

    def __init__(self, tool: str, findings: Findings, taken: frozenset[str] = frozenset()) -> None:
        self.findings = findings
        self.routes = Routes()
        self.plans: dict[str, Plan] = {}
        self.left_out: set[str] = set()
        self._tool = tool
        self._taken = taken
        self._effects: Mapping[str, str] = {}
        self._schemas = SchemaReader(findings, nullable=False)

    def read(self, effects: Mapping[str, str]) -> None:
        """Read every operation; `effects` are the tool's own effect classes by operation name. Problems go to the findings."""
        document = self.findings.document.value
        version = document.get("openapi") if isinstance(document, dict) else None
        if not isinstance(version, str) or not re.fullmatch(r"3\.[01]\.[0-9]+(-.*)?", version):
            self.findings.add("contract_version", "not an OpenAPI 3.0 or 3.1 document", ("openapi",), 'write openapi: "3.1.0" and keep to it')
            return
        paths = document.get("paths")
        if not isinstance(paths, dict) or not paths:
            self.findings.add("contract_operation", "the contract declares no paths", ("paths",), "declare what the tool can do, or name no contract")
            return
        self._schemas = SchemaReader(self.findings, nullable=version.startswith("3.0"))
        self._effects = effects
        for template, item in paths.items():
            if template.startswith("x-"):
                continue
            try:
                declared = self._path(template, item)
            except Problem as problem:
                self.findings.keep(problem)
                continue
            for operation in declared:
                try:
                    self._operation(operation)
                except Problem as problem:
                    self.findings.keep(problem)

    def _path(self, template: str, item: Json) -> list[_Declared]:
        names, segments = self._segments(template)
        try:
            item, place, _ = self._schemas.follow(item, ("paths", template))
        except Unsupported as why:
            raise self.findings.problem("contract_reference", why.message, why.place, why.remedy) from why
        if not isinstance(item, dict):
            raise self.findings.problem("contract_operation", "a path holds its operations by method", place, "write get: {...}")
        found = []
        for key, value in item.items():
            if key in _ITEM_OTHERS or key.startswith("x-"):
                continue
            if key.upper() not in METHODS or key != key.lower() or not isinstance(value, dict):
                raise self.findings.problem("contract_operation", f"{key[:64]!r} is no operation", (*place, key), "write get: {...}")
            found.append(_Declared(key.upper(), template, names, segments, item, value, (*place, key)))
        return found

    def _segments(self, template: str) -> tuple[list[str], tuple[str | None, ...]]:
        """The names of a template's parameters, and its segments with None for each of them."""
        place: Place = ("paths", template)
        names: list[str] = []
        segments: list[str | None] = []
        parts = template.split("/")[1:]
        if not template.startswith("/") or "" in parts[:-1] or re.search(r"[?#\s\\]|%2f|%5c", template, re.IGNORECASE):
            raise self.findings.problem("contract_template", "not a path template", place, "write it as /literal/{parameter}")
        for part in parts:
            if re.fullmatch(r"\{[^{}]+\}", part):
                names.append(part[1:-1])
                segments.append(None)
            elif "{" in part or "}" in part:
                raise self.findings.problem("contract_template", "a parameter takes a whole segment", place, "write /{parameter}/ between slashes")
            else:
                segments.append(literal(part))
        if len(names) != len(set(names)):
            raise self.findings.problem("contract_template", "a parameter stands twice", place, "give each its own name")
        return names, tuple(segments)

    def _operation(self, declared: _Declared) -> None:
        name = self._name(declared)
        self._schemas.begin()
        entry: Plan | LeftOut
        try:
            entry = self._plan(declared, name)
            self.plans[name] = entry
        except Unsupported as why:
            self.findings.leave_out(f"the operation {name}", why)
            entry = LeftOut(name, declared.method, declared.template, declared.segments)
            self.left_out.add(name)
        try:
            self.routes.add(entry)
        except AmbiguousError as error:
            message = f"matches the same paths as {error.other}"
            raise self.findings.problem("contract_template", message, declared.place, "keep one of the two") from error

    def _name(self, declared: _Declared) -> str:
        stated = declared.value.get("operationId")
        place = (*declared.place, "operationId")
        if stated is not None and not isinstance(stated, str):
            raise self.findings.problem("contract_operation", "operationId is a text", place, "quote it")
        name = operation_name(stated) if stated else derived_name(declared.method, declared.template)
        if not name or name == UNMAPPED:
            raise self.findings.problem("contract_operation", f"{name!r} cannot name an operation", place, "give it an operationId of its own")
        if name in self.plans or name in self.left_out:
            raise self.findings.problem("contract_operation", f"two operations are called {name}", place, "give each its own operationId")
        return name

    def _plan(self, declared: _Declared, name: str) -> Plan:
        value, place = declared.value, declared.place
        unknown = next((key for key in value if key.startswith("x-portreeve-") and key not in _OURS), None)
        if unknown is not None:
            raise self.findings.problem("contract_operation", f"{unknown[:64]} means nothing", (*place, unknown), f"use {', '.join(sorted(_OURS))}")
        effect = self._effect(declared, name)
        arguments = self._arguments(declared)
        schema = arguments.schema()
        try:
            check = compile_check(schema)
        except SchemaError as fault:
            raise self.findings.problem(
                "contract_schema", f"{name}: {fault}", place, "write a pattern or keyword that the gateway can check"
            ) from fault
        facts = self._facts(declared, schema)
        rules = log_rules(self.findings, value.get(MARK, {}), (*place, MARK), schema["properties"])
        operation = Operation(self._tool, name, declared.method, declared.template, effect, schema, facts, rules)
        path = tuple(arguments.path[n] for n in declared.names)
        return Plan(operation, declared.segments, path, arguments.query, arguments.headers, arguments.body, check)

    def _arguments(self, declared: _Declared) -> Arguments:
        value, place = declared.value, declared.place
        arguments = Arguments()
        reader = ArgumentReader(self.findings, self._schemas, self._taken)
        lists = [(declared.item["parameters"], (*place[:-1], "parameters"))] if "parameters" in declared.item else []
        lists += [(value["parameters"], (*place, "parameters"))] if "parameters" in value else []
        reader.parameters(lists, arguments)
        if set(arguments.path) != set(declared.names):
            message = "the path parameters declared are not those of the template"
            raise self.findings.problem("contract_parameter", message, place, "declare each {name} of the path once, with in: path")
        opaque = value.get(OPAQUE)
        if opaque not in (None, "opaque"):
            raise self.findings.problem("contract_body", f"{OPAQUE} can only be opaque", (*place, OPAQUE), "remove it, or write opaque")
        if "requestBody" in value and declared.method not in {"GET", "HEAD"}:  # those have no body to speak of (RFC 9110 section 9.3.1)
            reader.body(value["requestBody"], (*place, "requestBody"), arguments, opaque=opaque is not None)
        return arguments

    def _effect(self, declared: _Declared, name: str) -> Effect:
        place = (*declared.place, "x-portreeve-effect")
        effect = self._effects.get(name, declared.value.get("x-portreeve-effect", effect_of(declared.method)))
        if effect not in EFFECTS:
            raise self.findings.problem("contract_effect", f"{str(effect)[:64]!r} is no effect class", place, f"write one of {', '.join(EFFECTS)}")
        return cast("Effect", effect)

    def _facts(self, declared: _Declared, schema: Mapping[str, Json]) -> dict[str, str]:
        """The derived values that policy gets for arguments that are texts or lists of texts."""
        facts = declared.value.get("x-portreeve-facts", {})
        place = (*declared.place, "x-portreeve-facts")
        if not isinstance(facts, dict):
            raise self.findings.problem("contract_facts", "facts are a kind for each argument", place, "write {argument: kind}")
        for argument, kind in facts.items():
            if not isinstance(kind, str) or kind not in FACT_KINDS:
                message, remedy = f"{str(kind)[:64]!r} is no kind of fact", f"write one of {', '.join(sorted(FACT_KINDS))}"
                raise self.findings.problem("contract_facts", message, (*place, argument), remedy)
            try:
                found = spot(schema, argument).schema
            except ValueError as error:
                raise self.findings.problem(
                    "contract_facts", str(error), (*place, argument), "name a declared argument, or /member/of/one"
                ) from error
            types = kinds_of(found) - {"null"} if isinstance(found, dict) else set()
            items = found.get("items") if isinstance(found, dict) else None
            if kind == "size" and types.isdisjoint({"integer", "number", "boolean"}):
                continue
            if types != {"string"} and not (types == {"array"} and isinstance(items, dict) and kinds_of(items) == {"string"}):
                message = "facts are taken from a text or a list of texts"
                raise self.findings.problem("contract_facts", message, (*place, argument), "declare the argument as string")
        return dict(facts)
