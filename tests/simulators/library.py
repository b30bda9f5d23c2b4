"""A real MCP server, made with the official SDK, on a free port of loopback: it finds books, and lends them."""

from __future__ import annotations

import socket
import threading
from typing import Self

import uvicorn
from mcp.server.mcpserver import MCPServer


class Library:
    """Serves `/mcp` for the length of a `with` block. What its tools were called with is kept in `calls`."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        server = MCPServer("library")

        @server.tool()
        def find(title: str) -> str:
            self.calls.append(("find", title))
            return f"{title}: shelf 7"

        @server.tool()
        def lend(title: str) -> str:
            self.calls.append(("lend", title))
            return f"{title}: yours"

        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self._server = uvicorn.Server(uvicorn.Config(server.streamable_http_app(), log_config=None))
        self._thread = threading.Thread(target=self._server.run, args=([self._socket],))

    def __enter__(self) -> Self:
        self._socket.listen()  # what connects before it serves, waits
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join()
