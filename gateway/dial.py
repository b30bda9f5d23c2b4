"""A connected socket to a host: resolved once, every address looked at, and the first that answers wins (RFC 8305, "happy eyeballs")."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from itertools import chain, zip_longest
from typing import Any

from gateway.config.addresses import is_refused

NEXT_ADDRESS_AFTER_S = 0.25
ADDRESSES_MAX = 3
"""How many addresses of one name are tried one after the other by those who do not race them."""

_Address = tuple[int, tuple[Any, ...]]


_Found = list[tuple[Any, Any, int, str, tuple[Any, ...]]]
Resolve = Callable[[str, int], Awaitable[_Found]]


async def resolve(host: str, port: int) -> _Found:
    """Ask the system."""
    return await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)


class Lookup:
    """Resolves the name of one host, one question at a time; nothing is kept once it is answered.

    A question to the system occupies one of few threads until it is answered, and cannot be taken back. Were there one for each call, a tool
    whose name server is dead would keep all threads, and with them every other tool's new connections.
    """

    def __init__(self, ask: Resolve = resolve) -> None:
        self._ask = ask
        self._asked: asyncio.Future[_Found] | None = None

    async def __call__(self, host: str, port: int) -> _Found:
        """Raises OSError. One who gives up leaves the question to those who wait for it, too."""
        if self._asked is None:
            self._asked = asyncio.ensure_future(self._ask(host, port))
            self._asked.add_done_callback(self._answered)
        return await asyncio.shield(self._asked)

    def _answered(self, asked: asyncio.Future[_Found]) -> None:
        self._asked = None
        if not asked.cancelled():
            asked.exception()  # looked at, although everybody may have given up


def anywhere(address: str) -> bool:
    """Whether an address may be called by those who may call private ones, too."""
    return not is_refused(address)


async def dial(host: str, port: int, lookup: Resolve = resolve, may_call: Callable[[str], bool] = anywhere) -> socket.socket:
    """Connect by TCP. Raises OSError. The caller sets the time limit; whatever is open when it cancels is closed.

    Each address that the name resolves to is shown to `may_call`: a name can be pointed elsewhere after its settings were checked (DNS
    rebinding). We connect to the address that was looked at.
    """
    found = await lookup(host, port)
    addresses: list[_Address] = [(family, address) for family, _, _, _, address in found if may_call(str(address[0]))]
    if not addresses:
        raise OSError(errno.EACCES, "the name resolves to no address that may be called; for a private one see allow_private")
    if len(addresses) == 1:
        return await _connect(addresses[0])
    return await _race(_interleave(addresses))


def _interleave(addresses: list[_Address]) -> list[_Address]:
    """The two families in turn, starting with the resolver's favourite."""
    first = addresses[0][0]
    mine = [a for a in addresses if a[0] == first]
    others = [a for a in addresses if a[0] != first]
    return [a for a in chain.from_iterable(zip_longest(mine, others)) if a is not None]


async def _connect(address: _Address) -> socket.socket:
    family, place = address
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, place)
    except BaseException:
        sock.close()
        raise
    return sock


async def _race(addresses: list[_Address]) -> socket.socket:
    """Start one attempt after another; keep the first socket that connects and close the rest."""
    tasks: set[asyncio.Task[socket.socket]] = set()
    winner: socket.socket | None = None
    failure: BaseException = OSError("no address answered")
    waiting = list(addresses)
    try:
        while winner is None and (waiting or tasks):
            if waiting:
                tasks.add(asyncio.create_task(_connect(waiting.pop(0))))
            done, _ = await asyncio.wait(tasks, timeout=NEXT_ADDRESS_AFTER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                error = task.exception()
                if error is not None:
                    failure = error
                    tasks.discard(task)
                elif winner is None:
                    winner = task.result()
                    tasks.discard(task)
    finally:
        for task in tasks:
            task.add_done_callback(_close_late)
            task.cancel()
    if winner is None:
        raise failure
    return winner


def _close_late(task: asyncio.Task[socket.socket]) -> None:
    """A second socket that connected in the same instant is not wanted."""
    if not task.cancelled() and task.exception() is None:
        task.result().close()
