"""What anybody may know about the gateway's tokens: its public keys and its metadata (RFC 7517, 8414, 9728).

Only what exists is named: no authorization endpoint, no registration, no symmetric secret.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.canonical import Json, dumps
from gateway.doors.oauth import INTROSPECT_PATH, REVOKE_PATH, TOKEN_PATH
from gateway.identities.jwk import ALGORITHMS
from gateway.rights import CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE

JWKS_PATH = "/.well-known/jwks.json"
MAX_AGE_S = 300
"""How long verifiers elsewhere may keep the keys; a new key must be published longer than this before it signs."""


def routes(get_jwks: Callable[[], Mapping[str, Json]], issuer: str, audience: str) -> list[Route]:
    """GET routes, all public and all without state. `get_jwks` gives the JWK Set as it is now: public members only."""
    server = _server(issuer)
    discovery: Mapping[str, Json] = {
        **server,
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "claims_supported": ["iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "act", "cnf"],
    }
    resource: Mapping[str, Json] = {
        "resource": audience,
        "authorization_servers": [issuer],
        "jwks_uri": issuer + JWKS_PATH,
        "bearer_methods_supported": ["header"],
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
        "resource_name": "Portreeve tool gateway",
    }
    # RFC 9728 section 3.1: for a resource with a path, the well-known part stands between host and path.
    below = urlsplit(audience).path.rstrip("/")
    found = {
        JWKS_PATH: get_jwks,
        "/oauth2/jwks": get_jwks,
        "/.well-known/oauth-authorization-server": lambda: server,
        "/.well-known/openid-configuration": lambda: discovery,
        "/.well-known/oauth-protected-resource": lambda: resource,
        f"/.well-known/oauth-protected-resource{below}": lambda: resource,
    }
    return [_route(path, get) for path, get in found.items()]


def _server(issuer: str) -> Mapping[str, Json]:
    """RFC 8414. The other names of the same facts in OpenID discovery are added to it."""
    return {
        "issuer": issuer,
        "jwks_uri": issuer + JWKS_PATH,
        "token_endpoint": issuer + TOKEN_PATH,
        "revocation_endpoint": issuer + REVOKE_PATH,
        "introspection_endpoint": issuer + INTROSPECT_PATH,
        "grant_types_supported": [CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE],
        "response_types_supported": [],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "revocation_endpoint_auth_methods_supported": ["none"],
        "introspection_endpoint_auth_methods_supported": ["private_key_jwt"],
        "introspection_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
        "dpop_signing_alg_values_supported": list(ALGORITHMS),
    }


def _route(path: str, get: Callable[[], Mapping[str, Json]]) -> Route:
    async def answer(_request: Request) -> Response:
        headers = {"cache-control": f"public, max-age={MAX_AGE_S}", "x-content-type-options": "nosniff"}
        return Response(dumps(dict(get())), media_type="application/json", headers=headers)

    return Route(path, answer, methods=["GET"])
