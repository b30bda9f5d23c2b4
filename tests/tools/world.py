"""What the tests of the catalogue share: a deployment with one contract, and calls whose bodies come from memory."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import yaml

from gateway.call import Invocation, ToolCall
from gateway.config.model import InlineOperation, Limits, Listener, LogSettings, Settings, ToolSettings
from gateway.tools.catalogue import Catalogue
from gateway.tools.tool import Tool

ROOT = Path(__file__).resolve().parents[2]
TICKETS = ROOT / "tools" / "tickets.openapi.yaml"
JSON = (("content-type", "application/json"),)
FORM = (("content-type", "application/x-www-form-urlencoded"),)


class SentBody:
    """A request body in memory. `length` None stands for chunked; `read` says whether anybody has looked at it."""

    def __init__(self, data: bytes = b"", *, chunked: bool = False, piece: int = 7) -> None:
        self.data = data
        self.length = None if chunked else len(data)
        self.piece = piece
        self.read = False

    async def chunks(self) -> AsyncIterator[bytes]:
        assert not self.read, "a body is read at most once"
        self.read = True
        for start in range(0, len(self.data), self.piece):
            yield self.data[start : start + self.piece]


def deployment(*tools: ToolSettings, folder: Path = ROOT) -> Settings:
    socket = Listener("127.0.0.1", 0)
    log = LogSettings(folder / "log", "gateway.test")
    named = {tool.name: tool for tool in tools}
    return Settings(folder, "test", "https://gateway.test", socket, socket, log, Limits(), folder, folder, folder, named, {})


def tool_of(contract: Path | str | Mapping[str, object] | None = None, **settings) -> Tool:
    """Load one tool named `api` whose contract is a file, a YAML text, or the members of an OpenAPI document."""
    with tempfile.TemporaryDirectory() as folder:
        if isinstance(contract, str | Mapping):
            path = Path(folder) / "api.openapi.yaml"
            text = contract if isinstance(contract, str) else yaml.safe_dump({"openapi": "3.1.0", **contract}, sort_keys=False)
            path.write_text(text)
            contract = path
        tool = Catalogue.load(deployment(ToolSettings("api", "http://api.test", contract=contract, **settings))).tool("api")
        assert tool is not None
        return tool


def tickets() -> Tool:
    return tool_of(TICKETS)


def inline(*operations: InlineOperation) -> Tool:
    return tool_of(None, operations=operations)


def operation_taking(schema: object, *, media: str = "application/json", version: str = "3.1.0", **members) -> Tool:
    """A tool with `POST /x` whose body has this schema."""
    body = {"required": True, "content": {media: {"schema": schema}}}
    return tool_of({"openapi": version, "paths": {"/x": {"post": {"operationId": "x", "requestBody": body, **members}}}})


def query_taking(schema: object, **members) -> Tool:
    """A tool with `GET /x?a=` whose parameter has this schema."""
    return tool_of({"paths": {"/x": {"get": {"operationId": "x", "parameters": [{"name": "a", "in": "query", "schema": schema, **members}]}}}})


def call(method: str, path: str, query: str = "", *, body: bytes | SentBody = b"", headers: tuple[tuple[str, str], ...] = JSON) -> ToolCall:
    sent = body if isinstance(body, SentBody) else SentBody(body)
    return ToolCall("c1", "http", "api", method, path, query, headers, None, sent, "127.0.0.1:1")


def bind(tool: Tool, request: ToolCall, *, body_bytes_max: int = 65_536) -> Invocation:
    return asyncio.run(tool.bind(request, body_bytes_max=body_bytes_max))
