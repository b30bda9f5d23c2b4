"""The seam between a call and whatever carries it: one request out, one answer in, and the ways in which that fails."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from gateway.call import Body

FailureKind = Literal["unreachable", "timeout", "broken", "invalid", "overloaded"]


class Failed(Exception):  # noqa: N818 - a value with a traceback: what became of one attempt
    """One attempt at an upstream came to nothing.

    unreachable: no connection, so nothing was sent. overloaded: no connection is free, so nothing was sent. timeout: no answer in time.
    broken: the connection ended before a complete answer. invalid: what came is not unambiguous HTTP.
    `sent` is False only when not one byte of the request left. `stale` marks a kept connection that ended before any byte of an answer.
    `reason` is for the log; it never holds anything of the request.
    """

    def __init__(self, kind: FailureKind, reason: str, *, sent: bool, stale: bool = False) -> None:
        super().__init__(kind)
        self.kind: FailureKind = kind
        self.reason = reason
        self.sent = sent
        self.stale = stale


class Outgoing:
    """A request as it goes out. `head` is the request line and fields with the blank line, framing included.

    `body` is all of it, or a stream that is read once. `repeatable` says that sending it twice does no more than sending it once.
    A transport MUST set `sent` before it hands the first byte to the network, `body_started` before it iterates the
    stream, and `body_sent` after its last byte.
    """

    __slots__ = ("body", "body_sent", "body_started", "expects_body", "head", "length", "repeatable", "sent")

    def __init__(self, head: bytes, body: bytes | Body | None, *, expects_body: bool, repeatable: bool) -> None:
        self.head = head
        self.body = body
        self.length = None if body is None or isinstance(body, bytes) else body.length
        self.expects_body = expects_body
        self.repeatable = repeatable
        self.sent = False
        self.body_started = False
        self.body_sent = body is None or isinstance(body, bytes)

    @property
    def expects_stream(self) -> bool:
        """Whether a body is still to be read, which can be done once only."""
        return self.body is not None and not isinstance(self.body, bytes)


class Incoming:
    """An answer as it came: final status (200-599), fields with names in lower case, body raw (never decoded).

    `body` is all of it when it was short and complete, else a stream that MUST be closed; while it runs it raises Failed.
    """

    __slots__ = ("body", "headers", "status")

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes | AsyncGenerator[bytes, None]) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class Transport(Protocol):
    """Carries requests to one origin.

    `send` MUST raise Failed, and nothing else of its own making; it MUST free what it holds when it is cancelled at any await; it MUST NOT
    follow a redirect, keep a cookie, use a proxy of the environment, decode a body, repeat a request, or use a connection again on which
    anything but complete, unambiguous answers came. The stream it returns MUST free the connection when it is closed, started or not.
    `drain` closes what is idle; what is under way, or comes later, is served all the same.
    """

    async def send(self, outgoing: Outgoing) -> Incoming: ...

    def drain(self) -> None: ...

    async def aclose(self) -> None: ...
