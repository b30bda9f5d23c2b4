"""The door of a witness: `POST /add-checkpoint` and `GET /HASH/checkpoint` (c2sp.org/tlog-witness). It serves logs of anybody, not calls of agents."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.call import ClientGone
from gateway.config.model import Limits
from gateway.doors.body import RequestBody
from gateway.errors import Problem, Refusal
from gateway.record import REQUEST_BYTES_MAX, Witness

WITNESS_LIMITS = Limits(body_bytes_max=REQUEST_BYTES_MAX, body_timeout_s=10.0, connections_max=256)


def witness_app(witness: Witness, report: Callable[[str], None]) -> Starlette:
    """Build the application. `report` is told why a request could not be answered: a full disk, a state that was damaged."""

    async def add(request: Request) -> Response:
        length = None if "transfer-encoding" in request.headers else int(request.headers.get("content-length", "0"))
        try:
            body = b"".join([piece async for piece in RequestBody(request.receive, length, WITNESS_LIMITS).chunks()])
            answer = await asyncio.to_thread(witness.add, body, int(time.time()))
        except Refusal as refusal:
            return PlainTextResponse(f"{refusal.detail}\n", refusal.status)
        except ClientGone:
            return PlainTextResponse("", 400)
        except (OSError, Problem) as error:
            report(str(error))
            return PlainTextResponse("the witness cannot answer now\n", 503)
        return Response(answer.body, answer.status, headers={"content-type": answer.type})

    async def latest(request: Request) -> Response:
        note = await asyncio.to_thread(witness.latest, request.path_params["origin"])
        return PlainTextResponse("no such checkpoint\n", 404) if note is None else Response(note, media_type="text/plain; charset=utf-8")

    app = Starlette(routes=[Route("/add-checkpoint", add, methods=["POST"]), Route("/{origin:str}/checkpoint", latest, methods=["GET"])])
    app.router.redirect_slashes = False
    return app
