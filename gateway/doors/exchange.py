"""One request and its response as an ASGI application sees them (ASGI 3.0, HTTP spec version 2.4).

What is ours about it: a client that leaves is told or cancelled at once, an answer given before the whole request was read ends the connection,
and a head leaves together with a small body.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Protocol

from gateway.doors.flow import FlowControl

_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_STATUS_LINES = {code: f"HTTP/1.1 {code} {_PHRASES.get(code, '')}\r\n".encode("ascii") for code in range(100, 600)}
_FIELDS = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
_BODILESS = frozenset((204, 304))


class Wire(Protocol):
    """What an exchange may do with its connection. `close` MUST deliver what was written."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def is_closing(self) -> bool: ...


class Exchange:
    """`task` runs the application. Once the client has left, `receive` says so, `send` raises ConnectionResetError.

    The connection adds to `body`, clears `more_body` after the last piece, and calls `wake` for both.
    """

    __slots__ = (
        "_chunked",
        "_expects_continue",
        "_flow",
        "_head",
        "_left",
        "_news",
        "_on_response",
        "_receiving",
        "_standard",
        "_waiter",
        "_wire",
        "body",
        "disconnected",
        "keep_alive",
        "more_body",
        "response_complete",
        "response_started",
        "scope",
        "task",
    )

    def __init__(
        self,
        scope: dict[str, Any],
        wire: Wire,
        flow: FlowControl,
        *,
        headers: list[tuple[bytes, bytes]],
        expects_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        self.scope = scope
        self.task: asyncio.Task[None] | None = None
        self.body = bytearray()
        self.more_body = True
        self.keep_alive = keep_alive
        self.disconnected = self.response_started = self.response_complete = False
        self._wire = wire
        self._flow = flow
        self._standard = headers
        self._expects_continue = expects_continue
        self._on_response = on_response
        self._waiter: asyncio.Future[None] | None = None
        self._news = False
        self._receiving = False
        self._head = b""
        self._chunked = False
        self._left: int | None = None

    # the application's side

    async def receive(self) -> dict[str, Any]:
        """Return the next piece of the body, or http.disconnect."""
        if self._expects_continue and not self.response_started and not self._wire.is_closing():
            self._expects_continue = False
            self._wire.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if not self.disconnected and not self.response_complete:
            self._flow.resume_reading()
            if not self._news:
                await self._wait()
            self._news = False
        if self.disconnected or self.response_complete:
            return {"type": "http.disconnect"}
        piece, self.body = bytes(self.body), bytearray()
        return {"type": "http.request", "body": piece, "more_body": self.more_body}

    async def send(self, message: Any) -> None:
        """Write one ASGI message. Raises ConnectionResetError when the client has left: a stream to nobody must end.

        Raises RuntimeError for messages out of order, for a field that would end its line, and for a body of another length than declared.
        """
        if self._flow.write_paused and not self.disconnected:
            await self._flow.drain()
        if self.disconnected:
            raise ConnectionResetError("the client left")
        if self.response_complete:
            raise RuntimeError("the response is complete")
        kind = message["type"]
        if not self.response_started and kind == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        elif self.response_started and kind == "http.response.body":
            self._body(message.get("body", b""), more=message.get("more_body", False))
        else:
            raise RuntimeError(f"{kind} is out of order")

    def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        """Make the head and keep it for one turn of the loop: a small body then leaves in the same segment."""
        head_only = self.scope["method"] == "HEAD" or status in _BODILESS
        close = self.more_body or not self.keep_alive  # what is left of a request must not be read as the next one
        lines: list[bytes] = []
        for name, value in (*self._standard, *headers):
            lines.append(b"%b: %b\r\n" % (name, value))
            lowered = name.lower()
            if lowered == b"content-length":
                self._left = int(value)
            elif lowered == b"transfer-encoding":
                self._chunked = True
            elif lowered == b"connection":
                close = close or b"close" in value.lower()
                lines.pop()
        if not head_only and not self._chunked and self._left is None:
            self._chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        if close:
            lines.append(b"connection: close\r\n")
        fields = b"".join(lines)
        if _FIELDS.fullmatch(fields) is None or fields.count(b"\n") != len(lines) or (self._chunked and self._left is not None):
            raise RuntimeError("the head of the response is not well-formed")
        if head_only:
            self._left, self._chunked = None, False
        self.keep_alive = not close
        self.response_started = True
        self._head = _STATUS_LINES[status] + fields + b"\r\n"
        asyncio.get_running_loop().call_soon(self._release)

    def _body(self, data: bytes, *, more: bool) -> None:
        if self._chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
            if not more:
                data += b"0\r\n\r\n"
        elif self._left is None:
            data = b""  # the answer to HEAD, 204 or 304
        else:
            self._left -= len(data)
            if self._left < 0 or (self._left and not more):
                raise RuntimeError("the body is not as long as its Content-Length")
        if self._head:
            data, self._head = self._head + data, b""
        if data:
            self._wire.write(data)
        if not more:
            self.response_complete = True
            self._wake()
            if not self.keep_alive:
                self._wire.close()
            self._on_response()

    def _release(self) -> None:
        head, self._head = self._head, b""
        if head and not self.disconnected and not self._wire.is_closing():
            self._wire.write(head)

    # the connection's side

    def wake(self) -> None:
        """Part of the body has come, or its end."""
        self._news = True
        self._wake()

    def leave(self) -> None:
        """The client is gone. An application that waits for the client is told so; one that works for it is cancelled."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        if not self._receiving and self.task is not None:
            self.task.cancel("the client left")
        self._wake()
        self._flow.resume_writing()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    async def _wait(self) -> None:
        self._receiving = True
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._receiving = False
