"""The upstream of the benchmark: answers every request with the same 500 bytes of JSON, as fast as one Python process can.

A raw uvloop protocol, because nothing faster is sure to be installed: nginx is a system package, and Envoy's own `direct_response` is slower
than this. It reads just enough of HTTP/1.1 to be correct for requests that have a Content-Length or no body, and is no server for anything else.
Prints `{"port": N}` when it listens.
"""

from __future__ import annotations

import asyncio
import json
import socket

import uvloop

BODY = b'{"id": "T-1001", "status": "open", "subject": "%s"}'
BODY %= b"x" * (500 - len(BODY) + 2)
assert len(BODY) == 500
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n" + BODY


class Answering(asyncio.Protocol):
    def __init__(self) -> None:
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            at = head.find(b"content-length:")
            if at < 0 and b"transfer-encoding:" in head:
                last = self.buffer.find(b"0\r\n\r\n", end + 4)  # good enough for the bodies of this benchmark
                if last < 0:
                    return
                total = last + 5
            else:
                total = end + 4 + (int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
            if len(self.buffer) < total:
                return
            self.buffer = self.buffer[total:]
            self.transport.write(ANSWER)


async def main() -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    server = await asyncio.get_running_loop().create_server(Answering, sock=sock, backlog=1024)
    print(json.dumps({"port": sock.getsockname()[1]}), flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main())
