"""The connections to one origin: kept, handed out newest first, and thrown away when they are old or in doubt."""

from __future__ import annotations

import asyncio
import os
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from gateway.config.addresses import may_call
from gateway.config.model import ToolSettings
from gateway.credential import ClientCertificate
from gateway.dial import Lookup, Resolve, dial, resolve
from gateway.forward.connection import Connection
from gateway.forward.exchange import Failed, Incoming, Outgoing

IDLE_S_MAX = 15.0
WRITE_IDLE_S_MAX = 2.0
"""A write is not sent on a connection that was idle for longer: a peer that just closed it would leave its outcome unknown."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Scheme, host and port of a tool. `authority` names it in attempts and breakers."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Origin:
        parts = urlsplit(url)
        return cls(parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80))

    @property
    def authority(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def tls_for(tool: ToolSettings, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and host name verified, against the system's authorities or the tool's own; with a certificate of ours if given.

    Not `ssl.create_default_context`: that obeys SSLKEYLOGFILE and would write session keys to a file of the environment's choice.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if tool.ca_file is not None:
        context.load_verify_locations(cafile=tool.ca_file)
    else:
        context.load_default_certs()
    if certificate is not None:
        _show(context, certificate)
    return context


def _show(context: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """The library reads it from a file only: one in memory that has no name, and is gone when it was read. Raises SSLError."""
    descriptor = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, certificate.pem.reveal().encode("ascii"))
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


class Pool:
    """At most `connections_max` connections. It never makes a caller wait: when all are in use, `send` raises Failed overloaded."""

    def __init__(self, tool: ToolSettings, ask: Resolve = resolve, certificate: ClientCertificate | None = None) -> None:
        self._tool = tool
        self._origin = Origin.of(tool.url)
        self._tls = tls_for(tool, certificate) if self._origin.scheme == "https" else None
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._connecting = 0
        self._lookup = Lookup(ask)
        self._may_call = may_call(self._origin.host, tool.allow_private)
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def size(self) -> int:
        """How many connections are open or being opened."""
        return len(self._open) + self._connecting

    async def send(self, outgoing: Outgoing) -> Incoming:
        """One exchange on a kept connection, or on a new one. Raises Failed."""
        connection = self._take(IDLE_S_MAX if outgoing.repeatable and not outgoing.expects_stream else WRITE_IDLE_S_MAX)
        if connection is None:
            connection = await self._connect()
        try:
            return await connection.exchange(outgoing)
        except Failed as failed:
            if failed.stale:
                self.drop_idle()  # the others are at least as old
            raise

    def _take(self, idle_s_max: float) -> Connection | None:
        oldest_s = asyncio.get_running_loop().time() - idle_s_max
        while self._idle:
            connection = self._idle.pop()
            if connection.is_usable and connection.idle_since_s >= oldest_s:
                return connection
            connection.abort()
        return None

    async def _connect(self) -> Connection:
        tool, loop = self._tool, asyncio.get_running_loop()
        if self._closed or self.size >= tool.connections_max:
            raise Failed("overloaded", "no connection is free", sent=False)
        self._connecting += 1
        try:
            async with asyncio.timeout(tool.connect_timeout_s):
                sock = await dial(self._origin.host, self._origin.port, self._lookup, self._may_call)
                try:
                    _, connection = await loop.create_connection(
                        lambda: Connection(tool, loop, self._over),
                        sock=sock,
                        ssl=self._tls,
                        server_hostname=self._origin.host if self._tls else None,
                    )
                except BaseException:
                    sock.close()
                    raise
        except TimeoutError:
            raise Failed("unreachable", "no connection within the connect timeout", sent=False) from None
        except ssl.SSLError as error:
            raise Failed("unreachable", f"TLS failed: {error.reason or type(error).__name__}", sent=False) from None
        except OSError as error:
            raise Failed("unreachable", f"cannot connect: {error.strerror or type(error).__name__}", sent=False) from None
        finally:
            self._connecting -= 1
        self._open.add(connection)
        return connection

    def _over(self, connection: Connection, reusable: bool) -> None:  # noqa: FBT001 - a callback
        """An exchange ended, or a kept connection did: the only place where connections come back."""
        if reusable and not self._closed and connection in self._open:
            connection.idle_since_s = asyncio.get_running_loop().time()
            self._idle.append(connection)
            if self._sweep is None:
                self._sweep = asyncio.get_running_loop().call_later(IDLE_S_MAX, self._sweep_idle)
            return
        self._open.discard(connection)
        if connection in self._idle:
            self._idle.remove(connection)
        connection.discard()

    def _sweep_idle(self) -> None:
        self._sweep = None
        loop = asyncio.get_running_loop()
        oldest_s = loop.time() - IDLE_S_MAX
        for connection in [c for c in self._idle if c.idle_since_s <= oldest_s]:
            connection.abort()
        if self._idle:
            self._sweep = loop.call_at(min(c.idle_since_s for c in self._idle) + IDLE_S_MAX, self._sweep_idle)

    def drop_idle(self) -> None:
        """Close what nobody uses now."""
        for connection in list(self._idle):
            connection.abort()

    async def close(self) -> None:
        """Close what is idle now, and what is in use when its exchange ends."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        self.drop_idle()
