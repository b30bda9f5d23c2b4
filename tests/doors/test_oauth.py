"""The token endpoints answer in the words of OAuth, and tell a stranger nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx2
import pytest
import pytest_asyncio

from gateway.declined import OAUTH_ERRORS
from tests.journeys.place import Place, running, write_place
from tests.journeys.token_clients import EXCHANGE, JWT, JWT_BEARER, URL, Key, client, post, write_agent

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOT, BEARER = Key("bot-1"), Key("bearer-1")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    write_place(folder, 9, limits="token_failures_per_minute = 100000")
    write_agent(folder, "bot", '[token]\nscopes = ["a", "b"]\n[[credential]]\nkind = "enrolled"\n' + BOT.toml)
    write_agent(folder, "bearer", '[token]\npop = "none"\n' + BEARER.toml)
    async with running(folder) as found:
        yield found


def with_key(**more: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", **client(BOT.assertion("bot")), **more}


REQUESTS = {
    "nothing": ({}, "invalid_request"),
    "no grant": (client("a.b.c"), "invalid_request"),
    "an unknown grant": ({"grant_type": "password", "username": "bot", "password": "x"}, "unsupported_grant_type"),
    "a code": ({"grant_type": "authorization_code", "code": "x"}, "unsupported_grant_type"),
    "no client": ({"grant_type": "client_credentials"}, "invalid_client"),
    "a client secret": ({"grant_type": "client_credentials", "client_id": "bot", "client_secret": "x"}, "invalid_client"),
    "another kind of assertion": ({**with_key(), "client_assertion_type": "saml"}, "invalid_client"),
    "an assertion that is none": ({"grant_type": "client_credentials", **client("x")}, "invalid_client"),
    "another client's id": (with_key(client_id="writer"), "invalid_client"),
    "a scope beyond": (with_key(scope="a c"), "invalid_scope"),
    "a scope twice": (with_key(scope="a a"), "invalid_scope"),
    "a scope with two spaces": (with_key(scope="a  b"), "invalid_scope"),
    "a scope with a quote": (with_key(scope='a"'), "invalid_scope"),
    "another resource": (with_key(resource="https://other.example"), "invalid_target"),
    "another audience": (with_key(audience=URL, resource="https://other.example"), "invalid_target"),
    "jwt-bearer without assertion": ({"grant_type": JWT_BEARER}, "invalid_request"),
    "jwt-bearer with the agent's own assertion": ({"grant_type": JWT_BEARER, "assertion": BOT.assertion("bot")}, "invalid_grant"),
    "jwt-bearer with a token of nobody": ({"grant_type": JWT_BEARER, "assertion": Key("x").assertion("nobody")}, "invalid_grant"),
    "an exchange of nothing": ({"grant_type": EXCHANGE, **client(BOT.assertion("bot"))}, "invalid_request"),
    "an exchange of an unknown type": (
        {"grant_type": EXCHANGE, "subject_token": "x", "subject_token_type": "saml", **client(BOT.assertion("bot"))},
        "invalid_request",
    ),
    "an exchange for a refresh token": (
        {"grant_type": EXCHANGE, "subject_token": "x", "subject_token_type": JWT, "requested_token_type": "refresh", **client(BOT.assertion("bot"))},
        "invalid_request",
    ),
    "an exchange without an actor": ({"grant_type": EXCHANGE, "subject_token": "x.y.z", "subject_token_type": JWT}, "invalid_client"),
    "an exchange of a token that is none": (
        {"grant_type": EXCHANGE, "subject_token": "x.y.z", "subject_token_type": JWT, **client(BOT.assertion("bot"))},
        "invalid_grant",
    ),
    "an actor of an unknown type": (
        {"grant_type": EXCHANGE, "subject_token": "x", "subject_token_type": JWT, "actor_token": "x", "actor_token_type": "saml"},
        "invalid_request",
    ),
    "two actors": (
        {"grant_type": EXCHANGE, "subject_token": "x", "subject_token_type": JWT, "actor_token": "x", "actor_token_type": JWT, **client("x")},
        "invalid_request",
    ),
}


@pytest.mark.parametrize(("form", "error"), REQUESTS.values(), ids=REQUESTS.keys())
async def test_what_gets_no_token_is_told_in_the_words_of_oauth(place: Place, form: dict[str, str], error: str):
    form = (
        {**form, "client_assertion": BOT.assertion("bot")} if form.get("client_assertion", "").count(".") == 2 and error != "invalid_client" else form
    )
    answer = await post(place, "/oauth2/token", form)
    assert (answer.json()["error"], answer.status_code) == (error, OAUTH_ERRORS[error].status)
    assert answer.headers["cache-control"] == "no-store" and answer.headers["content-type"] == "application/json"


@pytest.mark.parametrize("proof", ["x", BOT.proof("POST", f"{URL}/oauth2/revoke"), BOT.proof("GET", f"{URL}/oauth2/token"), BOT.assertion("bot")])
async def test_a_proof_that_is_not_for_this_is_refused_before_the_client_is_looked_at(place: Place, proof: str):
    answer = await post(place, "/oauth2/token", with_key(), dpop=proof)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


async def test_an_agent_with_bearer_tokens_only_gets_no_other(place: Place):
    form = {"grant_type": "client_credentials", **client(BEARER.assertion("bearer"))}
    answer = await post(place, "/oauth2/token", form, dpop=BEARER.proof("POST", f"{URL}/oauth2/token"))
    assert answer.json()["error"] == "invalid_dpop_proof"


async def test_an_unknown_agent_and_a_wrong_key_are_told_the_same(place: Place):
    answers = [
        await post(place, "/oauth2/token", {"grant_type": "client_credentials", **client(Key("bot-1").assertion(name))}) for name in ("bot", "nobody")
    ]
    assert answers[0].json() == answers[1].json() and {a.status_code for a in answers} == {401}


async def send(place: Place, path: str, content: bytes, kind: str = "application/x-www-form-urlencoded", **headers: str) -> httpx2.Response:
    async with httpx2.AsyncClient(base_url=place.gateway.addresses["agents"], trust_env=False, timeout=20, verify=False) as http:
        return await http.post(path, content=content, headers={"content-type": kind, **headers})


@pytest.mark.parametrize(
    ("content", "kind", "headers"),
    [
        (b"grant_type=a&grant_type=b", "application/x-www-form-urlencoded", {}),
        (b'{"grant_type":"client_credentials"}', "application/json", {}),
        (b"grant_type=client_credentials", "text/plain", {}),
        (b"grant_type=client_credentials", "application/x-www-form-urlencoded", {"content-encoding": "gzip"}),
        (b"a=" + b"x" * 70_000, "application/x-www-form-urlencoded", {}),
        (b"\xff=1", "application/x-www-form-urlencoded", {}),
    ],
)
async def test_a_request_that_is_not_one_small_form_is_refused(place: Place, content: bytes, kind: str, headers: dict[str, str]):
    answer = await send(place, "/oauth2/token", content, kind, **headers)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_parameters_in_the_query_and_secrets_in_a_header_are_not_taken(place: Place):
    assert (await send(place, "/oauth2/token?grant_type=client_credentials", b"a=b")).json()["error"] == "invalid_request"
    assert (await send(place, "/oauth2/token", b"grant_type=client_credentials", authorization="Basic Ym90Ong=")).status_code == 401


async def test_two_proofs_are_refused_by_the_grammar_of_heads(place: Place):
    async with httpx2.AsyncClient(base_url=place.gateway.addresses["agents"], trust_env=False, verify=False) as http:
        answer = await http.post("/oauth2/token", data=with_key(), headers=[("dpop", "a"), ("dpop", "b")])
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_request")


@pytest.mark.parametrize("path", ["/oauth2/token", "/oauth2/revoke", "/oauth2/introspect", "/enrol"])
async def test_nothing_is_served_to_get(place: Place, path: str):
    assert (await place.client.get(path)).status_code == 404


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 20_000])
async def test_ending_a_token_that_does_not_count_is_done_already(place: Place, token: str):
    answer = await post(place, "/oauth2/revoke", {"token": token})
    assert answer.status_code == (200 if token else 400)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'"x"',
        b"{}",
        b'{"code":1,"jwk":{},"proof":"x"}',
        b'{"code":"a","code":"b"}',
        b'{"client_id":1}',
        b'{"token":["x"]}',
        b"x" * 20_000,
    ],
)
async def test_an_enrolment_that_is_none_is_refused(place: Place, body: bytes):
    answer = await send(place, "/enrol", body, "application/json")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
