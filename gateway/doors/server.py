"""Serves one ASGI application on one socket, strictly: HTTP/1.1 only, every limit kept, nothing repaired.

Neither signals nor lifespan nor proxy headers are its business; several servers run in one event loop.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from email.utils import formatdate

from starlette.types import ASGIApp

from gateway.config.model import Limits
from gateway.doors.connection import Connection
from gateway.doors.exchange import Exchange
from gateway.errors import Refusal

OnRefusal = Callable[[str, str, str], None]
"""Told of every refusal that never reached the application: (code, private reason, peer's address)."""

BACKLOG = 2_048
ABORT_S = 5.0
"""How long cancelled applications may take for their last records."""


async def serve(app: ASGIApp, where: tuple[str, int] | socket.socket, limits: Limits, *, on_refusal: OnRefusal) -> Server:
    """Listen at (host, port), or on a socket that is bound already, and serve until `stop`. Port 0 takes a free one. Raises OSError when the
    address cannot be had.
    """
    server = Server(app, limits, on_refusal)
    await server.listen(where)
    return server


class Server:
    """A running server. `port` is the one it listens on."""

    def __init__(self, app: ASGIApp, limits: Limits, on_refusal: OnRefusal) -> None:
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.stopping = False
        self.port = 0
        self._app = app
        self._on_refusal = on_refusal
        self._listener: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._date_s = 0
        self._standard: list[tuple[bytes, bytes]] = []

    async def listen(self, where: tuple[str, int] | socket.socket) -> None:
        if isinstance(where, socket.socket):
            self._listener = await self.loop.create_server(self._connection, sock=where, backlog=BACKLOG)
        else:
            self._listener = await self.loop.create_server(self._connection, *where, backlog=BACKLOG)
        for listening in self._listener.sockets:
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted sockets inherit it: a peer that vanished is given up by the kernel
                listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(self.limits.write_timeout_s * 1000))
        self.port = self._listener.sockets[0].getsockname()[1]

    def _connection(self) -> Connection:
        return Connection(self)

    async def stop(self, drain_s: float) -> None:
        """Stop accepting, let calls under way finish for `drain_s` seconds, then cut the rest. Returns when no application runs any more."""
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
        for connection in tuple(self._connections):
            connection.finish()
        if self._connections:
            try:
                async with asyncio.timeout(drain_s):
                    await self._empty.wait()
            except TimeoutError:
                for connection in tuple(self._connections):
                    connection.abort()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=ABORT_S)

    @property
    def connections(self) -> int:
        return len(self._connections)

    # what its connections ask of it

    def arrived(self, connection: Connection) -> bool:
        self._connections.add(connection)
        if self.stopping or len(self._connections) > 2 * self.limits.connections_max:
            connection.abort()  # not even told why: telling takes a connection
        return len(self._connections) <= self.limits.connections_max

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self.stopping and not self._connections:
            self._empty.set()

    def start(self, connection: Connection, exchange: Exchange) -> None:
        task: asyncio.Task[None] = self.loop.create_task(self._app(exchange.scope, exchange.receive, exchange.send))  # type: ignore[arg-type]
        exchange.task = task
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, connection, exchange))

    def standard_fields(self) -> list[tuple[bytes, bytes]]:
        """The fields of every response; the date is made once a second (RFC 9110, 6.6.1)."""
        now_s = int(time.time())
        if now_s != self._date_s:
            self._date_s = now_s
            self._standard = [(b"date", formatdate(now_s, usegmt=True).encode("ascii"))]
        return self._standard

    def refused(self, refusal: Refusal, peer: str) -> None:
        self._on_refusal(refusal.code, refusal.reason, peer)

    def _ended(self, task: asyncio.Task[None], connection: Connection, exchange: Exchange) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if exchange.disconnected:
            return
        if error is not None:
            self.loop.call_exception_handler({"message": "an application broke", "exception": error, "task": task})
        if task.cancelled():  # nobody knows what became of the call, so nothing is said of it
            connection.abort()
        elif not exchange.response_complete:
            connection.fail(exchange)
