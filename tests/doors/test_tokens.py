"""The public facts about tokens: true, cacheable, and without anything private."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from starlette.applications import Starlette

from gateway.doors.tokens import routes
from gateway.identify import SigningKeys

ISSUER = "https://gw.example.com"
AUDIENCE = "https://gw.example.com/tools"


@pytest.fixture
def keys(tmp_path: Path) -> SigningKeys:
    return SigningKeys.open(tmp_path / "keys")


async def ask(keys: SigningKeys, path: str, method: str = "GET") -> httpx2.Response:
    app = Starlette(routes=[*routes(keys.jwks, ISSUER, AUDIENCE)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ISSUER) as client:
        return await client.request(method, path)


@pytest.mark.parametrize("path", ["/.well-known/jwks.json", "/oauth2/jwks"])
async def test_the_public_keys_are_served_with_a_life(keys: SigningKeys, path: str):
    answer = await ask(keys, path)
    assert answer.status_code == 200 and answer.json() == keys.jwks()
    assert answer.headers["cache-control"] == "public, max-age=300"
    assert answer.headers["content-type"] == "application/json"


async def test_no_private_member_of_a_key_is_served(keys: SigningKeys):
    secret = keys.signer.private.private_numbers().private_value
    answer = await ask(keys, "/oauth2/jwks")
    assert not {"d", "p", "q", "k"} & set(answer.json()["keys"][0])
    assert format(secret, "x") not in answer.text


@pytest.mark.parametrize("path", ["/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource/tools"])
async def test_the_resource_says_what_it_is_and_who_issues_its_tokens(keys: SigningKeys, path: str):
    found: dict[str, Any] = (await ask(keys, path)).json()
    assert (found["resource"], found["authorization_servers"], found["bearer_methods_supported"]) == (AUDIENCE, [ISSUER], ["header"])


async def test_the_issuer_advertises_only_what_exists(keys: SigningKeys):
    found = (await ask(keys, "/.well-known/oauth-authorization-server")).json()
    assert (found["issuer"], found["jwks_uri"], found["response_types_supported"]) == (ISSUER, ISSUER + "/.well-known/jwks.json", [])
    assert (await ask(keys, found["jwks_uri"].removeprefix(ISSUER))).json() == keys.jwks()
    assert {name: url.removeprefix(ISSUER) for name, url in found.items() if name.endswith("_endpoint")} == {
        "token_endpoint": "/oauth2/token",
        "revocation_endpoint": "/oauth2/revoke",
        "introspection_endpoint": "/oauth2/introspect",
    }
    assert "none" not in found["token_endpoint_auth_methods_supported"] and not any("HS" in alg for alg in found["dpop_signing_alg_values_supported"])


async def test_clouds_find_the_same_facts_by_openid_discovery(keys: SigningKeys):
    found, server = [(await ask(keys, f"/.well-known/{name}")).json() for name in ("openid-configuration", "oauth-authorization-server")]
    assert {name: found[name] for name in server if name != "response_types_supported"} == {
        name: server[name] for name in server if name != "response_types_supported"
    }
    assert (found["id_token_signing_alg_values_supported"], found["subject_types_supported"]) == (["ES256"], ["public"])


async def test_keys_are_read_anew_for_each_answer(keys: SigningKeys):
    served: list[dict[str, Any]] = [{"keys": []}, {"keys": [{"kid": "new"}]}]
    [route, *_] = routes(lambda: served.pop(0), ISSUER, AUDIENCE)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=Starlette(routes=[route])), base_url=ISSUER) as client:
        assert [json.loads((await client.get(route.path)).content) for _ in range(2)] == [{"keys": []}, {"keys": [{"kid": "new"}]}]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_nothing_can_be_written_here(keys: SigningKeys, method: str):
    assert (await ask(keys, "/oauth2/jwks", method)).status_code == 405
