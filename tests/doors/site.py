"""A gateway door on a real socket with a recording pipeline behind it, and a client that sends any bytes it likes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

from gateway.call import ClientGone, Receipt, Refused, Reply, ToolCall
from gateway.config.model import Limits
from gateway.doors.http import HttpDoor, ToolDoorOptions
from gateway.doors.server import Server, serve
from gateway.errors import Refusal

HOST = b"Host: localhost\r\n"
CLOSE = b"Connection: close\r\n"
LIMITS = Limits()
RECEIPT = Receipt("test.example/log", 7, "leaf")
Handle = Callable[[ToolCall], Awaitable[Reply | Refused]]


@dataclass
class Recorder:
    """Stands where the pipeline stands. `begun` saw a head; `whole` saw a request to its end; `gone` lost its client."""

    begun: list[ToolCall] = field(default_factory=list)
    whole: list[tuple[ToolCall, bytes]] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    counted: list[str] = field(default_factory=list)

    async def handle(self, call: ToolCall) -> Reply | Refused:
        self.begun.append(call)
        body = b""
        try:
            async for piece in call.body.chunks():
                body += piece
        except ClientGone:
            self.gone.append(call.path)
            return Refused(Refusal("internal_error"), call.id)
        except Refusal as refusal:
            self.refused.append(refusal.code)
            return Refused(refusal, call.id, RECEIPT)
        self.whole.append((call, body))
        return Reply(200, (("content-type", "text/plain"),), call.path.encode(), RECEIPT)

    async def refuse(self, refusal: Refusal, _peer: str) -> Refused:
        self.refused.append(refusal.code)
        return Refused(refusal, "")

    def count(self, code: str, _reason: str, _peer: str) -> None:
        self.counted.append(code)

    @property
    def paths(self) -> list[str]:
        return [call.path for call, _ in self.whole]


TOOLS = {"echo": ToolDoorOptions(), "ids": ToolDoorOptions(encoded_slash=True, semicolon=True), "keyed": ToolDoorOptions(token_header="X-Api-Key")}


@asynccontextmanager
async def open_site(recorder: Recorder, *, handle: Handle | None = None, **limits: float) -> AsyncIterator[Server]:
    changed = replace(LIMITS, **limits)
    door = HttpDoor(handle or recorder.handle, recorder.refuse, TOOLS.get, frozenset({"localhost", "127.0.0.1", "door.example:8443"}), changed)
    server = await serve(door, ("127.0.0.1", 0), changed, on_refusal=recorder.count)
    try:
        yield server
    finally:
        await server.stop(0)


@asynccontextmanager
async def connect(server: Server) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()
        await asyncio.sleep(0)


async def talk(server: Server, pieces: bytes | Iterable[bytes]) -> bytes:
    """Send the pieces and read until the server ends the connection."""
    async with connect(server) as (reader, writer), asyncio.timeout(10):
        for piece in [pieces] if isinstance(pieces, bytes) else pieces:
            writer.write(piece)
            try:
                await writer.drain()
            except ConnectionError:
                break
        return await read_all(reader)


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read to the end, be it clean or cut."""
    found = b""
    while True:
        try:
            piece = await reader.read(65_536)
        except ConnectionError:
            return found
        if not piece:
            return found
        found += piece


async def read_head(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(10):
        return await reader.readuntil(b"\r\n\r\n")


def statuses(answer: bytes) -> list[int]:
    """The status codes of the responses in a byte stream; bodies of these tests hold no status line."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]


def get(path: str = "/a", *fields: bytes) -> bytes:
    return b"GET /tools/echo%b HTTP/1.1\r\n" % path.encode() + HOST + b"".join(fields) + b"\r\n"


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /tools/echo/a HTTP/1.1\r\n" + HOST + b"".join(fields) + b"\r\n" + body
