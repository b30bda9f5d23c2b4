"""The admin listener: health, readiness, metrics and the decision API, on a socket of its own that agents do not reach."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.canonical import Json
from gateway.metrics import CONTENT_TYPE, Metrics

Together = Callable[[], Awaitable[tuple[str, Mapping[str, Json]] | None]]
"""Metrics and readiness of all workers of a gateway that has several; None when they cannot be had."""


def admin_app(
    metrics: Metrics, readiness: Callable[[], Mapping[str, Json]], access: Sequence[Route] = (), *, together: Together | None = None
) -> Starlette:
    """Build the admin application. `readiness()` gives `{"ready": bool, ...}`; what else it holds is shown to the operator.

    `/healthz` says that the process answers; `/readyz` is 200 when calls can be served and 503 with the reasons when not.
    `access` are the routes of the decision API. With `together`, one of several workers answers for all of them.
    """

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        state = readiness()
        if together:
            found = await together()
            state = found[1] if found else {"ready": False, "problems": ["the supervisor does not answer"]}
        return JSONResponse(dict(state), status_code=200 if state["ready"] else 503, headers={"cache-control": "no-store"})

    async def scrape(_request: Request) -> Response:
        found = await together() if together else (metrics.text().decode(), {})
        if found is None:
            return PlainTextResponse("the supervisor does not answer\n", status_code=503)
        return Response(found[0], media_type=CONTENT_TYPE)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scrape), *access])
    app.router.redirect_slashes = False
    return app
