"""One request and its response as the ASGI application sees them.

The response half is uvicorn's; what differs is what happens when the client leaves, and that an answer given before the whole request was read
ends the connection.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_SILENT = logging.getLogger("portreeve.exchange")


class Wire(Protocol):
    """What an exchange may do with its connection. `close` MUST deliver what was written."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def is_closing(self) -> bool: ...


class Exchange(RequestResponseCycle):
    """`task` runs the application. Once the client has left, `receive` says so, `send` raises ConnectionResetError."""

    def __init__(
        self,
        scope: dict[str, Any],
        wire: Wire,
        flow: FlowControl,
        *,
        headers: list[tuple[bytes, bytes]],
        expects_continue: bool,
        keep_alive: bool,
        on_response: Callable[[], None],
    ) -> None:
        super().__init__(
            scope=scope,  # type: ignore[arg-type]
            transport=self,  # type: ignore[arg-type]
            flow=flow,
            logger=_SILENT,
            access_logger=_SILENT,
            access_log=False,
            default_headers=headers,
            message_event=asyncio.Event(),
            expect_100_continue=expects_continue,
            keep_alive=keep_alive,
            on_response=on_response,
        )
        self.task: asyncio.Task[None] | None = None
        self._wire = wire
        self._head = b""
        self._head_is_out = False
        self._receiving = 0

    async def receive(self) -> Any:
        """Return the next piece of the body, or http.disconnect."""
        self._receiving += 1
        try:
            return await super().receive()
        finally:
            self._receiving -= 1

    async def send(self, message: Any) -> None:
        """Write one ASGI message. Raises ConnectionResetError when the client has left: a stream to nobody must end."""
        if self.disconnected:
            raise ConnectionResetError("the client left")
        if self.more_body and not self.response_started:
            self.keep_alive = False  # what is left of the request must not be read as the next one
        starts = not self.response_started
        await super().send(message)
        if starts:
            asyncio.get_running_loop().call_soon(self._release)
        elif self.response_complete:
            self._release()

    # what uvicorn's half takes for its transport

    def write(self, data: bytes) -> None:
        """Write, but keep the response's head for one turn of the loop: a small body then leaves in the same segment."""
        if self.response_started and not self._head_is_out:
            self._head_is_out = True
            self._head = data
            return
        if self._head:
            data, self._head = self._head + data, b""
        self._wire.write(data)

    def close(self) -> None:
        self._release()
        self._wire.close()

    def is_closing(self) -> bool:
        return self._wire.is_closing()

    def _release(self) -> None:
        head, self._head = self._head, b""
        if head and not self._wire.is_closing():
            self._wire.write(head)

    def leave(self) -> None:
        """The client is gone. An application that waits for the client is told so; one that works for it is cancelled."""
        if self.response_complete or self.disconnected:
            return
        self.disconnected = True
        if not self._receiving and self.task is not None:
            self.task.cancel("the client left")
        self.message_event.set()
        self.flow.resume_writing()
