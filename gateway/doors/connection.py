"""One client connection: cuts its bytes into requests, keeps its deadlines, and answers what it refuses.

A connection is in one of four states; `_advance` moves it on, `_late` ends it when it takes too long.

    HEAD     waits for a whole request head            idle and header deadline
    BODY     an exchange runs, its body is arriving    the application's deadline (gateway.doors.body)
    BUSY     an exchange runs, its body is all here    the application's deadline
    CLOSING  the last answer was written               what still arrives is thrown away, so that the answer is not lost in a reset
"""

from __future__ import annotations

import asyncio
import math
from http import HTTPStatus
from typing import Literal, Protocol

from gateway.call import Refused
from gateway.config.model import Limits
from gateway.doors.chunked import Chunked
from gateway.doors.exchange import Exchange
from gateway.doors.flow import FlowControl
from gateway.doors.head import Head, check_beginning, parse
from gateway.doors.problem import problem
from gateway.errors import Refusal

BODY_BUFFER_BYTES_MAX = 65_536
AHEAD_BYTES_MAX = 65_536
"""How much of the requests that follow may wait while one is being answered; then the socket is not read."""
LINGER_S = 2.0


class House(Protocol):
    """What the connections of one server share."""

    limits: Limits
    loop: asyncio.AbstractEventLoop
    stopping: bool

    def arrived(self, connection: Connection) -> bool:
        """Count the connection in; False when there are too many."""

    def left(self, connection: Connection) -> None: ...

    def start(self, connection: Connection, exchange: Exchange) -> None:
        """Run the application on the exchange."""

    def standard_fields(self) -> list[tuple[bytes, bytes]]: ...

    def refused(self, refusal: Refusal, peer: str) -> None: ...


