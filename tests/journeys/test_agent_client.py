"""The client of gateway.client at a running gateway: every way to a token, with and without proofs."""

from __future__ import annotations

import asyncio
import json
import time
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from gateway.client import AgentKey, GatewayAuth, async_client
from gateway.client.settings import Settings
from gateway.client.sources import choose
from gateway.errors import Problem
from tests.identify.foreigners import Foreigner
from tests.journeys.place import Place, records, running, write_place
from tests.journeys.token_clients import URL, write_agent
from tests.simulators.upstreams import echo, upstream

pytestmark = pytest.mark.asyncio(loop_scope="module")

CI = Foreigner()
KEYS = {"bot": AgentKey.make(), "strict": AgentKey.make()}
ISSUERS = """schema = 1
[issuer.gateway]
kind = "self"
[issuer.cluster]
kind = "oidc"
url = "https://cluster.example"
jwks = "file:../cluster.json"
audience = "http://gateway.test"
algs = ["ES256"]
single_use = false
"""


def credential(agent: str) -> str:
    inner = ", ".join(f'{name} = "{value}"' for name, value in KEYS[agent].public.items())
    return f'[[credential]]\nkind = "key"\nkid = "{agent}-1"\njwk = {{ {inner} }}\n'


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    async with upstream(echo) as up:
        write_place(folder, up.port)
        (folder / "identities" / "issuers.toml").write_text(ISSUERS)
        (folder / "cluster.json").write_text(json.dumps(CI.jwks()))
        write_agent(folder, "bot", '[token]\npop = "optional"\n' + credential("bot"))
        write_agent(folder, "strict", '[token]\npop = "required"\n' + credential("strict"))
        write_agent(folder, "pod", '[[credential]]\nkind = "federated"\nissuer = "cluster"\nmatch = { sub = "system:serviceaccount:a:bot" }\n')
        async with running(folder) as found:
            yield found


def auth_of(place: Place, folder: Path, agent: str, **options) -> GatewayAuth:
    path = folder / f"{agent}.jwk"
    if not path.exists():
        KEYS[agent].write(path, kid=f"{agent}-1", agent=agent, url=URL)
    return GatewayAuth(place.gateway.addresses["agents"], issuer=URL, key_file=path, **options)


@pytest.mark.parametrize(("agent", "dpop"), [("bot", False), ("bot", True), ("strict", True)])
async def test_an_enrolled_key_is_all_that_an_agent_needs(place: Place, tmp_path: Path, agent: str, dpop: bool):
    async with async_client(auth=auth_of(place, tmp_path, agent, dpop=dpop)) as http:
        answers = await asyncio.gather(*(http.get("/tools/notes/notes/7") for _ in range(20)), http.get("/v1/tools"))
        written = await http.post("/tools/notes/notes", json={"text": "hello"})
    assert {answer.status_code for answer in [*answers, written]} == {200}
    assert [record["agent"] for record in records(place.folder, "token")][-1] == agent


async def test_what_the_agents_file_wants_and_the_client_does_not_is_said(place: Place, tmp_path: Path):
    with pytest.raises(Problem) as caught:
        async with async_client(auth=auth_of(place, tmp_path, "strict")) as http:
            await http.get("/v1/tools")
    assert caught.value.code == "invalid_dpop_proof" and "set dpop" in caught.value.remedy


async def test_a_token_that_was_ended_is_replaced_under_a_running_agent(place: Place, tmp_path: Path):
    auth = auth_of(place, tmp_path, "bot")
    async with async_client(auth=auth) as http:
        assert (await http.get("/v1/tools")).status_code == 200
        held = auth.tokens.fresh()
        assert held is not None
        await asyncio.to_thread(auth.tokens._service.revoke, held.token)
        assert (await http.get("/v1/tools")).status_code == 200
        now = auth.tokens.fresh()
        assert now is not None and now.token != held.token


async def test_a_projected_token_of_the_platform_is_enough(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = int(time.time())
    claims = {"iss": "https://cluster.example", "aud": URL, "sub": "system:serviceaccount:a:bot", "iat": now, "exp": now + 600, "jti": "j1"}
    (tmp_path / "projected").write_text(CI.token(**claims))
    monkeypatch.setenv("PORTREEVE_URL", place.gateway.addresses["agents"])
    monkeypatch.setenv("PORTREEVE_ISSUER", URL)
    monkeypatch.setenv("PORTREEVE_PLATFORM_TOKEN_FILE", str(tmp_path / "projected"))
    async with async_client() as http:
        assert (await http.get("/v1/tools")).json()["agent"] == "pod"


async def test_a_workload_api_of_a_mesh_gives_what_is_presented(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pytest.importorskip("spiffe", reason="the spiffe client is not installed")
        from tests.simulators.workload_api import TRUST_DOMAIN, workload_api

    with workload_api(tmp_path, f"spiffe://{TRUST_DOMAIN}/bot") as (address, _):
        form = await asyncio.to_thread(choose(Settings(spiffe=address)).form, URL)
    assert form["grant_type"].endswith("jwt-bearer") and form["assertion"].count(".") == 2
