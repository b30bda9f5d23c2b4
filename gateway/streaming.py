"""An answer on its way down that tells, exactly once, how it ended: whole, broken, or left by the client, even if it was never started."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from types import TracebackType
from typing import Any

from gateway.errors import Refusal

Ended = Callable[[int, Refusal | None, bool], None]
"""Told of the end: body bytes handed down, the refusal that broke it, whether it came to its own end."""


class RecordedStream(AsyncGenerator[bytes, None]):
    """Hands `chunks` on and calls `ended` when there is no more to come. The second and later ends are not told."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], ended: Ended) -> None:
        self._chunks = chunks
        self._ended: Ended | None = ended
        self._bytes_down = 0
        self._reader: asyncio.Task[object] | None = None
        self._stopped: Refusal | None = None

    def stop(self, refusal: Refusal) -> None:
        """End it from outside: told at once; whoever waits for its next chunk, or for a client to take the last one, is cancelled."""
        self._stopped = refusal
        self._end(refusal, whole=False)
        if self._reader is not None:
            self._reader.cancel()

    async def asend(self, value: None) -> bytes:
        if self._stopped is not None:
            raise self._stopped
        self._reader = asyncio.current_task()
        try:
            chunk = await self._chunks.asend(value)
        except StopAsyncIteration:
            self._end(None, whole=True)
            raise
        except Refusal as refusal:
            self._end(refusal, whole=False)
            raise
        except asyncio.CancelledError:
            self._end(None, whole=False)
            raise
        self._bytes_down += len(chunk)
        return chunk

    async def athrow(self, typ: Any, val: Any = None, tb: TracebackType | None = None) -> bytes:
        self._end(None, whole=False)
        return await self._chunks.athrow(typ, val, tb)

    async def aclose(self) -> None:
        self._end(None, whole=False)
        await self._chunks.aclose()

    def _end(self, refusal: Refusal | None, *, whole: bool) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended(self._bytes_down, refusal, whole)
