"""The token service's door (RFC 6749, 7009, 7523, 7662, 8693, 9449): POST /oauth2/token, /oauth2/revoke, /oauth2/introspect, and /enrol.

It stands on the agents' listener, because the issuer's URL is where agents reach the gateway. Answers and errors are those of OAuth, never
cached, and say nothing that a stranger could learn from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.call import ClientGone
from gateway.canonical import Json, JsonError, dumps_in_order, loads
from gateway.config.model import Limits
from gateway.declined import Declined
from gateway.doors.body import RequestBody
from gateway.doors.form import FORM_BYTES_MAX, TYPE, read_form
from gateway.doors.presented import proof_of
from gateway.enrolling import enrol
from gateway.errors import Refusal
from gateway.issuance import Asked, Issued, TokenService
from gateway.rights import ACCESS_TOKEN

TOKEN_PATH, REVOKE_PATH, INTROSPECT_PATH, ENROL_PATH = "/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/enrol"
ENROL_BYTES_MAX = 16_384

Answer = Callable[[Asked], Awaitable[Mapping[str, Json]]]
_HEADERS = {"cache-control": "no-store", "pragma": "no-cache", "x-content-type-options": "nosniff"}


def oauth_routes(service: TokenService, limits: Limits, base_url: str) -> list[Route]:
    """The routes. `base_url` is the issuer, which proofs of possession name."""

    async def token(asked: Asked) -> Mapping[str, Json]:
        return _answer_of(await service.issue(asked))

    async def revoke(asked: Asked) -> Mapping[str, Json]:
        await service.revoke(asked)
        return {}

    async def enrolled(asked: Asked) -> Mapping[str, Json]:
        return await enrol(service, asked, base_url)

    def route(path: str, answer: Answer, *, json: bool = False, status: int = 200) -> Route:
        bounded = replace(limits, body_bytes_max=ENROL_BYTES_MAX if json else FORM_BYTES_MAX)

        async def endpoint(request: Request) -> Response:
            try:
                asked = await _asked(request, bounded, base_url + path, json=json)
                return Response(dumps_in_order(dict(await answer(asked))), status, media_type="application/json", headers=_HEADERS)
            except Declined as declined:
                return _error(declined)
            except Refusal as refusal:  # the body: too large, too slow
                return _error(Declined("invalid_request", refusal.detail))
            except ClientGone:
                return _error(Declined("invalid_request"))

        return Route(path, endpoint, methods=["POST"])

    return [
        route(TOKEN_PATH, token),
        route(REVOKE_PATH, revoke),
        route(INTROSPECT_PATH, service.introspect),
        route(ENROL_PATH, enrolled, json=True, status=201),
    ]


async def _asked(request: Request, limits: Limits, url: str, *, json: bool) -> Asked:
    """What is asked, or Declined. Secrets in the Authorization field are not known here, and nothing is read from the query."""
    wanted = "application/json" if json else TYPE
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != wanted or "content-encoding" in request.headers:
        raise Declined("invalid_request", f"The body must be {wanted}, without a content coding.")
    if request.scope["query_string"]:
        raise Declined("invalid_request", "Parameters belong into the body, not into the query.")
    if "authorization" in request.headers:
        raise Declined("invalid_client", "Clients prove themselves with client_assertion, not with an Authorization header.")
    length = None if "transfer-encoding" in request.headers else int(request.headers.get("content-length", "0"))
    raw = b"".join([piece async for piece in RequestBody(request.receive, length, limits).chunks()])
    proof = proof_of(request.headers.get("dpop"), request.method, url)
    return Asked(_members(raw) if json else read_form(raw), proof, request.client.host if request.client else "")


def _members(raw: bytes) -> Mapping[str, Json]:
    try:
        found = loads(raw, depth_max=4, members_max=32)
    except JsonError as error:
        raise Declined("invalid_request", f"The body is not unambiguous JSON: {error}") from error
    if type(found) is not dict:
        raise Declined("invalid_request", "The body is not a JSON object.")
    return found


def _answer_of(issued: Issued) -> Mapping[str, Json]:
    said: dict[str, Json] = {
        "access_token": issued.token.reveal(),
        "token_type": "DPoP" if issued.bound else "Bearer",
        "expires_in": issued.life_s,
        "scope": " ".join(issued.scopes),
    }
    return {**said, "issued_token_type": ACCESS_TOKEN} if issued.exchanged else said


def _error(declined: Declined) -> Response:
    """RFC 6749 section 5.2."""
    headers = dict(_HEADERS)
    if declined.retry_after_s is not None:
        headers["retry-after"] = str(declined.retry_after_s)
    body = dumps_in_order({"error": declined.code, "error_description": declined.detail})
    return Response(body, declined.status, media_type="application/json", headers=headers)
