"""From what an upstream sent to what may be handed down: headers sifted, the credential's echo covered, streams with limits."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass

from gateway.call import Answer, Grant, Headers
from gateway.config.model import ToolSettings
from gateway.errors import Attempt, Refusal
from gateway.forward.echo import NeedleCase, Needles, StreamGuard, covered
from gateway.forward.exchange import Failed, Incoming
from gateway.forward.headers import allowed_names, passed_down, with_places
from gateway.forward.pool import Origin
from gateway.forward.stream import PulledStream


@dataclass(frozen=True, slots=True)
class Ending:
    """What the owner of an answer's stream is told, once: `over` when it ended or was closed, `broke` before that when it broke.

    `refusal` makes the refusal that the reader of the stream gets.
    """

    over: Callable[[], None]
    broke: Callable[[], None]
    refusal: Callable[[Failed], Refusal]


class Sieve:
    """What comes down from one tool. `on_echo` is called for each answer in which the credential was found."""

    def __init__(self, tool: ToolSettings, origin: Origin, prefix: str, on_echo: Callable[[], None]) -> None:
        self._tool = tool
        self._origin = origin
        self._prefix = prefix
        self._on_echo = on_echo
        self._allowed = allowed_names(tool.response_headers)
        self._case = NeedleCase()

    def answer(self, incoming: Incoming, grant: Grant, attempts: tuple[Attempt, ...], ending: Ending) -> Answer:
        """Raises Failed invalid for an answer that cannot be handed down safely; then the caller closes its body."""
        headers = passed_down(incoming.headers, self._allowed)
        needles = self._needles(grant)
        if needles is not None and any(name == b"content-encoding" and value.lower() != b"identity" for name, value in incoming.headers):
            # asked for plain bytes, so that an echo of the credential could be seen; compressed ones would hide it
            raise Failed("invalid", "a compressed answer, though only a plain one was accepted", sent=True)
        sifted = with_places(headers, self._origin, self._prefix, grant.path)
        if needles is not None:
            sifted = self._cover_headers(sifted, needles)
        body = incoming.body
        if not isinstance(body, bytes):
            return Answer(incoming.status, sifted, self._stream(body, needles, ending), attempts)
        if needles is not None and body:
            clean = covered(body, needles)
            if clean is not body:
                self._on_echo()
                body = clean
        return Answer(incoming.status, sifted, body, attempts)

    def _needles(self, grant: Grant) -> Needles | None:
        if grant.secret is None or grant.credential is None:
            return None
        return self._case.needles(grant.credential.fingerprint, grant.secret)

    def _cover_headers(self, headers: Headers, needles: Needles) -> Headers:
        text = "\n".join([value for _, value in headers]).encode("ascii")
        clean = covered(text, needles)
        if clean is text:
            return headers
        self._on_echo()
        values = clean.decode("ascii").split("\n")
        return tuple((name, value) for (name, _), value in zip(headers, values, strict=True))

    def _stream(self, chunks: AsyncGenerator[bytes, None], needles: Needles | None, ending: Ending) -> PulledStream:
        down = _Down(chunks, self._tool, StreamGuard(needles) if needles is not None else None, ending, self._on_echo)
        return PulledStream(down.read, down.close)


class _Down:
    """The rest of an answer on its way down: idle, age and size limits, the echo guard, and word to its owner of how it ended."""

    __slots__ = ("_chunks", "_ending", "_ends_at_s", "_guard", "_left", "_loop", "_on_echo", "_tool")

    def __init__(
        self, chunks: AsyncGenerator[bytes, None], tool: ToolSettings, guard: StreamGuard | None, ending: Ending, on_echo: Callable[[], None]
    ) -> None:
        self._chunks = chunks
        self._tool = tool
        self._guard = guard
        self._ending = ending
        self._on_echo = on_echo
        self._loop = asyncio.get_running_loop()
        self._ends_at_s = self._loop.time() + tool.stream_age_s_max
        self._left = tool.response_bytes_max

    async def read(self) -> bytes:
        """The next bytes, empty at the end. Raises Refusal."""
        try:
            data = await self._clean()
        except TimeoutError:
            self._ending.broke()
            raise self._ending.refusal(Failed("timeout", "the stream was idle too long, or is too old", sent=True)) from None
        except Failed as failed:
            self._ending.broke()
            raise self._ending.refusal(failed) from None
        if not data:
            self._over()
        return data

    async def _clean(self) -> bytes:
        guard = self._guard
        if guard is None:
            return await self._pull()
        while chunk := await self._pull():
            clean = guard.pass_on(chunk)
            if clean:  # else all of it may be the start of an echo: wait for more
                return clean
        return guard.rest()

    async def _pull(self) -> bytes:
        async with asyncio.timeout_at(min(self._loop.time() + self._tool.stream_idle_timeout_s, self._ends_at_s)):
            chunk = await anext(self._chunks, b"")
        self._left -= len(chunk)
        if self._left < 0:
            raise Failed("invalid", "the body is larger than allowed", sent=True)
        return chunk

    async def close(self) -> None:
        try:
            await self._chunks.aclose()
        finally:
            self._over()

    def _over(self) -> None:
        if self._guard is not None and self._guard.found:
            self._on_echo()
        self._ending.over()
