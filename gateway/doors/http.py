"""The door for tool calls over HTTP: `/tools/NAME/PATH` with any method becomes a ToolCall, and a Reply becomes the response.

A pure ASGI application, to be served by gateway.doors.server: it relies on heads being well-formed there and on being cancelled when the
client leaves.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.call import Headers, Refused, Reply, ToolCall
from gateway.config.model import Limits, Listener
from gateway.doors.body import RequestBody
from gateway.doors.callids import CallIds
from gateway.doors.path import canonical
from gateway.doors.presented import proof_of, token_of
from gateway.doors.problem import problem
from gateway.errors import Refusal
from gateway.proof import Scheme
from gateway.secret import Secret

PREFIX = b"/tools/"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")
_METHODS_REFUSED = frozenset(("CONNECT", "TRACE"))
_HOP_BY_HOP = frozenset(
    (
        "connection",
        "content-length",
        "expect",
        "http2-settings",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)
"""Fields that concern this connection only (RFC 9110, 7.6.1), framing, and what speaks of a change of protocol (h2c smuggling)."""
_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
_BODILESS = frozenset((204, 304))


@dataclass(frozen=True, slots=True)
class ToolDoorOptions:
    """What the door must know of a tool: the opt-ins for its paths, and the further header that may carry the agent's token."""

    encoded_slash: bool = False
    semicolon: bool = False
    token_header: str | None = None


_STRANGER = ToolDoorOptions()


def allowed_hosts(listener: Listener) -> frozenset[str]:
    """The Host values a listener serves, lower case: those configured, its own address, and the loopback names."""
    address = f"[{listener.host}]" if ":" in listener.host else listener.host
    return frozenset(host.lower() for host in (*listener.hosts, address, *_LOOPBACK))


class HttpDoor:
    """Hands tool calls to `handle`, what it cannot make a call of to `refuse`, and other paths to `otherwise`.

    `tool_options` gives None for a tool it does not know; such a call goes to `handle` all the same, so that only those who are identified
    learn which tools there are. `hosts` are names with or without port (`allowed_hosts`).
    """

    def __init__(
        self,
        handle: Callable[[ToolCall], Awaitable[Reply | Refused]],
        refuse: Callable[[Refusal, str], Awaitable[Refused]],
        tool_options: Callable[[str], ToolDoorOptions | None],
        hosts: frozenset[str],
        limits: Limits,
        *,
        otherwise: ASGIApp | None = None,
        base_url: str | None = None,
    ) -> None:
        self._handle = handle
        self._refuse = refuse
        self._tool_options = tool_options
        self._hosts = hosts
        self._limits = limits
        self._otherwise = otherwise
        self._base_url = base_url
        self._ids = CallIds()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            call = self._call(scope, receive)
        except Refusal as refusal:
            client = scope.get("client")
            answer: Reply | Refused = await self._refuse(refusal, client[0] if client else "")
        else:
            if call is None:
                assert self._otherwise is not None
                await self._otherwise(scope, receive, send)
                return
            answer = await self._handle(call)
        if isinstance(answer, Refused):
            await self._send_refused(answer, scope, send)
        elif isinstance(answer.body, bytes):
            await _send_whole(answer, "" if call is None else call.id, scope["method"], answer.body, send)
        else:
            await _send_stream(answer, "" if call is None else call.id, scope["method"], answer.body, send)

    def _call(self, scope: Scope, receive: Receive) -> ToolCall | None:
        """Parse a request into a call; None when it is not for a tool. Raises Refusal for what is not one clean call."""
        fields: list[tuple[bytes, bytes]] = scope["headers"]
        headers = [(name.decode("ascii"), value.decode("ascii")) for name, value in fields]
        lookup = dict(headers)
        if not self._serves(lookup.get("host", "")):
            raise Refusal("misdirected_request", reason="Host is not in the allow-list")
        raw: bytes = scope["raw_path"]
        if not raw.startswith(PREFIX):
            if self._otherwise is None:
                raise Refusal("not_found")
            return None
        if scope["method"] in _METHODS_REFUSED:
            raise Refusal("malformed_request", f"{scope['method']} is not served")
        first, slash, rest = raw[len(PREFIX) :].partition(b"/")
        tool = first.decode("ascii")
        if _NAME.fullmatch(tool) is None:
            raise Refusal("unknown_tool", reason="the first segment is not the name of a tool")
        options = self._tool_options(tool) or _STRANGER
        client = scope["client"]
        token_header = options.token_header.lower() if options.token_header else None
        token, scheme = _token(headers, lookup, token_header)
        return ToolCall(
            id=self._ids.next(),
            door="http",
            tool=tool,
            method=scope["method"],
            path=canonical(slash + rest or b"/", encoded_slash=options.encoded_slash, semicolon=options.semicolon),
            query=scope["query_string"].decode("ascii"),  # gateway.doors.head lets nothing in that a query cannot have
            headers=_end_to_end(headers, lookup, token_header),
            token=token,
            scheme=scheme,
            proof=proof_of(lookup.get("dpop"), scope["method"], f"{self._base_url}{raw.decode('ascii')}"),
            body=RequestBody(receive, None if "transfer-encoding" in lookup else int(lookup.get("content-length", "0")), self._limits),
            peer=client[0] if client else "",
        )

    def _serves(self, host: str) -> bool:
        host = host.lower()
        return host in self._hosts or host.rpartition(":")[0] in self._hosts

    async def _send_refused(self, refused: Refused, scope: Scope, send: Send) -> None:
        status, fields, body = problem(refused, base_url=self._base_url, rpc=_reads_rpc(scope))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})


