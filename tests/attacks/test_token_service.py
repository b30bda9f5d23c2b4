"""What a stranger, and an agent that wants more, may try at the token service of a running gateway, byte by byte."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import pytest
import pytest_asyncio

from gateway.doors.form import TYPE
from tests.doors.site import statuses
from tests.identities.test_jwk import RSA_KEY, roca
from tests.journeys.place import Place, records, running
from tests.journeys.test_tokens import BOT, CHILD, CI, STRICT, bot_token, deployed, foreign, own_place  # noqa: F401 - a fixture
from tests.journeys.token_clients import (
    ACCESS_TOKEN,
    EXCHANGE,
    ID_TOKEN,
    JWT,
    JWT_BEARER,
    URL,
    Key,
    call,
    claims_of,
    client,
    post,
    token,
    write_agent,
)
from tests.simulators.upstreams import echo, upstream
from tests.test_enrolling import code_for, enrol

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    async with deployed(tmp_path_factory.mktemp("place")) as found:
        for name in ("fresh", "other"):
            write_agent(found.folder, name, '[[credential]]\nkind = "enrolled"\n')
        assert await found.gateway.reload()
        yield found


def credentials(**more: str) -> dict[str, str]:
    return {"grant_type": "client_credentials", **client(BOT.assertion("bot")), **more}


async def raw(place: Place, head: str, body: bytes) -> tuple[int, dict[str, Any]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(f"{head}\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n".encode() + body)
    async with asyncio.timeout(10):
        answer = await reader.read()
    writer.close()
    return statuses(answer)[0], json.loads(answer.partition(b"\r\n\r\n")[2])


GOOD = "Content-Type: application/x-www-form-urlencoded"
HEADS = {
    "no content type": [],
    "a form of many parts": ["Content-Type: multipart/form-data; boundary=x"],
    "JSON": ["Content-Type: application/json"],
    "two content types": [GOOD, "Content-Type: application/json"],
    "two equal content types": [GOOD, GOOD],
    "a list of content types": ["Content-Type: application/x-www-form-urlencoded, text/plain"],
    "a content coding": [GOOD, "Content-Encoding: identity"],
    "HTTP Basic": [GOOD, "Authorization: Basic Ym90OmJvdA=="],
    "a bearer token": [GOOD, "Authorization: Bearer x"],
}


@pytest.mark.parametrize("fields", HEADS.values(), ids=HEADS.keys())
async def test_a_good_form_under_a_wrong_head_gets_no_token(place: Place, fields: list[str]):
    body = urlencode(credentials()).encode()
    status, answer = await raw(place, "\r\n".join(["POST /oauth2/token HTTP/1.1", *fields, f"Content-Length: {len(body)}"]), body)
    assert status in {400, 401} and "access_token" not in answer


BODIES = {
    "the grant twice": b"%b&grant_type=client_credentials",
    "the assertion twice, one of them empty": b"%b&client_assertion=",
    "the scope twice, escaped": b"scope=notes%%3Aread&%b&s%%63ope=notes%%3Awrite",
    "a NUL": b"%b&scope=notes%%00",
    "a byte order mark": b"\xef\xbb\xbf%b",
    "a line end": b"%b\r\n",
    "a second form": b"%b\n\nPOST /oauth2/token",
    "a semicolon": b"%b;scope=a",
    "too many parameters": b"%b" + b"".join(b"&p" + b"x" * n + b"=1" for n in range(40)),
    "too large": b"%b&pad=" + b"A" * 70_000,
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
async def test_a_form_with_two_readings_gets_no_token_and_uses_no_assertion_up(place: Place, body: bytes):
    form = urlencode(credentials()).encode()
    spoiled = body % form
    status, answer = await raw(place, f"POST /oauth2/token HTTP/1.1\r\nContent-Type: {TYPE}\r\nContent-Length: {len(spoiled)}", spoiled)
    assert (status, answer.get("error")) == (400, "invalid_request")
    status, answer = await raw(place, f"POST /oauth2/token HTTP/1.1\r\nContent-Type: {TYPE}\r\nContent-Length: {len(form)}", form)
    assert status == 200


@pytest.mark.parametrize(
    "path", ["/oauth2/token/", "//oauth2/token", "/OAuth2/token", "/oauth2/./token", "/oauth2%2ftoken", "/tools/../oauth2/token", "/oauth2/token;x"]
)
async def test_the_token_endpoint_has_one_path(place: Place, path: str):
    body = urlencode(credentials()).encode()
    status, answer = await raw(place, f"POST {path} HTTP/1.1\r\nContent-Type: {TYPE}\r\nContent-Length: {len(body)}", body)
    assert status in {400, 404} and "access_token" not in answer


async def test_an_assertion_is_used_up_at_every_endpoint_for_every_other(place: Place):
    text = await bot_token(place)
    shown = client(BOT.assertion("bot"))
    assert (await post(place, "/oauth2/introspect", {"token": text, **shown})).json()["active"] is True
    for path, form in (("/oauth2/token", {"grant_type": "client_credentials"}), ("/oauth2/introspect", {"token": text})):
        again = await post(place, path, {**form, **shown})
        assert (again.status_code, again.json()["error"]) == (401, "invalid_client")


async def statement(place: Place, **more: str) -> str:
    """What the gateway says of itself to other services, one of which plays it back."""
    return (await place.gateway.trust.voucher("bot", URL, {"client_id": "bot", **more})).reveal()


async def test_one_kind_of_token_is_never_taken_for_another(place: Place):
    access, user = await bot_token(place), foreign("https://idp.example", email="alice@example.com")
    mine = await statement(place)
    proof = STRICT.proof("POST", f"{URL}/oauth2/token")
    for text in (access, user, mine, proof, await statement(place, typ="at+jwt")):
        answer = await post(place, "/oauth2/token", {"grant_type": "client_credentials", **client(text)})
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
    for text in (access, user, mine, proof, BOT.assertion("bot")):
        answer = await post(place, "/oauth2/token", {"grant_type": JWT_BEARER, "assertion": text})
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    for text in (mine, proof, BOT.assertion("bot"), foreign("https://ci.example")):
        form = {"grant_type": EXCHANGE, "subject_token": text, "subject_token_type": JWT, **client(CHILD.assertion("child"))}
        assert (await post(place, "/oauth2/token", form)).status_code == 400
        assert (await call(place, text)).status_code == 401


@pytest.mark.parametrize(
    "audience", [f"{URL}/oauth2/introspect", f"{URL}/tools", f"{URL}/enrol", f"{URL}/", "gateway.test", URL.upper(), [URL, f"{URL}/oauth2/token"]]
)
async def test_an_assertion_for_somewhere_else_proves_nothing(place: Place, audience: Any):
    answer = await post(place, "/oauth2/token", {"grant_type": "client_credentials", **client(BOT.assertion("bot", aud=audience))})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


SCOPES = [
    "notes:write",
    "NOTES:READ",
    "notes:read notes:write",
    "notes:read\tnotes:write",
    " notes:read",
    "notes:read ",
    "notes:read\u00a0",
    "notes:\u200bread",
    "*",
    "notes:*",
]


@pytest.mark.parametrize("scope", [*SCOPES, "other", "notes", "notes:read,notes:write", "n\u043etes:read"])
async def test_an_exchange_gives_nothing_more_by_any_spelling_of_a_scope(place: Place, scope: str):
    form = {
        "grant_type": EXCHANGE,
        "subject_token": await bot_token(place),
        "subject_token_type": ACCESS_TOKEN,
        "scope": scope,
        **client(CHILD.assertion("child")),
    }
    answer = await post(place, "/oauth2/token", form)
    assert (answer.status_code, answer.json()["error"] in {"invalid_scope", "invalid_request"}) == (400, True)


async def test_a_narrow_token_becomes_no_wider_one_by_any_way_round(place: Place):
    narrow = await bot_token(place, scope="notes:write")
    form = {"grant_type": EXCHANGE, "subject_token_type": ACCESS_TOKEN, "subject_token": narrow}
    child = claims_of((await token(place, {**form, **client(CHILD.assertion("child"))}))["access_token"])
    assert "scope" not in child, "what both may have is nothing"
    for more in ({"scope": "notes:read"}, {"audience": "https://other.example"}, {"resource": f"{URL}/admin"}, {"client_id": "bot"}):
        assert (await post(place, "/oauth2/token", {**form, **more, **client(CHILD.assertion("child"))})).status_code in {400, 401}
    assert child["exp"] <= claims_of(narrow)["exp"] and child["exp"] - child["iat"] <= 120


async def test_an_id_token_for_an_application_is_no_users_leave_to_act(place: Place):
    for claims in ({"aud": "some-application"}, {"aud": [URL, "some-application"]}, {"aud": "some-application", "azp": URL}):
        user = foreign("https://idp.example", email="alice@example.com", **claims)
        for kind in (ID_TOKEN, JWT, ACCESS_TOKEN):
            form = {"grant_type": EXCHANGE, "subject_token": user, "subject_token_type": kind, **client(BOT.assertion("bot"))}
            assert (await post(place, "/oauth2/token", form)).json()["error"] == "invalid_grant"


async def test_no_address_in_a_token_is_ever_asked_for_keys(place: Place):
    async with upstream(echo) as evil:
        ours = {"kty": "EC", "kid": "ec"}
        for header in ({"jku": evil.url}, {"x5u": evil.url}, {"kid": evil.url}, {"kid": f"../..{evil.url}"}, {"jwk": ours, "jku": evil.url}):
            for issuer in ("https://ci.example", evil.url):
                text = CI.token(header, iss=issuer, aud=URL)
                assert (await post(place, "/oauth2/token", {"grant_type": JWT_BEARER, "assertion": text})).json()["error"] == "invalid_grant"
                assert (await call(place, text)).status_code == 401
        assert evil.seen == []


async def test_of_two_who_enrol_with_one_code_at_once_one_does(place: Place):
    code, keys = code_for(place, "fresh"), [Key("") for _ in range(6)]
    answers = await asyncio.gather(*(enrol(place, code, key) for key in keys))
    assert sorted(answer.status_code for answer in answers) == [201, *[400] * 5]
    for answer, key in zip(answers, keys, strict=True):
        key.kid = key.thumbprint
        tried = await post(place, "/oauth2/token", {"grant_type": "client_credentials", **client(key.assertion("fresh"))})
        assert (tried.status_code == 200) == (answer.status_code == 201)


async def test_one_key_is_one_agents(place: Place):
    key = Key("")
    answers = await asyncio.gather(*(enrol(place, code_for(place, name), key) for name in ("fresh", "other")))
    assert sorted(answer.status_code for answer in answers) == [201, 400]


async def test_a_code_is_not_guessed_and_guessing_is_slowed_down(own_place: Place):  # noqa: F811
    write_agent(own_place.folder, "fresh", '[[credential]]\nkind = "enrolled"\n')
    assert await own_place.gateway.reload()
    code, key = code_for(own_place, "fresh"), Key("")
    guesses = [
        code[:-1] + ("0" if code[-1] != "0" else "1"),
        code.upper(),
        f" {code}",
        f"{code}\n",
        code[6:],
        "%",
        "' OR 1=1 --",
        "enrol-" + "0" * 40,
    ]
    for guess in guesses:
        assert (await enrol(own_place, guess, key)).json()["error"] == "invalid_grant"
    for _ in range(200):
        answer = await enrol(own_place, "enrol-" + "0" * 40, key)
        if answer.status_code != 400:
            break
    assert (answer.status_code, answer.json()["error"]) == (429, "slow_down")
    assert len(records(own_place.folder, "token")) == 0, "a stranger writes no records of its own"


WEAK = {
    "RSA with the fingerprint of ROCA": {**RSA_KEY, "n": roca()},
    "RSA of 512 bits": {"kty": "RSA", "e": "AQAB", "n": base64.urlsafe_b64encode(b"\xff" * 64).rstrip(b"=").decode()},
    "RSA with the exponent one": {"kty": "RSA", "e": "AQ", "n": base64.urlsafe_b64encode(b"\xff" * 256).rstrip(b"=").decode()},
    "the neutral point of Ed25519": {"kty": "OKP", "crv": "Ed25519", "x": "AQAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
    "P-521": {"kty": "EC", "crv": "P-521", "x": "AA", "y": "AA"},
    "the point at infinity": {"kty": "EC", "crv": "P-256", "x": "A" * 43, "y": "A" * 43},
}


@pytest.mark.parametrize("jwk", WEAK.values(), ids=WEAK.keys())
async def test_a_weak_key_is_not_enrolled(place: Place, jwk: dict[str, Any]):
    answer = await enrol(place, code_for(place, "fresh"), Key(""), jwk=jwk)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    assert "not a public key to trust" in answer.json()["error_description"]


async def test_a_proof_that_was_used_is_used_after_a_restart_whatever_time_it_names(own_place: Place):  # noqa: F811
    text = (
        await token(
            own_place, {"grant_type": "client_credentials", **client(STRICT.assertion("strict"))}, dpop=STRICT.proof("POST", f"{URL}/oauth2/token")
        )
    )["access_token"]
    url, now = f"{URL}/tools/notes/notes/7", claims_of(text)["iat"]
    proofs = [STRICT.proof("GET", url, text, iat=now + ahead) for ahead in (0, 30, 55)]
    assert [(await call(own_place, text, scheme="DPoP", proof=proof)).status_code for proof in proofs] == [200] * 3
    await own_place.gateway.stop()
    await asyncio.sleep(1.1)  # times in proofs are whole seconds
    async with running(own_place.folder) as again:
        assert [(await call(again, text, scheme="DPoP", proof=proof)).status_code for proof in proofs] == [401] * 3
        assert (await call(again, text, scheme="DPoP", proof=STRICT.proof("GET", url, text))).status_code == 200


async def test_a_token_that_is_over_buys_no_new_one(place: Place):
    text = await bot_token(place)
    assert (await post(place, "/oauth2/revoke", {"token": text})).status_code == 200
    for more in (
        {"subject_token": text, **client(CHILD.assertion("child"))},
        {"subject_token": await bot_token(place), "actor_token": text, "actor_token_type": JWT},
    ):
        answer = await post(place, "/oauth2/token", {"grant_type": EXCHANGE, "subject_token_type": ACCESS_TOKEN, **more})
        assert answer.json()["error"] in {"invalid_grant", "invalid_client"}
