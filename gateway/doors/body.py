"""A request body that is read once, within its limits of bytes and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from starlette.types import Receive

from gateway.call import ClientGone
from gateway.config.model import Limits
from gateway.errors import Refusal


class RequestBody:
    """Implements gateway.call.Body over ASGI's `receive`. `length` is the declared one, None when chunked.

    Time runs only while the client is waited for: `body_timeout_s` in all, and a second more for each `body_rate_min_bytes_s` received.
    """

    __slots__ = ("_limits", "_receive", "_taken", "length")

    def __init__(self, receive: Receive, length: int | None, limits: Limits) -> None:
        self._receive = receive
        self._limits = limits
        self._taken = False
        self.length = length

    async def chunks(self) -> AsyncIterator[bytes]:
        """Yield the body. Raises Refusal body_too_large or request_timeout, and ClientGone; RuntimeError when it is read again."""
        if self._taken:
            raise RuntimeError("a request body is read once")
        self._taken = True
        if self.length == 0:
            return
        limits = self._limits
        if self.length is not None and self.length > limits.body_bytes_max:
            raise Refusal("body_too_large", reason=f"{self.length} bytes declared")
        clock = asyncio.get_running_loop().time
        received, waited_s = 0, 0.0
        more = True
        while more:
            began = clock()
            try:
                async with asyncio.timeout(limits.body_timeout_s + received / limits.body_rate_min_bytes_s - waited_s):
                    message = await self._receive()
            except TimeoutError as late:
                raise Refusal("request_timeout", reason=f"body too slow after {received} bytes") from late
            waited_s += clock() - began
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece: bytes = message.get("body", b"")
            received += len(piece)
            if received > limits.body_bytes_max:
                raise Refusal("body_too_large", reason=f"more than {limits.body_bytes_max} bytes")
            more = message.get("more_body", False)
            if piece:
                yield piece
