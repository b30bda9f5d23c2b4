"""The agents' listener: tool calls go straight to their door, public keys and metadata to a small Starlette application."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from gateway.call import Refused, Reply, ToolCall
from gateway.canonical import Json
from gateway.config.model import Settings, ToolSettings
from gateway.doors.http import HttpDoor, ToolDoorOptions, allowed_hosts
from gateway.doors.problem import problem
from gateway.doors.tokens import routes
from gateway.errors import Refusal

Handle = Callable[[ToolCall], Awaitable[Reply | Refused]]
Refuse = Callable[[Refusal, str], Awaitable[Refused]]


def agents_app(
    settings: Settings,
    handle: Handle,
    refuse: Refuse,
    *,
    tools: Callable[[], Mapping[str, ToolSettings]],
    jwks: Callable[[], Mapping[str, Json]],
    audience: str,
    more: Sequence[Route] = (),
) -> ASGIApp:
    """Build the application for agents. `tools` and `jwks` are asked at each use, because both change while it runs. `more`: further routes."""

    async def nothing_here(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        refused = await refuse(Refusal("not_found" if status in {404, 405} else "internal_error"), request.client.host if request.client else "")
        code, headers, body = problem(refused)
        answer = Response(body, code)
        answer.raw_headers = headers
        return answer

    rest = Starlette(routes=[*routes(jwks, settings.url, audience), *more], exception_handlers={HTTPException: nothing_here})
    rest.router.redirect_slashes = False

    def options(name: str) -> ToolDoorOptions | None:
        tool = tools().get(name)
        return ToolDoorOptions(tool.path_encoded_slash, tool.path_semicolon, tool.token_header) if tool else None

    return HttpDoor(handle, refuse, options, allowed_hosts(settings.agents), settings.limits, otherwise=rest, base_url=settings.url)
