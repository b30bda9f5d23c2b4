"""Tokens as agents get them from a running gateway, and what they are good for."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.stores.once import MemoryOnce
from gateway.trust import Trust
from tests.identify.foreigners import Foreigner
from tests.identify.forge import ABSENT
from tests.journeys.place import Place, records, running, verified, write_place
from tests.journeys.token_clients import (
    ACCESS_TOKEN,
    EXCHANGE,
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

pytestmark = pytest.mark.asyncio(loop_scope="module")

BOT, CHILD, STRICT = Key("bot-1"), Key("child-1"), Key("strict-1")
CI = Foreigner()
ISSUERS = """
schema = 1
[issuer.gateway]
kind = "self"
[issuer.ci]
kind = "oidc"
url = "https://ci.example"
jwks = "file:../ci.json"
audience = "http://gateway.test"
algs = ["ES256"]
[issuer.idp]
kind = "oidc"
url = "https://idp.example"
jwks = "file:../ci.json"
audience = "http://gateway.test"
algs = ["ES256"]
user_claim = "email"
[issuer.mesh]
kind = "spiffe"
trust_domain = "example.org"
jwks = "file:../mesh.json"
audience = "http://gateway.test"
algs = ["ES256"]
use = "direct"
"""


def foreign(url: str, **claims: object) -> str:
    now = int(time.time())
    return CI.token(**{"iss": url, "aud": URL, "iat": now, "exp": now + 300, "jti": f"j{time.perf_counter_ns()}", **claims})


@contextlib.asynccontextmanager
async def deployed(tmp_path: Path) -> AsyncIterator[Place]:
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        (tmp_path / "identities" / "issuers.toml").write_text(ISSUERS)
        (tmp_path / "ci.json").write_text(json.dumps(CI.jwks()))
        svid_key = {**CI.jwks()["keys"][0], "use": "jwt-svid"}
        (tmp_path / "mesh.json").write_text(json.dumps({"keys": [svid_key], "spiffe_sequence": 1, "spiffe_refresh_hint": 300}))
        scopes = '[token]\nscopes = ["notes:read", "notes:write"]\nttl = "15m"\n'
        parent = '[delegation]\nmay_act_for_users = true\nuser_issuers = ["idp"]\nmay_delegate_to = ["child"]\nmax_depth = 1\n'
        federated = '[[credential]]\nkind = "federated"\nissuer = "ci"\nmatch = { sub = "repo:acme/site" }\n'
        federated += '[[credential]]\nkind = "federated"\nissuer = "mesh"\nmatch = { sub = "spiffe://example.org/bot" }\n'
        write_agent(tmp_path, "bot", scopes + parent + BOT.toml + federated)
        write_agent(tmp_path, "child", '[token]\nscopes = ["notes:read", "other"]\n[delegation]\nmay_act_for_users = true\n' + CHILD.toml)
        write_agent(tmp_path, "strict", '[token]\npop = "required"\n' + STRICT.toml)
        async with running(tmp_path) as found:
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    """One gateway for all tests that only add to it."""
    async with deployed(tmp_path_factory.mktemp("place")) as found:
        yield found


@pytest_asyncio.fixture(loop_scope="module")
async def own_place(tmp_path: Path) -> AsyncIterator[Place]:
    async with deployed(tmp_path) as found:
        yield found


async def bot_token(place: Place, **more: str) -> str:
    found = await token(place, {"grant_type": "client_credentials", **client(BOT.assertion("bot")), **more})
    text: str = found["access_token"]
    return text


async def test_an_agent_with_a_key_gets_a_token_and_calls_with_it(place: Place):
    answer = await token(place, {"grant_type": "client_credentials", **client(BOT.assertion("bot")), "scope": "notes:read"})
    assert (answer["token_type"], answer["expires_in"], answer["scope"]) == ("Bearer", 900, "notes:read")
    claims = claims_of(answer["access_token"])
    assert (claims["sub"], claims["client_id"], claims["gw"]) == ("agent:bot", "bot", {"auth": "key", "epoch": 0})
    assert (await call(place, answer["access_token"])).status_code == 200
    record = records(place.folder, "token")[-1]
    assert (record["agent"], record["grant"], record["jti"], record["code"]) == ("bot", "client_credentials", claims["jti"], "")
    assert answer["access_token"].split(".")[2] not in json.dumps(record)
    assert verified(place.folder).ok


async def test_an_assertion_is_good_once_even_when_it_comes_twice_at_the_same_time(place: Place):
    form = {"grant_type": "client_credentials", **client(BOT.assertion("bot"))}
    answers = await asyncio.gather(*(post(place, "/oauth2/token", form) for _ in range(6)))
    assert sorted(a.status_code for a in answers) == [200, 401, 401, 401, 401, 401]
    assert {a.json()["error"] for a in answers if a.status_code == 401} == {"invalid_client"}


async def test_a_workload_token_of_another_issuer_becomes_one_of_ours(place: Place):
    assertion = foreign("https://ci.example")
    answer = await token(place, {"grant_type": JWT_BEARER, "assertion": assertion})
    assert claims_of(answer["access_token"])["gw"]["auth"] == "issuer:ci"
    assert (await call(place, answer["access_token"])).status_code == 200
    again = await post(place, "/oauth2/token", {"grant_type": JWT_BEARER, "assertion": assertion})
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert (await call(place, assertion)).status_code == 401, "its issuer is for exchange only"


async def test_a_jwt_svid_may_be_used_directly_where_its_issuer_allows_it(place: Place):
    svid = foreign("", iss=ABSENT, sub="spiffe://example.org/bot", jti=ABSENT)
    assert (await call(place, svid)).status_code == 200
    assert (await call(place, svid)).status_code == 200
    assert [r["who"]["iss"] for r in records(place.folder, "call")[-2:]] == ["spiffe://example.org"] * 2
    assert (await call(place, foreign("", iss=ABSENT, sub="spiffe://other.org/bot"))).status_code == 401
    assert (await call(place, foreign("", iss=ABSENT, sub="spiffe://example.org/other"))).status_code == 401


async def test_a_sub_agent_gets_less_for_a_shorter_time_and_the_chain_is_seen(place: Place):
    parent = await bot_token(place)
    form = {"grant_type": EXCHANGE, "subject_token": parent, "subject_token_type": ACCESS_TOKEN, **client(CHILD.assertion("child"))}
    answer = await token(place, form)
    claims = claims_of(answer["access_token"])
    assert (answer["scope"], answer["issued_token_type"]) == ("notes:read", ACCESS_TOKEN)
    assert answer["expires_in"] <= 120
    assert (claims["sub"], claims["client_id"], claims["act"]) == ("agent:bot", "child", {"sub": "agent:child"})
    assert claims["gw"]["parents"] == [claims_of(parent)["jti"]]
    assert (await call(place, answer["access_token"])).status_code == 200
    assert records(place.folder, "call")[-1]["who"]["act"] == ["bot"]
    wider = await post(place, "/oauth2/token", {**form, "scope": "notes:write", **client(CHILD.assertion("child"))})
    assert (wider.status_code, wider.json()["error"]) == (400, "invalid_scope")


async def test_delegation_goes_one_way_and_no_deeper_than_it_may(own_place: Place):
    child = (await token(own_place, {"grant_type": "client_credentials", **client(CHILD.assertion("child"))}))["access_token"]
    form = {"grant_type": EXCHANGE, "subject_token_type": ACCESS_TOKEN}
    back = await post(own_place, "/oauth2/token", {**form, "subject_token": child, **client(BOT.assertion("bot"))})
    assert (back.status_code, back.json()["error"]) == (403, "access_denied")
    same = await post(own_place, "/oauth2/token", {**form, "subject_token": await bot_token(own_place), **client(BOT.assertion("bot"))})
    assert same.json()["error"] == "access_denied"
    stranger = await post(own_place, "/oauth2/token", {**form, "subject_token": await bot_token(own_place), **client(STRICT.assertion("strict"))})
    assert stranger.json()["error"] in {"access_denied", "invalid_dpop_proof"}
    refused = [r for r in records(own_place.folder, "token") if r["code"]]
    assert [(r["agent"], r["code"]) for r in refused][:2] == [("bot", "access_denied"), ("bot", "access_denied")]


async def test_an_agent_acts_for_a_user_whose_token_it_has(place: Place):
    user = foreign("https://idp.example", sub="1234", email="alice@example.com")
    form = {"grant_type": EXCHANGE, "subject_token": user, "subject_token_type": JWT, **client(BOT.assertion("bot"))}
    answer = await token(place, form)
    claims = claims_of(answer["access_token"])
    assert (claims["sub"], claims["act"]) == ("user:idp:alice@example.com", {"sub": "agent:bot"})
    assert (await call(place, answer["access_token"])).status_code == 200
    assert records(place.folder, "call")[-1]["who"]["user"] == "idp:alice@example.com"
    chained = {
        "grant_type": EXCHANGE,
        "subject_token": answer["access_token"],
        "subject_token_type": ACCESS_TOKEN,
        **client(CHILD.assertion("child")),
    }
    child = claims_of((await token(place, chained))["access_token"])
    assert (child["sub"], child["act"]) == ("user:idp:alice@example.com", {"sub": "agent:child", "act": {"sub": "agent:bot"}})


@pytest.mark.parametrize(
    "claims",
    [
        {"email": "alice"},
        {"iss": "https://ci.example", "email": "alice@example.com"},
        {"email": 'al"ice'},
        {"email": ABSENT},
        {"email": "a@b.c", "act": {"sub": "somebody"}},
        {"email": "a@b.c", "may_act": {"sub": "agent:child"}},
        {"email": "a@b.c", "cnf": {"jkt": "x"}},
        {"email": "a@b.c", "aud": "https://other.example"},
    ],
)
async def test_a_users_token_that_is_not_for_this_is_not_taken(place: Place, claims: dict[str, object]):
    allowed = claims == {"email": "alice"}
    user = foreign("https://idp.example", **claims)
    form = {"grant_type": EXCHANGE, "subject_token": user, "subject_token_type": JWT, **client(BOT.assertion("bot"))}
    answer = await post(place, "/oauth2/token", form)
    assert (answer.status_code, answer.json().get("error")) == ((200, None) if allowed else (400, "invalid_grant"))


async def test_a_users_token_is_not_taken_once_the_key_of_its_issuer_is_denied(own_place: Place):
    user = foreign("https://idp.example", email="alice@example.com")
    form = {"grant_type": EXCHANGE, "subject_token": user, "subject_token_type": JWT}
    assert (await post(own_place, "/oauth2/token", form | client(BOT.assertion("bot")))).status_code == 200
    denial = 'schema = 1\n[[denial]]\nkid = "ec"\nreason = "stolen"\n'
    (own_place.folder / "identities" / "revoked.toml").write_text(denial)
    assert await own_place.gateway.reload()
    assert (await post(own_place, "/oauth2/token", form | client(BOT.assertion("bot")))).json()["error"] == "invalid_grant"


async def test_no_token_is_given_by_a_file_that_another_process_has_replaced(own_place: Place):
    """Of several workers one loads a narrowed file first. What the others would issue from the old one had the epoch of after the change."""
    trust = own_place.gateway.trust
    other = Trust.open(own_place.gateway.settings.state, lambda *_: None)
    narrowed = {**trust.halts.board.rights, "bot": b'{"active":false}'}
    assert await other.halts.note_rights(narrowed, lambda before, after: before != after) == ("bot",)
    await trust.look(closely=True)
    answer = await post(own_place, "/oauth2/token", {"grant_type": "client_credentials", **client(BOT.assertion("bot"))})
    assert (answer.status_code, answer.json()["error"]) == (503, "temporarily_unavailable")
    assert (await token(own_place, {"grant_type": "client_credentials", **client(CHILD.assertion("child"))}))["scope"]
    await other.close()


async def test_strangers_with_proofs_use_up_no_room_of_calls(own_place: Place):
    trust = own_place.gateway.trust
    trust.proofs._once = MemoryOnce(entries_max=4)
    for number in range(8):
        proof = Key("").proof("POST", f"{URL}/oauth2/token")
        assert (
            await post(own_place, "/oauth2/token", {"grant_type": "client_credentials", "client_id": f"x{number}"}, dpop=proof)
        ).status_code == 401
    key = Key("")
    form = {"grant_type": "client_credentials", **client(BOT.assertion("bot"))}
    bound = (await token(own_place, form, dpop=key.proof("POST", f"{URL}/oauth2/token")))["access_token"]
    proof = key.proof("GET", f"{URL}/tools/notes/notes/7", bound)
    assert (await call(own_place, bound, scheme="DPoP", proof=proof)).status_code == 200


async def test_an_agent_that_may_not_act_for_users_of_an_issuer_gets_none(place: Place):
    user = foreign("https://idp.example", email="alice@example.com")
    form = {"grant_type": EXCHANGE, "subject_token": user, "subject_token_type": JWT, **client(CHILD.assertion("child"))}
    assert (await post(place, "/oauth2/token", form)).json()["error"] == "invalid_grant"


async def test_an_actor_may_show_a_token_of_its_own_instead_of_an_assertion(place: Place):
    child = (await token(place, {"grant_type": "client_credentials", **client(CHILD.assertion("child"))}))["access_token"]
    form = {"grant_type": EXCHANGE, "subject_token": await bot_token(place), "subject_token_type": ACCESS_TOKEN}
    form |= {"actor_token": child, "actor_token_type": ACCESS_TOKEN}
    delegated = (await token(place, form))["access_token"]
    assert claims_of(delegated)["act"] == {"sub": "agent:child"}
    again = await post(place, "/oauth2/token", {**form, "actor_token": delegated})
    assert again.json()["error"] == "invalid_client", "a delegated token is not the agent's own"


async def test_a_token_bound_to_a_key_is_good_with_a_proof_of_it_and_never_without(place: Place):
    url = f"{URL}/tools/notes/notes/7"
    form = {"grant_type": "client_credentials", **client(STRICT.assertion("strict"))}
    answer = await token(place, form, dpop=STRICT.proof("POST", f"{URL}/oauth2/token"))
    text = answer["access_token"]
    assert (answer["token_type"], claims_of(text)["cnf"]) == ("DPoP", {"jkt": STRICT.thumbprint})
    proof = STRICT.proof("GET", url, text)
    assert (await call(place, text, scheme="DPoP", proof=proof)).status_code == 200
    assert records(place.folder, "call")[-1]["authz"]["ctx"]["auth"]["pop"] is True
    assert (await call(place, text, scheme="DPoP", proof=proof)).status_code == 401, "used before"
    assert (await call(place, text)).status_code == 401, "as a bearer token"
    assert (await call(place, text, proof=STRICT.proof("GET", url, text))).status_code == 401, "as a bearer token with a proof"
    assert (await call(place, text, scheme="DPoP")).status_code == 401, "without a proof"
    assert (await call(place, text, scheme="DPoP", proof=BOT.proof("GET", url, text))).status_code == 401, "by another key"
    assert (await call(place, text, scheme="DPoP", proof=STRICT.proof("GET", url + "8", text))).status_code == 401, "for another path"
    assert (await call(place, text, scheme="DPoP", proof=STRICT.proof("POST", url, text))).status_code == 401, "for another method"
    assert (await call(place, text, scheme="DPoP", proof=STRICT.proof("GET", url, "other"))).status_code == 401, "for another token"
    assert (await call(place, text, scheme="DPoP", proof=STRICT.proof("GET", url + "?a=b#c", text))).status_code == 200, (
        "query and fragment do not count"
    )


async def test_an_agent_that_must_bind_its_tokens_gets_no_other(place: Place):
    answer = await post(place, "/oauth2/token", {"grant_type": "client_credentials", **client(STRICT.assertion("strict"))})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_dpop_proof")


async def test_a_bearer_token_gains_nothing_from_a_proof(place: Place):
    text = await bot_token(place)
    proof = BOT.proof("GET", f"{URL}/tools/notes/notes/7", text)
    assert (await call(place, text, scheme="DPoP", proof=proof)).status_code == 401


async def test_the_list_of_tools_takes_bound_tokens_with_their_proof_too(place: Place):
    form = {"grant_type": "client_credentials", **client(BOT.assertion("bot"))}
    text = (await token(place, form, dpop=BOT.proof("POST", f"{URL}/oauth2/token")))["access_token"]
    assert (await call(place, text, scheme="DPoP", proof=BOT.proof("GET", f"{URL}/v1/tools", text), path="/v1/tools")).status_code == 200
    assert (await call(place, text, path="/v1/tools")).status_code == 401


async def test_what_comes_of_a_bound_token_is_bound_too(place: Place):
    parent = await token(place, {"grant_type": "client_credentials", **client(BOT.assertion("bot"))}, dpop=BOT.proof("POST", f"{URL}/oauth2/token"))
    form = {"grant_type": EXCHANGE, "subject_token": parent["access_token"], "subject_token_type": ACCESS_TOKEN}
    assert (await post(place, "/oauth2/token", {**form, **client(CHILD.assertion("child"))})).json()["error"] == "invalid_dpop_proof"
    answer = await token(place, {**form, **client(CHILD.assertion("child"))}, dpop=CHILD.proof("POST", f"{URL}/oauth2/token"))
    assert answer["token_type"] == "DPoP"


async def test_a_revoked_token_stops_at_once_with_what_came_of_it_and_after_a_restart(own_place: Place):
    parent = await bot_token(own_place)
    form = {"grant_type": EXCHANGE, "subject_token": parent, "subject_token_type": ACCESS_TOKEN, **client(CHILD.assertion("child"))}
    child = (await token(own_place, form))["access_token"]
    assert [(await call(own_place, text)).status_code for text in (parent, child)] == [200, 200]
    assert (await post(own_place, "/oauth2/revoke", {"token": parent})).status_code == 200
    assert [(await call(own_place, text)).status_code for text in (parent, child)] == [401, 401]
    assert records(own_place.folder, "token")[-1]["grant"] == "revoke"
    await own_place.gateway.stop()
    async with running(own_place.folder) as again:
        assert [(await call(again, text)).status_code for text in (parent, child)] == [401, 401]
        assert (await call(again, await bot_token(again))).status_code == 200


async def test_a_used_assertion_stays_used_after_a_restart(own_place: Place):
    form = {"grant_type": "client_credentials", **client(BOT.assertion("bot"))}
    await token(own_place, form)
    await own_place.gateway.stop()
    async with running(own_place.folder) as again:
        assert (await post(again, "/oauth2/token", form)).status_code == 401


async def test_a_token_is_described_to_those_who_are_in_it_and_to_nobody_else(place: Place):
    text = await bot_token(place)
    mine = await post(place, "/oauth2/introspect", {"token": text, **client(BOT.assertion("bot"))})
    assert mine.json()["active"] is True and mine.json()["sub"] == "agent:bot" and mine.json()["token_type"] == "Bearer"
    other = await post(place, "/oauth2/introspect", {"token": text, **client(CHILD.assertion("child"))})
    assert other.json() == {"active": False}
    nobody = await post(place, "/oauth2/introspect", {"token": text})
    assert (nobody.status_code, nobody.json()["error"]) == (401, "invalid_client")
    assert (await post(place, "/oauth2/introspect", {"token": "x.y.z", **client(BOT.assertion("bot"))})).json() == {"active": False}


async def test_tokens_are_never_cached_and_strangers_leave_one_record_a_window(own_place: Place):
    answer = await post(own_place, "/oauth2/token", {"grant_type": "client_credentials", **client(BOT.assertion("bot"))})
    assert answer.headers["cache-control"] == "no-store"
    for _ in range(5):
        await post(own_place, "/oauth2/token", {"grant_type": "client_credentials", **client(Key("bot-1").assertion("bot"))})
    [record] = await own_place.settled("refusals", 1)
    assert record["total"] == 5 and all("signature does not verify" in sample["reason"] for sample in record["samples"])
    assert len(records(own_place.folder, "token")) == 1


async def test_who_fails_too_often_is_slowed_down_and_nobody_else_at_the_same_address(own_place: Place):
    for _ in range(600):  # one a second leaks away
        slowed = await post(own_place, "/oauth2/token", {"grant_type": "client_credentials", "client_id": "bot"})
        if slowed.status_code != 401:
            break
    assert (slowed.status_code, slowed.json()["error"], slowed.headers["retry-after"]) == (429, "slow_down", "1")
    assert (await token(own_place, {"grant_type": "client_credentials", **client(CHILD.assertion("child"))}))["token_type"] == "Bearer"
