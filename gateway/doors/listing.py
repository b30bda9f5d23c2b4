"""`GET /v1/tools` on the agents' listener: what may I call? Asked with the same token as a call."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.authorize import Bundle
from gateway.authorize.listing import Listed, listed
from gateway.call import Identity, Refused
from gateway.canonical import Json, dumps_in_order
from gateway.doors.presented import proof_of, token_of
from gateway.doors.problem import problem
from gateway.errors import Refusal
from gateway.secret import Secret
from gateway.state import State

PATH = "/v1/tools"
ANSWERS_MAX = 256


class Listing:
    """Makes the answer for each caller, and remembers it for as long as the same policies are in force."""

    def __init__(self) -> None:
        self._bundle: Bundle | None = None
        self._answers: dict[tuple[Json, ...], bytes] = {}

    async def answer(self, state: State, identity: Identity) -> bytes:
        """The JSON for this caller. Does not depend on time or counters: what does is among the conditions."""
        if self._bundle is not state.bundle:
            self._bundle, self._answers = state.bundle, {}
        caller = (identity.agent, identity.user, identity.actors, identity.issuer, identity.scopes, identity.proof_of_possession)
        known = self._answers.get(caller)
        if known is not None:
            return known
        tools = []
        for name in sorted(state.catalogue.tools):
            operations = []
            for operation in state.catalogue.tools[name].operations():
                await asyncio.sleep(0)  # calls go first: a large catalogue must not hold them up
                found = listed(state.bundle, identity, operation.action)
                if found is not None:
                    operations.append(_operation(found))
            if operations:
                tools.append({"name": name, "operations": operations})
        said = dumps_in_order({"agent": identity.agent, "state": state.digest, "tools": tools})
        if self._bundle is state.bundle and len(self._answers) < ANSWERS_MAX:
            self._answers[caller] = said
        return said


def listing_routes(state: Callable[[], State], refuse: Callable[[Refusal, str], Awaitable[Refused]], base_url: str) -> list[Route]:
    """The route. A request without a valid token, or of who is halted, is refused as a call is, and counted in the log's summary; any other leaves no record."""
    listing = Listing()

    async def tools(request: Request) -> Response:
        now = state()
        try:
            token, scheme = token_of(request.headers.get("authorization", ""))
            proof = proof_of(request.headers.get("dpop"), request.method, base_url + PATH)
            identity = await now.identifier.identify(Secret(token) if token else None, scheme, proof)
            _check_halts(now, identity)
        except Refusal as refusal:
            code, headers, body = problem(await refuse(refusal, request.client.host if request.client else ""), base_url=base_url)
            answer = Response(body, code)
            answer.raw_headers = headers
            return answer
        said = await listing.answer(now, identity)
        return Response(said, media_type="application/json", headers={"cache-control": "no-store", "x-content-type-options": "nosniff"})

    return [Route(PATH, tools, methods=["GET"])]


def _check_halts(state: State, identity: Identity) -> None:
    halted = state.identifier.verifier.board.halted(identity, "")
    if halted:
        raise Refusal("halted", f"Calls are halted: {', '.join(halted)}")


def _operation(found: Listed) -> Mapping[str, Json]:
    operation = found.operation
    path = f"/tools/{operation.tool}{operation.template}"
    said: dict[str, Json] = {"name": operation.name, "method": operation.method, "path": path, "effect": operation.effect, "answer": found.answer}
    if found.approval:
        said["approval"] = list(found.approval)
    if found.remaining:
        said["depends_on"] = [remaining.json for remaining in found.remaining]
    return said
