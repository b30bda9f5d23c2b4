"""What anybody may know about the gateway's tokens: its public keys and its metadata (RFC 7517, 8414, 9728).

Only what exists is named: there is no token endpoint here, so none is advertised.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.canonical import Json, dumps

JWKS_PATH = "/.well-known/jwks.json"
MAX_AGE_S = 300
"""How long verifiers elsewhere may keep the keys; a new key must be published longer than this before it signs."""


def routes(get_jwks: Callable[[], Mapping[str, Json]], issuer: str, audience: str) -> list[Route]:
    """GET routes, all public and all without state. `get_jwks` gives the JWK Set as it is now: public members only."""
    server: Mapping[str, Json] = {"issuer": issuer, "jwks_uri": issuer + JWKS_PATH, "response_types_supported": []}
    resource: Mapping[str, Json] = {
        "resource": audience,
        "authorization_servers": [issuer],
        "bearer_methods_supported": ["header"],
        "resource_name": "Portreeve tool gateway",
    }
    # RFC 9728 section 3.1: for a resource with a path, the well-known part stands between host and path.
    below = urlsplit(audience).path.rstrip("/")
    found = {
        JWKS_PATH: get_jwks,
        "/oauth2/jwks": get_jwks,
        "/.well-known/oauth-authorization-server": lambda: server,
        "/.well-known/oauth-protected-resource": lambda: resource,
        f"/.well-known/oauth-protected-resource{below}": lambda: resource,
    }
    return [_route(path, get) for path, get in found.items()]


def _route(path: str, get: Callable[[], Mapping[str, Json]]) -> Route:
    async def answer(_request: Request) -> Response:
        headers = {"cache-control": f"public, max-age={MAX_AGE_S}", "x-content-type-options": "nosniff"}
        return Response(dumps(dict(get())), media_type="application/json", headers=headers)

    return Route(path, answer, methods=["GET"])