def _reads_rpc(scope: Scope) -> bool:
    """Whether it is a client of MCP: its requests MUST accept these two (Streamable HTTP), and what is not JSON-RPC it shows to nobody."""
    accepted = b",".join(value for name, value in scope["headers"] if name == b"accept").lower()
    return scope["method"] == "POST" and b"application/json" in accepted and b"text/event-stream" in accepted


def _end_to_end(headers: list[tuple[str, str]], lookup: dict[str, str], token_header: str | None) -> Headers:
    """The fields meant for the tool: without hop-by-hop fields, those that Connection names, and those that carry the agent's token."""
    drop = _HOP_BY_HOP
    if "connection" in lookup:
        drop = drop.union(part.strip(" \t").lower() for name, value in headers if name == "connection" for part in value.split(","))
    return tuple(field for field in headers if field[0] not in drop and field[0] not in {"authorization", "dpop", token_header})


def _token(headers: list[tuple[str, str]], lookup: dict[str, str], token_header: str | None) -> tuple[Secret | None, Scheme]:
    """The one token that was presented. Raises Refusal ambiguous_token when there are two: nobody can say which of them acts."""
    authorized, scheme = token_of(lookup.get("authorization", ""))  # it came once: gateway.doors.head
    found = {authorized}
    if token_header is not None and token_header in lookup:
        for name, value in headers:
            if name == token_header:
                found.add(token_of(value)[0] or value)
    found.discard("")
    if len(found) > 1:
        raise Refusal("ambiguous_token")
    return (Secret(found.pop()) if found else None), scheme


def _fields(reply: Reply, call_id: str) -> list[tuple[bytes, bytes]]:
    fields = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in reply.headers]
    fields.append((b"portreeve-decision", str(reply.receipt).encode("ascii")))
    fields.append((b"portreeve-call", call_id.encode("ascii")))
    return fields


async def _send_whole(reply: Reply, call_id: str, method: str, body: bytes, send: Send) -> None:
    fields = _fields(reply, call_id)
    if reply.status in _BODILESS:
        fields, body = [field for field in fields if field[0] != b"content-length"], b""
    elif method != "HEAD":  # the answer to HEAD says how long the body would be
        fields = [field for field in fields if field[0] != b"content-length"]
        fields.append((b"content-length", str(len(body)).encode("ascii")))
    await send({"type": "http.response.start", "status": reply.status, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _send_stream(reply: Reply, call_id: str, method: str, body: AsyncGenerator[bytes, None], send: Send) -> None:
    """Send chunk by chunk as fast as the client takes them. A stream that breaks ends here without an end, and the server cuts the connection."""
    try:
        await send({"type": "http.response.start", "status": reply.status, "headers": _fields(reply, call_id)})
        if method != "HEAD" and reply.status not in _BODILESS:
            try:
                async for chunk in body:
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
            except Refusal:
                return  # the stream has recorded it
        await send({"type": "http.response.body", "body": b""})
    finally:
        await _closed(body)


async def _closed(body: AsyncGenerator[bytes, None]) -> None:
    """Close the stream to the end, cancelled or not: closing it is what writes the result record."""
    closing = asyncio.ensure_future(body.aclose())
    cancelled: asyncio.CancelledError | None = None
    while not closing.done():
        try:
            await asyncio.shield(closing)
        except asyncio.CancelledError as error:
            if closing.cancelled():
                break
            cancelled = error
    if cancelled is not None:
        raise cancelled
