"""The plain peer: a starlette route that passes each request on with httpx2's AsyncClient and does nothing else.

It is what a first version of a gateway looks like: no identity, no policy, no record. Usage: `plain.py UPSTREAM_PORT`; prints `{"port": N}`.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


def application(upstream: str) -> Starlette:
    client = httpx2.AsyncClient(base_url=upstream, trust_env=False, limits=httpx2.Limits(max_connections=256, max_keepalive_connections=256))

    async def forward(request: Request) -> Response:
        headers = [(name, value) for name, value in request.headers.items() if name in {"content-type", "accept"}]
        answer = await client.request(request.method, request.url.path, headers=headers, content=await request.body())
        return Response(answer.content, answer.status_code, {"content-type": answer.headers["content-type"]})

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    return Starlette(routes=[Route("/{path:path}", forward, methods=["GET", "POST"])], lifespan=lifespan)


def main() -> None:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", 0))
    sock.listen(1024)
    print(json.dumps({"port": sock.getsockname()[1]}), flush=True)
    app = application(f"http://127.0.0.1:{sys.argv[1]}")
    uvicorn.Server(uvicorn.Config(app, loop="uvloop", http="httptools", log_level="warning", access_log=False)).run(sockets=[sock])


if __name__ == "__main__":
    main()
