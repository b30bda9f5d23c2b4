"""The decision API for other systems: OpenID AuthZEN Authorization API 1.0, answered by the policy in force.

`POST /access/v1/evaluation` and `/access/v1/evaluations`, for the admin listener: who reaches that may ask about every agent. A question is
no call: nothing is forwarded, counted or written to the log. What a call could not be (arguments that break the contract, a path that the
door refuses, an agent without a valid token) is never answered with yes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from gateway.authorize import decide
from gateway.call import ClientGone, Facts, Identity, Permit, Refused
from gateway.canonical import Json, JsonError, dumps_in_order, loads
from gateway.config.model import Limits
from gateway.doors.body import RequestBody
from gateway.doors.problem import problem
from gateway.doors.question import MEMBERS, Question, malformed, read_question
from gateway.errors import REFUSALS, Refusal
from gateway.state import State

EVALUATIONS_MAX = 100
MEMBERS_MAX = 2_000
BATCH_MEMBERS_MAX = 20_000
_STOPS: dict[str, bool | None] = {"execute_all": None, "deny_on_first_deny": False, "permit_on_first_permit": True}
"""What each semantic of a batch ends at."""

Look = Callable[[Identity, str], Facts]
Answer = Callable[[Json], Awaitable[Mapping[str, Json]]]


def access_routes(state: Callable[[], State], look: Look, hosts: frozenset[str], limits: Limits) -> list[Route]:
    """The two routes. `state` is asked once for each request, so a batch is answered by one state; `look` tells an agent's facts."""
    limits = replace(limits, body_bytes_max=limits.json_body_bytes_max)

    async def one(body: Json) -> Mapping[str, Json]:
        return _evaluate(state(), look, body)

    async def many(body: Json) -> Mapping[str, Json]:
        return await _evaluate_all(state(), look, body)

    def route(path: str, answer: Answer, members_max: int) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                body = await _read(request, hosts, limits, members_max)
                said = dumps_in_order(await answer(body))
            except Refusal as refusal:
                return _refused(request, refusal)
            except ClientGone:
                return _refused(request, Refusal("request_timeout"))
            return Response(said, media_type="application/json", headers={"cache-control": "no-store", **_request_id(request)})

        return Route(path, endpoint, methods=["POST"])

    return [route("/access/v1/evaluation", one, MEMBERS_MAX), route("/access/v1/evaluations", many, BATCH_MEMBERS_MAX)]


async def _evaluate_all(state: State, look: Look, body: Json) -> Mapping[str, Json]:
    """Decide a batch: its questions in order, each filled up with the members that stand outside of them. Raises Refusal for the whole of it."""
    if not isinstance(body, dict):
        raise malformed("a question is a JSON object")
    entries = body.get("evaluations", [])
    if not isinstance(entries, list) or len(entries) > EVALUATIONS_MAX:
        raise malformed(f"evaluations is a list of at most {EVALUATIONS_MAX}", "/evaluations")
    ends_at = _end(body.get("options", {}))
    rest = {name: value for name, value in body.items() if name not in {"evaluations", "options"}}
    if not entries:
        return _evaluate(state, look, rest)
    for name in rest:
        if name not in MEMBERS:
            raise malformed("is not known", f"/{name}")
    answers: list[Mapping[str, Json]] = []
    for entry in entries:
        await asyncio.sleep(0)  # calls go first: a hundred decisions in a row would hold them up
        answers.append(_entry(state, look, rest, entry))
        if ends_at is not None and answers[-1]["decision"] is ends_at:
            break
    return {"evaluations": answers}


async def _read(request: Request, hosts: frozenset[str], limits: Limits, members_max: int) -> Json:
    """The body as strict JSON. A web page can reach a listener on this machine: by a name of its own, or by a form, which has no such type."""
    host = request.headers.get("host", "").lower()
    if host not in hosts and host.rpartition(":")[0] not in hosts:
        raise Refusal("misdirected_request")
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise Refusal("unsupported_media_type")
    length = None if "transfer-encoding" in request.headers else int(request.headers.get("content-length", "0"))
    raw = b"".join([piece async for piece in RequestBody(request.receive, length, limits).chunks()])
    try:
        return loads(raw, members_max=members_max)
    except JsonError as error:
        raise Refusal("malformed_json", str(error)) from error


def _end(options: Json) -> bool | None:
    """The decision that ends a batch early, if one does."""
    semantic = options.get("evaluations_semantic", "execute_all") if isinstance(options, dict) else None
    if not isinstance(semantic, str) or semantic not in _STOPS:
        raise malformed(f"evaluations_semantic is one of {', '.join(_STOPS)}", "/options/evaluations_semantic")
    return _STOPS[semantic]


def _entry(state: State, look: Look, rest: Mapping[str, Json], entry: Json) -> Mapping[str, Json]:
    """One answer of a batch. What is wrong with one question alone is a `false` with its error (AuthZEN 1.0, errors of evaluations)."""
    try:
        if not isinstance(entry, dict):
            raise malformed("a question is a JSON object")
        return _evaluate(state, look, {**rest, **entry})
    except Refusal as refusal:
        said = {"status": refusal.status, "message": refusal.detail, "code": refusal.code}
        return {"decision": False, "context": {"error": {**said, "pointer": refusal.pointer} if refusal.pointer else said}}


def _evaluate(state: State, look: Look, body: Json) -> Mapping[str, Json]:
    """Decide one question. Raises Refusal for one that could be no call."""
    question: Question = read_question(body, state.catalogue, state.settings.url)
    why = question.unknown or state.identifier.verifier.standing(question.agent, for_user=question.identity.user is not None)
    if why:
        return _no(state, "denied", REFUSALS["denied"].title, why)
    assert question.invocation is not None
    verdict = decide(state.bundle, question.invocation, question.identity, look(question.identity, question.invocation.operation.tool))
    basis = verdict.basis
    because = f"{basis.verdict} because of {', '.join(basis.reasons) or 'no policy'}{''.join(f'; {error}' for error in basis.errors)}"
    if isinstance(verdict, Permit):
        return {"decision": True, "context": {"reasons": basis.reasons, "reason_admin": {"en": because}, "state": state.digest}}
    code = getattr(verdict, "code", "approval_required")
    return _no(state, code, verdict.message or REFUSALS[code].title, because, basis.reasons)


def _no(state: State, code: str, user: str, admin: str, reasons: tuple[str, ...] = ()) -> Mapping[str, Json]:
    said = {"code": code, "reasons": reasons, "reason_admin": {"en": admin}, "reason_user": {"en": user}, "state": state.digest}
    return {"decision": False, "context": said}


def _request_id(request: Request) -> dict[str, str]:
    """AuthZEN 1.0: an asker's X-Request-ID comes back with the answer."""
    found = request.headers.get("x-request-id")
    return {"x-request-id": found} if found else {}


def _refused(request: Request, refusal: Refusal) -> Response:
    status, headers, body = problem(Refused(refusal, ""))
    answer = Response(body, status)
    answer.raw_headers = [*headers, *((name.encode(), value.encode("latin-1")) for name, value in _request_id(request).items())]
    return answer
