"""Writes operations that stand in the settings as an OpenAPI document, so that one reader reads both.

In `[tool.NAME.operation.OP]` each parameter is a JSON Schema with two members more: `in` (`path`, `query` or `header`; path when the template
names it, else query) and `required` as a boolean. `body` is the JSON Schema of a JSON body, which is then required.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canonical import Json, JsonError, dumps
from gateway.config.model import InlineOperation, ToolSettings
from gateway.errors import Problem
from gateway.tools.document import Document, Place
from gateway.tools.logged import MARK


def inline_document(tool: ToolSettings) -> Document:
    """The document of a tool's inline operations. Raises Problem when a schema holds what JSON cannot (a TOML date)."""
    paths: dict[str, dict[str, Json]] = {}
    lines: dict[Place, int] = {}
    for operation in tool.operations:
        item = paths.setdefault(operation.path, {})
        method = operation.method.lower()
        if method in item:
            raise _problem(operation, f"{operation.method} {operation.path} is declared twice", "keep one of the two")
        item[method] = _operation(operation)
        lines["paths", operation.path, method] = lines["paths", operation.path] = operation.line
    value = {"openapi": "3.1.0", "paths": paths}
    try:
        raw = dumps(value)
    except JsonError as error:
        raise Problem(
            "contract_schema", str(error), file=tool.file, line=tool.line, key=f"tool.{tool.name}", remedy="quote dates and times"
        ) from error
    return Document(tool.file, raw, value, lines)


def _operation(operation: InlineOperation) -> dict[str, Json]:
    found: dict[str, Json] = {
        "operationId": operation.name,
        "x-portreeve-effect": operation.effect,
        "x-portreeve-facts": dict(operation.facts),
        MARK: dict(operation.log),
        "parameters": [_parameter(operation, name, schema) for name, schema in operation.parameters.items()],
    }
    named = set(operation.parameters)
    for part in operation.path.split("/"):
        if part.startswith("{") and part.endswith("}") and part[1:-1] not in named:
            found["parameters"].append({"name": part[1:-1], "in": "path", "required": True, "schema": {"type": "string"}})
    if operation.body is not None:
        found["requestBody"] = {"required": True, "content": {"application/json": {"schema": operation.body}}}
    return found


def _parameter(operation: InlineOperation, name: str, schema: object) -> dict[str, Json]:
    if not isinstance(schema, Mapping):
        raise _problem(operation, f"the parameter {name[:64]} has no schema", '{ type = "string" }')
    place = schema.get("in", "path" if f"{{{name}}}" in operation.path else "query")
    required = schema.get("required", False)
    if not isinstance(required, bool):
        raise _problem(operation, f"required of {name[:64]} is true or false", "required = true")
    rest = {key: value for key, value in schema.items() if key not in {"in", "required"}}
    return {"name": name, "in": place, "required": required or place == "path", "schema": rest}


def _problem(operation: InlineOperation, message: str, remedy: str) -> Problem:
    return Problem(
        "contract_operation", message, file=operation.file, line=operation.line, key=f"operation.{operation.name}", remedy=f"write {remedy}"
    )
