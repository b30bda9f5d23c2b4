"""An agent enrols a key of its own with a one-time code, and is that agent from then on; nothing else lets a key in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from gateway.stores.halts import Kind
from tests.journeys.place import Place, records, running, write_place
from tests.journeys.token_clients import URL, Key, client, post, token, write_agent

pytestmark = pytest.mark.asyncio(loop_scope="module")
ENROL = f"{URL}/enrol"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    write_place(folder, 9, limits="token_failures_per_minute = 100000")
    write_agent(folder, "bot", '[[credential]]\nkind = "enrolled"\n')
    write_agent(folder, "closed", "")
    async with running(folder) as found:
        yield found


def code_for(place: Place, agent: str = "bot") -> str:
    return place.gateway.trust.enrolments.new_code(agent)


async def enrol(place: Place, code: str, key: Key, **changes: Any) -> httpx2.Response:
    body = {"code": code, "jwk": key.jwk, "proof": key.proof("POST", ENROL, code)} | changes
    async with httpx2.AsyncClient(base_url=place.gateway.addresses["agents"], trust_env=False, verify=False) as http:
        return await http.post("/enrol", json=body)


async def test_a_code_and_a_proof_register_a_key_which_then_gets_tokens(place: Place):
    key = Key("")
    answer = await enrol(place, code_for(place), key)
    assert answer.status_code == 201
    assert answer.json() == {"agent": "bot", "kid": key.thumbprint, "issuer": URL, "token_endpoint": f"{URL}/oauth2/token"}
    key.kid = key.thumbprint
    found = await token(place, {"grant_type": "client_credentials", **client(key.assertion("bot"))})
    assert found["token_type"] == "Bearer"
    enrolled, issued = records(place.folder, "token")[-2:]
    assert (enrolled["grant"], enrolled["agent"], enrolled["jkt"], issued["auth"]) == ("enrol", "bot", key.thumbprint, "enrolled")


async def test_a_code_is_good_once(place: Place):
    code = code_for(place)
    assert (await enrol(place, code, Key(""))).status_code == 201
    again = await enrol(place, code, Key(""))
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")


async def test_what_is_wrong_with_an_enrolment_uses_no_code_up(place: Place):
    code, key, other = code_for(place), Key(""), Key("")
    wrong: list[dict[str, Any]] = [
        {"proof": other.proof("POST", ENROL, code)},
        {"proof": key.proof("POST", ENROL, "another code")},
        {"proof": key.proof("POST", ENROL)},
        {"proof": key.proof("POST", f"{URL}/oauth2/token", code)},
        {"proof": key.proof("GET", ENROL, code)},
        {"proof": "x"},
    ]
    for changes in wrong:
        assert (await enrol(place, code, key, **changes)).json()["error"] == "invalid_dpop_proof"
    for jwk in ({**key.jwk, "d": "AAAA"}, {"kty": "oct", "k": "AAAA"}, {**key.jwk, "use": "enc"}):
        assert (await enrol(place, code, key, jwk=jwk)).json()["error"] == "invalid_request"
    assert (await enrol(place, code, key)).status_code == 201


@pytest.mark.parametrize(("what", "name"), [("agent", "bot"), ("all", "")])
async def test_an_agent_that_is_halted_enrols_no_key_and_keeps_its_code(place: Place, what: Kind, name: str):
    """What a thief does while an agent is stopped must not count when it goes on."""
    code, key, halts = code_for(place), Key(""), place.gateway.trust.halts
    halts.halt(what, name, "a test", "uid:0")
    refused = await enrol(place, code, key)
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    halts.lift(what, name)
    assert (await enrol(place, code, key)).status_code == 201


async def test_an_agent_whose_file_does_not_ask_for_enrolled_keys_gets_none(place: Place):
    assert (await enrol(place, code_for(place, "closed"), Key(""))).json()["error"] == "invalid_grant"
    assert (await enrol(place, code_for(place, "nobody"), Key(""))).json()["error"] == "invalid_grant"


async def test_a_key_that_is_denied_gets_no_more_tokens(place: Place):
    key = Key("")
    assert (await enrol(place, code_for(place), key)).status_code == 201
    key.kid = key.thumbprint
    denial = f'schema = 1\n[[denial]]\nkid = "{key.thumbprint}"\nreason = "the laptop is lost"\n'
    (place.folder / "identities" / "revoked.toml").write_text(denial)
    assert await place.gateway.reload()
    answer = await post(place, "/oauth2/token", {"grant_type": "client_credentials", **client(key.assertion("bot"))})
    assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")
