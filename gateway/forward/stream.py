"""A stream of bytes that is certain to be closed, even when nobody ever started it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from types import TracebackType
from typing import Any


class PulledStream(AsyncGenerator[bytes, None]):
    """Yields what `read` gives until that is empty. `close` is called once, unless the end was reached.

    Closing an async generator function before its first step runs none of its code, so its clean-up would never happen and the connection
    of a client that left early would be lost; this class closes in every case.
    """

    __slots__ = ("_close", "_over", "_read")

    def __init__(self, read: Callable[[], Awaitable[bytes]], close: Callable[[], Awaitable[None]]) -> None:
        self._read = read
        self._close = close
        self._over = False

    async def asend(self, value: None) -> bytes:  # noqa: ARG002 - the protocol's signature
        if self._over:
            raise StopAsyncIteration
        try:
            data = await self._read()
        except BaseException:
            await self.aclose()
            raise
        if not data:
            self._over = True
            raise StopAsyncIteration
        return data

    async def athrow(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> bytes:  # noqa: ARG002
        await self.aclose()
        raise val if isinstance(val, BaseException) else typ

    async def aclose(self) -> None:
        if not self._over:
            self._over = True
            await self._close()
