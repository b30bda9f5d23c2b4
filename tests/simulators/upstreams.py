"""Upstreams that behave, and upstreams that do not: raw servers on a free port of loopback, one behaviour each.

    async with upstream(echo) as up:
        ...  # up.url, up.port, up.seen (requests as they came), up.connections, up.open

A behaviour is called for each request of a connection with what was asked and a writer; it answers in raw bytes and may close.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"


@dataclass
class Seen:
    """One request as it stood on the wire. Header names in lower case."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    number: int

    def header(self, name: str) -> str | None:
        return next((value for n, value in self.headers if n == name), None)


Behaviour = Callable[[Seen, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Upstream:
    port: int = 0
    scheme: str = "http"
    host: str = "127.0.0.1"
    seen: list[Seen] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    @property
    def url(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


@contextlib.asynccontextmanager
async def upstream(behaviour: Behaviour, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> AsyncIterator[Upstream]:
    """Serve until the block ends."""
    up = Upstream(scheme="https" if tls else "http", host=host)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        tasks.add(task)
        up.connections += 1
        up.open += 1
        try:
            while (seen := await _read_request(reader, len(up.seen) + 1)) is not None:
                up.seen.append(seen)
                await behaviour(seen, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            writer.transport.abort()
        finally:
            up.open -= 1
            writer.close()
            try:
                await writer.wait_closed()
            except (OSError, asyncio.CancelledError):
                writer.transport.abort()
            tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls, limit=1 << 20)
    up.port = server.sockets[0].getsockname()[1]
    try:
        yield up
    finally:
        server.close()
        for _ in range(8):  # a connection accepted in this instant takes some rounds of the loop until its task begins
            await asyncio.sleep(0)
            for task in list(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader, number: int) -> Seen | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head[:-4].decode("latin-1").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    fields = dict(headers)
    body = b""
    if "chunked" in fields.get("transfer-encoding", ""):
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
    elif "content-length" in fields:
        body = await reader.readexactly(int(fields["content-length"]))
    return Seen(method, target, headers, body, number)


def answer(status: int = 200, body: bytes = b'{"ok":true}', *fields: str, framing: bool = True) -> bytes:
    """The bytes of a well-formed answer."""
    lines = [f"HTTP/1.1 {status} Status", *fields]
    if not any(f.lower().startswith("content-type:") for f in fields):
        lines.append("Content-Type: application/json")
    if framing and status != 204:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


def raw(data: bytes, *, close: bool = False) -> Behaviour:
    """Answers every request with exactly these bytes."""

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        if close:
            writer.close()

    return behave


ok = raw(answer())
garbage = raw(b"\x16\x03\x01 this is not HTTP at all\r\n\r\n")
content_length_and_chunked = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
two_content_lengths = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd")
same_content_length_twice = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc")
bad_content_length = raw(b"HTTP/1.1 200 OK\r\nContent-Length: +3\r\n\r\nabc")
folded_header = raw(b"HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\nContent-Length: 0\r\n\r\n")
bare_line_feed = raw(b"HTTP/1.1 200 OK\r\nX-A: b\nContent-Length: 0\r\n\r\n")
short_body = raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", close=True)
short_chunks = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", close=True)
poisoned = raw(answer() + POISON)
status_999 = raw(b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n")
many_headers = raw(b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(5000)) + b"Content-Length: 0\r\n\r\n")
many_interim = raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 200 + answer())
some_interim = raw(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" * 3 + answer())
switching = raw(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n")
until_eof = raw(answer(200, b"all of it", framing=False), close=True)
chunked = raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6\r\n world\r\n0\r\nX-Trailer: t\r\nAuthorization: t\r\n\r\n")


async def echo(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Tells what it was asked, as JSON."""
    told = {"method": seen.method, "target": seen.target, "headers": seen.headers, "body": seen.body.decode("latin-1")}
    writer.write(answer(200, json.dumps(told).encode()))


async def stalls(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Never answers."""
    await asyncio.Event().wait()


async def stalls_in_body(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Answers the head and a little of the body, then never goes on."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await asyncio.Event().wait()


async def resets(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Breaks the connection instead of an answer."""
    writer.transport.abort()


async def resets_in_body(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
    await writer.drain()
    await asyncio.sleep(0.01)
    writer.transport.abort()


async def endless(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """A body without end, as fast as it is read."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
        await writer.drain()


async def slow_drip(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """One byte at a time, for ever."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        writer.write(b"1\r\nx\r\n")
        await writer.drain()
        await asyncio.sleep(0.005)


async def early_answer(seen: Seen, writer: asyncio.StreamWriter) -> None:
    writer.write(answer(413, b"too large"))
    writer.close()


def flaky(times: int, status: int = 503, *fields: str) -> Behaviour:
    """Fails the first `times` requests, then behaves. Status 0 breaks the connection instead."""
    left = times

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        if left > 0:
            left -= 1
            if status:
                writer.write(answer(status, b"down", *fields))
            else:
                writer.transport.abort()
        else:
            await echo(seen, writer)

    return behave


def closes_on_reuse() -> Behaviour:
    """Answers the first request of a connection and drops the next one unread, as a server does whose keep-alive time just ended."""
    used: set[asyncio.StreamWriter] = set()

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if writer in used:
            writer.transport.abort()
        else:
            used.add(writer)
            await echo(seen, writer)

    return behave


def redirect(location: str, status: int = 302) -> Behaviour:
    return raw(answer(status, b"", f"Location: {location}"))


def gzip_bomb(expanded: int = 64 * 1024 * 1024) -> Behaviour:
    """A small body that would be `expanded` bytes large."""
    data = gzip.compress(b"\0" * expanded, 9)
    return raw(answer(200, data, "Content-Encoding: gzip"))


def large_body(size: int) -> Behaviour:
    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\n".encode())
        left = size
        while left:
            part = min(left, 65536)
            writer.write(b"z" * part)
            await writer.drain()
            left -= part

    return behave


def pieces(*parts: bytes, head: bytes = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n") -> Behaviour:
    """A chunked body whose parts come as segments of their own."""

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for part in parts:
            await writer.drain()
            await asyncio.sleep(0.002)
            writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        writer.write(b"0\r\n\r\n")

    return behave


def late_poison(wait: asyncio.Event) -> Behaviour:
    """A good answer; once `wait` is set, a second one that nobody asked for, on the idle connection."""

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        await echo(seen, writer)
        await writer.drain()
        if seen.number == 1:
            await wait.wait()
            writer.write(POISON)

    return behave
