"""The admin listener: health, readiness, metrics and the decision API, on a socket of its own that agents do not reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.canonical import Json
from gateway.metrics import CONTENT_TYPE, Metrics


def admin_app(metrics: Metrics, readiness: Callable[[], Mapping[str, Json]], access: Sequence[Route] = ()) -> Starlette:
    """Build the admin application. `readiness()` gives `{"ready": bool, ...}`; what else it holds is shown to the operator.

    `/healthz` says that the process answers; `/readyz` is 200 when calls can be served and 503 with the reasons when not.
    `access` are the routes of the decision API.
    """

    async def healthz(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def readyz(_request: Request) -> Response:
        state = readiness()
        return JSONResponse(dict(state), status_code=200 if state["ready"] else 503, headers={"cache-control": "no-store"})

    async def scrape(_request: Request) -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE)

    app = Starlette(routes=[Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", scrape), *access])
    app.router.redirect_slashes = False
    return app
