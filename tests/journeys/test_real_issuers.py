"""Issuers that nobody here wrote: their tokens are taken by a running gateway, and those of a stranger like them are not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest

from gateway.cli.kill import What, kill
from tests.journeys.place import Place, records, running, write_place
from tests.journeys.token_clients import EXCHANGE, ID_TOKEN, JWT_BEARER, URL, Key, call, claims_of, client, post, token, write_agent
from tests.simulators.upstreams import echo, upstream

ROOT = Path(__file__).resolve().parents[2]
NODE = Path(os.environ.get("PORTREEVE_TEST_NODE", ROOT / ".venv" / "node"))
BOT = Key("bot-1")


@contextlib.asynccontextmanager
async def process(*words: str, until: str) -> AsyncIterator[str]:
    """Run a server for the length of the block. Gives the first line that holds `until`."""
    started = await asyncio.create_subprocess_exec(
        *words, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    assert started.stdout
    try:
        async with asyncio.timeout(30):
            while until not in (line := (await started.stdout.readline()).decode()):
                assert line, "it ended"
        yield line.strip()
    finally:
        started.kill()
        await started.wait()


@contextlib.asynccontextmanager
async def trusting(folder: Path, issuer: str, agent: str) -> AsyncIterator[Place]:
    async with upstream(echo) as up:
        write_place(folder, up.port)
        with (folder / "identities" / "issuers.toml").open("a") as file:
            file.write(issuer)
        write_agent(folder, "bot", agent + BOT.toml)
        async with running(folder) as place:
            yield place


def issuer_of(url: str, jwks: str, more: str = "") -> str:
    return f'[issuer.real]\nkind = "oidc"\nurl = "{url}"\njwks = "{jwks}"\naudience = "{URL}"\nalgs = ["RS256"]\n{more}'


async def user_token_of(url: str, user: str) -> str:
    """Log a user in at oidc-provider-mock, as a browser would, for a client that is this gateway."""
    async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False) as http:
        query = {"client_id": URL, "redirect_uri": "http://client.test/", "response_type": "code", "scope": "openid email"}
        answer = await http.post("/oauth2/authorize", params=query, data={"sub": user})
        code = parse_qs(urlsplit(answer.headers["location"]).query)["code"][0]
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": "http://client.test/", "client_id": URL, "client_secret": "x"}
        found: str = (await http.post("/oauth2/token", data=form)).json()["id_token"]
        return found


async def test_an_agent_acts_for_a_user_of_oidc_provider_mock(tmp_path: Path):
    command = (sys.executable, "-W", "ignore", "-u", "-m", "oidc_provider_mock", "--port", "0")
    async with process(*command, until="http://") as line, process(*command, until="http://") as other_line:
        url, other = (text[text.index("http://") :].split()[0].rstrip("/") for text in (line, other_line))
        agent = '[delegation]\nmay_act_for_users = true\nuser_issuers = ["real"]\n'
        async with trusting(tmp_path, issuer_of(url, f"{url}/jwks", "unnamed_key = true\n"), agent) as place:
            form = {"grant_type": EXCHANGE, "subject_token_type": ID_TOKEN}
            user = await user_token_of(url, "alice")
            answer = await token(place, {**form, "subject_token": user, **client(BOT.assertion("bot"))})
            assert claims_of(answer["access_token"])["sub"] == "user:real:alice"
            assert (await call(place, answer["access_token"])).status_code == 200
            assert records(place.folder, "call")[-1]["who"]["user"] == "real:alice"
            foreign = await post(
                place, "/oauth2/token", {**form, "subject_token": await user_token_of(other, "alice"), **client(BOT.assertion("bot"))}
            )
            assert (foreign.status_code, foreign.json()["error"]) == (400, "invalid_grant")


TOOL_WITH_TOKEN = """
[tool.crm]
url = "http://127.0.0.1:{port}"
credential = "crm"
[credential.crm]
header = "Authorization"
format = "Bearer {{secret}}"
hosts = ["127.0.0.1:{port}"]
[credential.crm.oauth2]
token_url = "{url}/token"
revocation_url = "{url}/token/revocation"
client_id = "ci"
client_secret = "file:client.key"
scopes = ["any"]
resource = "https://crm.example"
"""


@contextlib.asynccontextmanager
async def oidc_provider() -> AsyncIterator[str]:
    """Run npm oidc-provider for the length of the block; gives its URL."""
    node = shutil.which("node")
    if node is None or not (NODE / "node_modules" / "oidc-provider").is_dir():
        pytest.skip("needs Node with npm, of which `make test` fetches oidc-provider")
    script = str(ROOT / "tests" / "simulators" / "oidc_provider.mjs")
    async with process(node, script, str(NODE), URL, until="http://127.0.0.1") as url:
        yield url


async def test_a_workload_of_npm_oidc_provider_gets_a_token(tmp_path: Path):
    async with oidc_provider() as url:
        agent = '[[credential]]\nkind = "federated"\nissuer = "real"\nmatch = { sub = "ci", client_id = "ci" }\n'
        async with trusting(tmp_path, issuer_of(url, f"{url}/jwks", 'typ = ["at+jwt"]\n'), agent) as place:
            async with httpx2.AsyncClient(base_url=url, trust_env=False, verify=False) as http:
                answer = await http.post("/token", data={"grant_type": "client_credentials", "scope": "any"}, auth=("ci", "a-secret-of-the-test"))
            theirs = answer.json()["access_token"]
            ours = await token(place, {"grant_type": JWT_BEARER, "assertion": theirs})
            assert (await call(place, ours["access_token"])).status_code == 200
            assert (await call(place, theirs)).status_code == 401
            again = await post(place, "/oauth2/token", {"grant_type": JWT_BEARER, "assertion": theirs})
            assert again.json()["error"] == "invalid_grant", "it is good once"


async def test_a_token_of_npm_oidc_provider_that_a_tool_was_called_with_is_ended_there_when_its_agent_is_killed(tmp_path: Path):
    async with oidc_provider() as url, upstream(echo) as up:
        write_place(tmp_path, up.port)
        with (tmp_path / "gateway.toml").open("a") as settings:
            settings.write(TOOL_WITH_TOKEN.format(port=up.port, url=url))
        (tmp_path / "policies" / "crm.cedar").write_text('@id("crm") permit (principal, action == Action::"crm/read", resource);\n')
        (tmp_path / "client.key").touch(0o600)
        (tmp_path / "client.key").write_text("a-secret-of-the-test")
        async with running(tmp_path) as place, httpx2.AsyncClient(base_url=url, trust_env=False, verify=False) as http:
            assert (await place.client.get("/tools/crm/x")).status_code == 200
            given = (up.seen[0].header("authorization") or "").removeprefix("Bearer ")

            async def counts() -> bool:
                answer = await http.post("/token/introspection", data={"token": given}, auth=("ci", "a-secret-of-the-test"))
                return bool(answer.json()["active"])

            assert await counts()
            await asyncio.to_thread(kill, What.agent, "writer", why="a test", folder=tmp_path)
            async with asyncio.timeout(20):
                while await counts():
                    await asyncio.sleep(0.01)
            assert place.said == []


async def test_a_workload_of_a_mesh_calls_with_the_svid_that_the_spiffe_client_fetched(tmp_path: Path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import spiffe

        from tests.simulators.workload_api import TRUST_DOMAIN, workload_api

    with workload_api(tmp_path, f"spiffe://{TRUST_DOMAIN}/ns/agents/bot") as (address, api):
        (tmp_path / "bundle.json").write_bytes(api.bundle())
        issuer = '[issuer.mesh]\nkind = "spiffe"\ntrust_domain = "example.org"\njwks = "file:../bundle.json"\nalgs = ["ES256"]\nuse = "direct"\n'
        agent = '[[credential]]\nkind = "federated"\nissuer = "mesh"\nmatch = { sub = "spiffe://example.org/ns/agents/*" }\n'

        def fetch(audience: set[str]) -> str:
            with spiffe.WorkloadApiClient(address) as workload:
                found: str = workload.fetch_jwt_svid(audience=audience).token
                return found

        async with trusting(tmp_path, f'{issuer}audience = "{URL}"\n', agent) as place:
            svid = await asyncio.to_thread(fetch, {URL})
            assert (await call(place, svid)).status_code == 200
            assert records(place.folder, "call")[-1]["who"]["sub"] == "spiffe://example.org/ns/agents/bot"
            ours = await token(place, {"grant_type": JWT_BEARER, "assertion": svid})
            assert (await call(place, ours["access_token"])).status_code == 200
            for audience in ({"https://other.example"}, {URL, "https://other.example"}):
                assert (await call(place, await asyncio.to_thread(fetch, audience))).status_code == 401
