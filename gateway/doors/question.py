"""Reads a question of the decision API: strictly, and into the same invocation that the call itself would become."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from gateway.call import Identity, Invocation, Operation, ToolCall
from gateway.canonical import Json
from gateway.doors.path import canonical
from gateway.errors import Refusal
from gateway.tools.catalogue import Catalogue
from gateway.tools.tool import Tool

_METHOD = re.compile(r"[A-Z]{1,32}")
MEMBERS = frozenset(("subject", "action", "resource", "context"))
_CONTEXT: dict[str, type] = {"input": dict, "user": str, "method": str, "path": str}


@dataclass(frozen=True, slots=True)
class Question:
    """Who would do what. `unknown` says what there is none of; then there is no invocation, and the answer is no."""

    agent: str
    identity: Identity
    invocation: Invocation | None
    unknown: str = ""


class _NoBody:
    """A question brings no bytes: its arguments are in its context."""

    length = 0

    def chunks(self) -> AsyncIterator[bytes]:
        raise AssertionError("a question has no body")


def read_question(body: Json, catalogue: Catalogue, issuer: str) -> Question:
    """Read subject, action, resource and context. Raises Refusal malformed_question, contract_violation or path_refused.

    `properties` of subject, action and resource are accepted and not looked at: attributes come from the deployment, not from who asks.
    """
    if not isinstance(body, dict):
        raise malformed("a question is a JSON object")
    for name in body:
        if name not in MEMBERS:
            raise malformed("is not known", f"/{name}")
    agent = _entity(body, "subject", "agent")
    tool_name = _entity(body, "resource", "tool")
    action = _texts(body, "action", ("name",))[0]
    owner, slash, operation_name = action.partition("/")
    if not slash or owner != tool_name:
        raise malformed("is TOOL/OPERATION, of the tool that the resource names", "/action/name")
    context = _context(body.get("context", {}))
    identity = Identity(
        agent=agent,
        issuer=issuer,
        subject=f"agent:{agent}",
        token_id="",
        key_id="",
        audience="",
        expires_at=0,
        user=context.get("user"),
    )
    tool = catalogue.tool(tool_name)
    if tool is None:
        return Question(agent, identity, None, f"there is no tool {tool_name}")
    operation = next((found for found in tool.operations() if found.name == operation_name), None)
    if operation is None:
        return Question(agent, identity, None, f"there is no operation {action}")
    return Question(agent, identity, _invocation(tool, operation, context))


def _invocation(tool: Tool, operation: Operation, context: Mapping[str, Json]) -> Invocation:
    """The invocation of a call with these arguments, which are held to the contract as those of a call are."""
    arguments: dict[str, Json] = context.get("input", {})
    plan = tool.plans.get(operation.name)
    method = context.get("method", operation.method)
    path = context.get("path", "/")
    if plan is None:
        if arguments:
            raise Refusal("contract_violation", "this operation has no declared arguments", pointer="/context/input")
        if "method" in context and _METHOD.fullmatch(method) is None:
            raise malformed("is not a method", "/context/method")
    else:
        for name in ("method", "path"):
            if name in context:
                raise malformed("is given by the contract", f"/context/{name}")
        try:
            plan.check.hold(arguments)
        except Refusal as refusal:
            raise Refusal(refusal.code, refusal.detail, reason=refusal.reason, pointer=f"/context/input{refusal.pointer}") from refusal
        values = iter(quote(_text(arguments[parameter.argument]), safe="") for parameter in plan.path)
        path = "/" + "/".join(next(values) if segment is None else segment for segment in plan.segments)
    settings = tool.settings
    if not path.isascii():
        raise Refusal("path_refused", "The path is not ASCII", pointer="/context/path")
    path = canonical(path.encode("ascii"), encoded_slash=settings.path_encoded_slash, semicolon=settings.path_semicolon)
    call = ToolCall(id="", door="http", tool=tool.name, method=method, path=path, query="", headers=(), token=None, body=_NoBody(), peer="")
    return Invocation(call, operation, arguments, "", None)


def _text(value: Json) -> str:
    """A path argument as it stands in a path."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _context(found: Json) -> Mapping[str, Json]:
    if not isinstance(found, dict):
        raise malformed("is an object", "/context")
    for name, value in found.items():
        if name not in _CONTEXT:
            raise malformed(f"is not known; there is {', '.join(_CONTEXT)}", f"/context/{name}")
        if type(value) is not _CONTEXT[name]:
            raise malformed("has the wrong type", f"/context/{name}")
    return found


def _entity(body: Mapping[str, Json], member: str, kind: str) -> str:
    found, name = _texts(body, member, ("type", "id"))
    if found != kind:
        raise malformed(f"is {kind!r} here", f"/{member}/type")
    return name


def _texts(body: Mapping[str, Json], member: str, names: tuple[str, ...]) -> list[str]:
    """The named texts of one member of the question, which may have `properties` besides and nothing else."""
    found = body.get(member)
    if not isinstance(found, dict):
        raise malformed("is missing or no object", f"/{member}")
    for name, value in found.items():
        if name not in names and not (name == "properties" and isinstance(value, dict)):
            raise malformed("is not known", f"/{member}/{name}")
    for name in names:
        if not isinstance(found.get(name), str) or not found[name]:
            raise malformed("is missing or no text", f"/{member}/{name}")
    return [found[name] for name in names]


def malformed(message: str, pointer: str = "") -> Refusal:
    """A question that is none; `pointer` is the member that is wrong."""
    return Refusal("malformed_question", message, pointer=pointer[:200])
