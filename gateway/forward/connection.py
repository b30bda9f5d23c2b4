"""One HTTP/1.1 connection to an upstream as an asyncio protocol: one request at a time, one await for a short answer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from gateway.call import Body
from gateway.config.model import ToolSettings
from gateway.errors import Refusal
from gateway.forward.exchange import Failed, Incoming, Outgoing
from gateway.forward.framing import Framing, Malformed
from gateway.forward.stream import PulledStream

SHORT_BYTES_MAX = 65_536
"""An answer declared to be no longer than this is waited for whole; a break in it can still be repeated, and never reaches the agent."""
BUFFER_BYTES_MAX = 262_144
_JOIN_BYTES_MAX = 65_536
_SERVER_ERROR = 500


class Connection(asyncio.Protocol):
    """`exchange` sends one request and gives its answer; afterwards `on_over` is called once, with whether the connection may be used again.

    Bytes that come while nobody asked close it: on a kept connection they would be taken for the next call's answer.
    """

    __slots__ = (
        "_answer_started",
        "_busy",
        "_drain",
        "_failure",
        "_framing",
        "_heard",
        "_heard_at_s",
        "_loop",
        "_on_over",
        "_read_timeout_s",
        "_reading_paused",
        "_reused",
        "_timer",
        "_transport",
        "_upload",
        "_waiter",
        "idle_since_s",
    )

    def __init__(self, tool: ToolSettings, loop: asyncio.AbstractEventLoop, on_over: Callable[[Connection, bool], None]) -> None:
        self._loop = loop
        self._on_over = on_over
        self._read_timeout_s = tool.read_timeout_s
        self._framing = Framing(tool.response_header_bytes_max, tool.response_bytes_max)
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drain: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._upload: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._busy = self._heard = self._reused = self._reading_paused = self._answer_started = False
        self._heard_at_s = self.idle_since_s = loop.time()

    # the request's side

    async def exchange(self, outgoing: Outgoing) -> Incoming:
        """Send it and wait for the head of the answer; for all of it when it is short. Raises Failed, or what the body's stream raised."""
        transport = self._transport
        if transport is None or transport.is_closing():
            self._over(reusable=False)
            raise Failed("broken", "the kept connection was closed meanwhile", sent=False, stale=True)
        framing = self._framing
        framing.expect(expects_body=outgoing.expects_body)
        self._busy = True
        self._heard = self._answer_started = False
        self._heard_at_s = self._loop.time()
        waiter = self._waiter = self._loop.create_future()
        self._timer = self._loop.call_at(self._heard_at_s + self._read_timeout_s, self._check_time)
        outgoing.sent = True
        self._upload = self._send(transport, outgoing)
        try:
            await waiter
            self._raise_failure()
            if not framing.done:
                return Incoming(framing.status, framing.headers, PulledStream(self.read, self.close_stream))
            body = framing.chunks[0] if len(framing.chunks) == 1 else b"".join(framing.chunks)
            if self._upload is not None and not self._upload.done():
                await self._stop_upload()
                self._over(reusable=False)
            else:
                self._over(reusable=framing.keep_alive)
            return Incoming(framing.status, framing.headers, body)
        except BaseException:
            self.abort()
            await self._stop_upload()
            raise
        finally:
            self._waiter = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    def _send(self, transport: asyncio.Transport, outgoing: Outgoing) -> asyncio.Task[None] | None:
        """Write what is at hand in as few segments as possible; a stream gets a task of its own, since the answer may come before its end."""
        body = outgoing.body
        if isinstance(body, bytes):
            if len(body) <= _JOIN_BYTES_MAX:
                transport.write(outgoing.head + body)
                return None
            transport.write(outgoing.head)
            transport.write(body)
            return None
        transport.write(outgoing.head)
        if body is None:
            return None
        upload = self._loop.create_task(self._send_stream(transport, outgoing, body))
        upload.add_done_callback(self._upload_over)
        return upload

    async def _send_stream(self, transport: asyncio.Transport, outgoing: Outgoing, body: Body) -> None:
        """Pass the body on as it comes, framed as its head promised. Raises what the stream raises."""
        outgoing.body_started = True
        length, sent = outgoing.length, 0
        async for chunk in body.chunks():
            if not chunk:
                continue  # an empty chunk would end a chunked body
            sent += len(chunk)
            if length is not None and sent > length:
                break
            transport.write(chunk if length is not None else b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self._heard_at_s = self._loop.time()
            if self._drain is not None:
                await asyncio.shield(self._drain)
        if length is None:
            transport.write(b"0\r\n\r\n")
        elif sent != length:
            raise Refusal("malformed_request", reason="the body is not as long as its Content-Length says", outcome="unknown")
        outgoing.body_sent = True

    def _upload_over(self, upload: asyncio.Task[None]) -> None:
        if not upload.cancelled() and (error := upload.exception()) is not None and not (self._waiter is None and self._framing.done):
            self._fail(cast("Exception", error))

    async def _stop_upload(self) -> None:
        if self._upload is not None and not self._upload.done():
            self._upload.cancel()
            await asyncio.wait([self._upload])

    # the stream's side

    async def read(self) -> bytes:
        """The next bytes of a streamed answer, empty at its end. Raises Failed."""
        framing = self._framing
        while not framing.chunks:
            if self._failure is not None:
                raise self._failure
            if framing.done:
                await self._end_stream()
                return b""
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        data = b"".join(framing.chunks)
        framing.chunks.clear()
        framing.buffered = 0
        if self._reading_paused and self._transport is not None and not self._transport.is_closing():
            self._reading_paused = False
            self._transport.resume_reading()
        return data

    async def _end_stream(self) -> None:
        uploaded = self._upload is None or self._upload.done()
        await self._stop_upload()
        self._over(reusable=uploaded and self._framing.keep_alive)

    async def close_stream(self) -> None:
        """Give up an answer that was not read to its end: the connection goes with it."""
        self.abort()
        await self._stop_upload()

    # the network's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        if not self._busy:
            self.abort()  # an answer nobody asked for (response queue poisoning)
            return
        self._heard = True
        self._heard_at_s = self._loop.time()
        framing = self._framing
        try:
            framing.feed(data)
        except Malformed as malformed:
            self._fail(Failed("invalid", str(malformed), sent=True))
            return
        if self._answer_started or framing.done or (framing.head_done and self._is_long()):
            self._answer_started = True
            self._wake()
            if framing.buffered > BUFFER_BYTES_MAX and not self._reading_paused and self._transport is not None:
                self._reading_paused = True
                self._transport.pause_reading()

    def _is_long(self) -> bool:
        """Whether the answer is handed down while it still comes. An error of unknown length is collected: it may be repeated instead."""
        framing = self._framing
        if framing.length is not None:
            return framing.length > SHORT_BYTES_MAX
        return not (framing.status >= _SERVER_ERROR or framing.status == 429) or framing.buffered > SHORT_BYTES_MAX

    def connection_lost(self, exc: Exception | None) -> None:
        if self._busy:
            if exc is None and self._framing.end():
                self._wake()
            elif not (self._framing.done and self._answer_started):
                stale = self._reused and not self._heard
                self._fail(Failed("broken", "the connection ended before a complete answer", sent=True, stale=stale))
        else:
            self._over(reusable=False)
        self._resume()

    def pause_writing(self) -> None:
        if self._drain is None:
            self._drain = self._loop.create_future()

    def resume_writing(self) -> None:
        self._resume()

    def _resume(self) -> None:
        if self._drain is not None:
            if not self._drain.done():
                self._drain.set_result(None)
            self._drain = None

    # state

    @property
    def is_usable(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        if self._transport is not None:
            self._transport.abort()
        self._over(reusable=False)

    def discard(self) -> None:
        """Close without telling anyone: the pool's own way to let go of a connection."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()

    def _over(self, *, reusable: bool) -> None:
        """The exchange is over: hand the connection back, once."""
        self._busy = False
        self._reused = True
        self._on_over(self, reusable and self.is_usable and not self._reading_paused)

    def _raise_failure(self) -> None:
        if self._failure is not None and not self._answer_started:
            raise self._failure

    def _fail(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        self._wake()
        if self._transport is not None:
            self._transport.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _check_time(self) -> None:
        """The timer of a waiting exchange: moved along lazily, since most answers come long before it."""
        now_s = self._loop.time()
        if self._upload is not None and not self._upload.done() and self._drain is None:
            self._heard_at_s = now_s  # it is the client who keeps everyone waiting; the door's own limits hold him
        due_s = self._heard_at_s + self._read_timeout_s
        if now_s < due_s - 0.001:
            self._timer = self._loop.call_at(due_s, self._check_time)
        elif not self._answer_started:
            self._fail(Failed("timeout", "no answer within the read timeout", sent=True))