class Connection(asyncio.Protocol):
    """The server side of one HTTP/1.1 connection."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._state: Literal["head", "body", "busy", "closing"] = "head"
        self._buffer = b""
        self._begun = False
        self._left = 0
        self._chunked: Chunked | None = None
        self._exchange: Exchange | None = None
        self._deadline = math.inf
        self._timer: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._server: tuple[str, int | None] | None = None
        self._client: tuple[str, int] | None = None

    # asyncio's side

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._flow = FlowControl(transport)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        self._client = (str(peer[0]), int(peer[1])) if isinstance(peer, tuple) else None
        self._server = (str(here[0]), int(here[1])) if isinstance(here, tuple) else None
        if not self._house.arrived(self):
            self._refuse(Refusal("overloaded", reason="too many connections", retry_after_s=1))
            return
        self._wait(self._house.limits.header_timeout_s)

    def data_received(self, data: bytes) -> None:
        if self._state == "closing":
            return
        self._buffer = self._buffer + data if self._buffer else data
        try:
            self._advance()
        except Refusal as refusal:
            self._refuse(refusal)

    def pause_writing(self) -> None:
        self._flow.pause_writing()
        self._stalled = self._house.loop.call_later(self._house.limits.write_timeout_s, self._transport.abort)

    def resume_writing(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        self._flow.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self._state = "closing"
        self._buffer = b""
        for timer in (self._timer, self._stalled):
            if timer is not None:
                timer.cancel()
        self._timer = self._stalled = None
        if self._exchange is not None:
            self._exchange.leave()
        self._house.left(self)

    # the exchange's side

    def write(self, data: bytes) -> None:
        self._transport.write(data)

    def close(self) -> None:
        """Close when all that was written has gone out; by force when the client does not take it."""
        if self._state == "closing":
            return
        if self._state == "body":
            self._linger()
            return
        self._state = "closing"
        self._wait(self._house.limits.write_timeout_s)
        self._transport.close()

    def is_closing(self) -> bool:
        return self._state == "closing" or self._transport.is_closing()

    # the server's side

    @property
    def peer(self) -> str:
        return self._client[0] if self._client else ""

    def finish(self) -> None:
        """The server stops: close now when idle, else after the answer under way."""
        if self._exchange is None:
            if self._state != "closing":
                self.close()
        else:
            self._exchange.keep_alive = False

    def abort(self) -> None:
        """Cut the connection; whoever is answering it is told that the client left."""
        self._transport.abort()

    def fail(self, exchange: Exchange) -> None:
        """The application ended without a whole answer: say so, or cut the connection so that half an answer is not taken for a whole one."""
        if exchange.response_started:
            self._transport.abort()
        else:
            self._exchange = None
            self._refuse(Refusal("internal_error", reason="the application gave no answer"))

    # moving on

    def _advance(self) -> None:
        """Take as many steps as the bytes that are here allow."""
        if self._state == "head":
            head = self._read_head()
            if head is None:
                return
            exchange = self._open(head)
            self._read_body(exchange)  # a broken body that is here already is refused before anybody saw its request
            self._exchange = exchange
            self._house.start(self, exchange)
        elif self._state == "body" and self._exchange is not None:
            self._read_body(self._exchange)
        if self._state == "busy" and len(self._buffer) > AHEAD_BYTES_MAX:
            self._flow.pause_reading()

    def _read_head(self) -> Head | None:
        limits = self._house.limits
        end = self._buffer.find(b"\r\n\r\n", 0, limits.request_line_bytes_max + limits.header_bytes_max + 8)
        if end < 0:
            check_beginning(self._buffer, limits)
            if not self._begun and self._buffer:
                self._begun = True
                self._wait(limits.header_timeout_s)
            return None
        raw, self._buffer = self._buffer[: end + 4], self._buffer[end + 4 :]
        return parse(raw, limits)

    def _open(self, head: Head) -> Exchange:
        self._deadline = math.inf
        path = head.path.decode("ascii")
        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "server": self._server,
            "client": self._client,
            "scheme": "http",
            "method": head.method,
            "root_path": "",
            "path": path,  # not decoded, whatever ASGI says: what stands in front of us and rules by path must not be led past by `%2f`
            "raw_path": head.path,
            "query_string": head.query,
            "headers": head.fields,
        }
        self._state = "body"
        self._chunked = Chunked() if head.length is None else None
        self._left = head.length or 0
        return Exchange(
            scope,
            self,
            self._flow,
            headers=self._house.standard_fields(),
            expects_continue=head.expects_continue,
            keep_alive=head.keep_alive and not self._house.stopping,
            on_response=self._answered,
        )

    def _read_body(self, exchange: Exchange) -> None:
        if self._chunked is not None:
            piece, self._buffer = self._chunked.feed(self._buffer)
            done = self._chunked.done
        else:
            piece, self._buffer = self._buffer[: self._left], self._buffer[self._left :]
            self._left -= len(piece)
            done = not self._left
        if piece:
            exchange.body += piece
            if len(exchange.body) > BODY_BUFFER_BYTES_MAX:
                self._flow.pause_reading()
        if done:
            self._state = "busy"
            exchange.more_body = False
        if piece or done:
            exchange.wake()

    def _answered(self) -> None:
        """The response is complete: go on with the next request."""
        self._exchange = None
        if self.is_closing():
            return
        if self._house.stopping:
            self.close()
            return
        self._state, self._begun = "head", False
        self._wait(self._house.limits.idle_timeout_s)
        self._flow.resume_reading()
        if self._buffer:
            self.data_received(b"")

    # ending

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with a refusal and close: after broken framing nobody knows where the next request would begin."""
        self._house.refused(refusal, self.peer)
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.leave()
            if exchange.response_started:
                self._transport.abort()
        if self._transport.is_closing():
            return
        status, fields, body = problem(Refused(refusal, ""))
        fields = [*self._house.standard_fields(), *fields, (b"connection", b"close")]
        head = b"".join(b"%b: %b\r\n" % field for field in fields)
        self._transport.write(b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, HTTPStatus(status).phrase.encode("ascii"), head, body))
        self._linger()

    def _linger(self) -> None:
        """Send the end of the stream but go on reading for a moment (RFC 9112, 9.6): a reset would destroy the answer on its way."""
        self._state, self._buffer = "closing", b""
        self._wait(LINGER_S)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._flow.resume_reading()

    def _wait(self, seconds: float) -> None:
        """Set the deadline. The timer is only moved when it would be late, so that a busy connection does not make one per request."""
        now = self._house.loop.time()
        self._deadline = now + seconds
        if self._timer is not None:
            if self._timer.when() <= self._deadline:
                return
            self._timer.cancel()
        self._timer = self._house.loop.call_at(self._deadline, self._late)

    def _late(self) -> None:
        self._timer = None
        left = self._deadline - self._house.loop.time()
        if left > 0.001:
            if left != math.inf:
                self._wait(left)
        elif self._state == "head" and self._buffer:
            self._refuse(Refusal("request_timeout", reason="the head did not arrive in time"))
        elif self._state == "head":
            self.close()
        elif self._state == "closing":
            self._transport.abort()
