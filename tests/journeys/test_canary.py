"""Recognisable secrets go on a whole journey, good calls and every kind of bad one, and are found nowhere but where they belong."""

import asyncio
import base64
import contextlib
import json
import logging
from urllib.parse import quote

import httpx2
import pytest

from gateway.config.load import load
from gateway.identify import SigningKeys
from tests.inject.vaults import broker_role, let_in, mount
from tests.inject.world import write_key
from tests.journeys.canaries import forms
from tests.journeys.place import UPSTREAM_KEY, client_of, running, token_of, write_place
from tests.simulators import upstreams
from tests.simulators.broker import Broker
from tests.simulators.github import APP, Github
from tests.simulators.openbao import bao
from tests.simulators.token_endpoint import CLIENT_SECRET, TokenEndpoint
from tests.simulators.upstreams import Seen, answer, upstream

QUERY_KEY = "CANARY-query-key+/=5b2e"
BASIC_KEY = "CANARY-basic-key-77aa"
SIGNING_KEY = "CANARY-signing-key-41d0"
TOKEN = TokenEndpoint.token
GITHUB = f"ghs_{APP}_CANARY"
STORED = "CANARY-stored-in-a-vault"

MORE = """
[tool.asks]
url = "http://127.0.0.1:{port}/asks"
credential = "query-key"
[tool.basic]
url = "http://127.0.0.1:{port}/basic"
credential = "basic-key"
[tool.token]
url = "http://127.0.0.1:{port}/token"
credential = "token"
[tool.stored]
url = "http://127.0.0.1:{port}/stored"
credential = "stored"
[tool.made]
url = "http://127.0.0.1:{port}/made"
credential = "made"
[tool.app]
url = "http://127.0.0.1:{port}/app"
credential = "app"
[tool.signed]
url = "http://127.0.0.1:{port}/signed"
credential = "signed"
[tool.failing]
url = "http://127.0.0.1:{port}/failing"
credential = "failing"
[tool.dead]
url = "http://127.0.0.1:1"
credential = "dead-key"
retries_max = 0
[credential.query-key]
secret = "env:CANARY_QUERY"
query = "api_key"
hosts = ["127.0.0.1:{port}"]
[credential.basic-key]
secret = "file:basic.key"
basic_user = "robot"
hosts = ["127.0.0.1:{port}"]
[credential.dead-key]
secret = "file:basic.key"
header = "Authorization"
format = "Bearer {{secret}}"
hosts = ["127.0.0.1:1"]
[credential.token]
header = "Authorization"
format = "Bearer {{secret}}"
hosts = ["127.0.0.1:{port}"]
[credential.token.oauth2]
token_url = "http://127.0.0.1:{tokens}/token"
revocation_url = "http://127.0.0.1:{tokens}/echo"
client_id = "gateway"
client_secret = "file:client.key"
[vault]
url = "{vault}"
role = "gateway"
[credential.stored]
header = "X-Stored"
hosts = ["127.0.0.1:{port}"]
secret = "vault:kv/canary#token"
[credential.made]
basic_user = "{{user}}"
hosts = ["127.0.0.1:{port}"]
[credential.made.vault]
path = "rabbitmq/creds/canary"
field = "password"
user_field = "username"
[credential.app]
header = "Authorization"
format = "token {{secret}}"
hosts = ["127.0.0.1:{port}"]
[credential.app.github_app]
app_id = "123456"
installation = "987654"
private_key = "app.pem"
repository = "site"
permissions = {{ issues = "write" }}
api = "http://127.0.0.1:{github}"
[credential.signed]
secret = "file:signing.key"
hosts = ["127.0.0.1:{port}"]
[credential.signed.hmac]
string = "{{timestamp}}{{method}}{{target}}{{body_sha256}}"
headers = {{ X-Signature = "v1={{signature}}", X-Time = "{{timestamp}}" }}
[credential.failing]
query = "t"
hosts = ["127.0.0.1:{port}"]
[credential.failing.oauth2]
token_url = "http://127.0.0.1:{tokens}/echo"
client_id = "gateway"
client_auth = "post"
client_secret = "file:client.key"
"""
RULES = '@id("all") permit (principal in AgentGroup::"writers", action, resource);\n'


class Tokens(TokenEndpoint):
    """Gives tokens at /token; says in an error all that it was sent, elsewhere."""

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target == "/token":
            await super().__call__(seen, writer)
        else:
            writer.write(answer(400, json.dumps({"error": seen.body.decode(), "error_description": str(seen.headers)}).encode()))


async def misbehaving(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Answers by path: echoes everything it was sent, breaks, redirects, or tells it all in an error."""
    told = json.dumps({"target": seen.target, "headers": seen.headers}).encode()
    if "redirect" in seen.target:
        writer.write(answer(302, told, f"Location: http://127.0.0.1:1/{seen.target}", f"Set-Cookie: s={seen.target}"))
    elif "garbage" in seen.target:
        writer.write(b"HTTP/1.1 what " + told + b"\r\n\r\n")
    elif "broken" in seen.target:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%b\r\n" % (len(told), told))
        await writer.drain()
        writer.transport.abort()
    elif "stream" in seen.target:
        await upstreams.pieces(*[told[i : i + 7] for i in range(0, len(told), 7)])(seen, writer)
    elif "fails" in seen.target:
        writer.write(answer(500, told, f"X-Debug: {dict(seen.headers)}"[:300]))
    else:
        writer.write(answer(200, told, *[f"X-Echo-{n}: {v}" for n, v in seen.headers]))


async def play(place, token: str) -> list[bytes]:
    """Make calls of every kind; return all bytes that any client received."""
    received: list[bytes] = []

    async def call(method: str, url: str, *, client: httpx2.AsyncClient, **more: object) -> None:
        with contextlib.suppress(httpx2.HTTPError):
            async with client.stream(method, url, **more) as reply:
                received.append(str(reply.headers.raw).encode())
                async for chunk in reply.aiter_raw():
                    received.append(chunk)  # noqa: PERF401 - a stream that breaks must leave what came before

    agents, admin = place.gateway.addresses["agents"], place.gateway.addresses["admin"]
    async with client_of(agents, token) as good, client_of(agents, token[:-6] + "AAAAAA") as forged, client_of(admin, None) as operator:
        for tool in ("plain", "asks", "basic", "token", "stored", "made", "app", "signed", "failing"):
            for path in ("ok", "redirect", "garbage", "broken", "stream", "fails", "a?x=1"):
                await call("GET", f"/tools/{tool}/{path}", client=good)
            await call("POST", f"/tools/{tool}/ok", client=good, content=b"body")
            await call("GET", f"/tools/{tool}/..%2fup", client=good)
            await call("GET", f"/tools/{tool}/ok", client=forged)
        await call("GET", "/tools/dead/ok", client=good)
        await call("GET", "/tools/none/ok", client=good)
        await call("POST", "/tools/notes/notes", client=good, json={"text": "x", "stars": 9})
        await call("POST", "/tools/notes/notes", client=good, json={"wrong": token})
        await call("GET", "/tools/plain/ok", client=good, headers={"x-other": "1", "connection": "x-api-key, authorization"})
        for page in ("/metrics", "/readyz", "/healthz", "/nothing"):
            await call("GET", page, client=operator)
    return received


@pytest.fixture
def canary_environment(monkeypatch):
    monkeypatch.setenv("CANARY_QUERY", QUERY_KEY)


@pytest.fixture(scope="module")
def vault(tmp_path_factory):
    with bao(tmp_path_factory.mktemp("bao")) as found:
        mount(found)
        found.ask("kv/data/canary", {"data": {"token": STORED}})
        yield found


@pytest.mark.usefixtures("canary_environment")
async def test_no_secret_appears_in_any_answer_log_metric_file_or_output(tmp_path, vault, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    github = Github(write_key(tmp_path / "app.pem", "RS256"))
    async with upstream(misbehaving) as up, upstream(Tokens()) as tokens, upstream(Broker()) as broker, upstream(github) as api:
        write_place(tmp_path, up.port)
        (tmp_path / "gateway.toml").write_text(
            (tmp_path / "gateway.toml").read_text() + MORE.format(port=up.port, tokens=tokens.port, vault=vault.url, github=api.port)
        )
        (tmp_path / "policies" / "all.cedar").write_text(RULES)
        for name, secret in (("basic.key", BASIC_KEY), ("client.key", CLIENT_SECRET), ("signing.key", SIGNING_KEY)):
            (tmp_path / name).touch(0o600)
            (tmp_path / name).write_text(secret)
        keys = SigningKeys.open(load(tmp_path).keys)
        let_in(vault, keys.public[keys.kid].key, issuer="http://gateway.test", name="journey")
        await asyncio.to_thread(broker_role, vault, broker.url, "canary")
        async with running(tmp_path) as place:
            token = token_of(tmp_path)
            received = b"\n".join(await play(place, token))
            await place.settled("result", 25)
        said = "\n".join(place.said).encode()
    assert b"could not be ended" in said, "its service echoes what it is sent"
    used = str([(s.target, s.headers) for s in up.seen]).encode()
    assert UPSTREAM_KEY.encode() in used, "the journey must really have used the secrets"
    assert quote(QUERY_KEY, safe="").encode() in used
    assert base64.b64encode(f"robot:{BASIC_KEY}".encode()) in used
    assert f"Bearer {TOKEN}-1".encode() in used
    assert CLIENT_SECRET in str([base64.b64decode((s.header("authorization") or "").removeprefix("Basic ")) for s in tokens.seen]).replace(
        "%2B", "+"
    ).replace("%2F", "/")
    assert STORED.encode() in used
    assert f"token {GITHUB}-1".encode() in used
    assert b"'x-signature', 'v1=" in used and SIGNING_KEY.encode() not in used
    assert github.tokens == {}, "given back at the end"
    [made] = {
        base64.b64decode(v.removeprefix("Basic ")).decode()
        for s in up.seen
        if s.target.startswith("/made")
        for n, v in s.headers
        if n == "authorization"
    }
    assert token.encode() not in used and token not in str(tokens.seen)
    out, err = capfd.readouterr()
    places = {"answers": received, "reports": said, "stdout": out.encode(), "stderr": err.encode(), "logging": caplog.text.encode()}
    belongs = {tmp_path / "notes.key", tmp_path / "basic.key", tmp_path / "client.key", tmp_path / "app.pem", tmp_path / "signing.key"}
    for file in tmp_path.rglob("*"):
        if file.is_file() and file not in belongs:
            places[str(file.relative_to(tmp_path))] = file.read_bytes()
    assert any(name.endswith(".jsonl") for name in places)
    for secret in (
        UPSTREAM_KEY,
        QUERY_KEY,
        BASIC_KEY,
        f"robot:{BASIC_KEY}",
        TOKEN,
        CLIENT_SECRET,
        SIGNING_KEY,
        STORED,
        GITHUB,
        made,
        made.partition(":")[2],
        token[:-10],
    ):
        for form in forms(secret):
            leaks = [name for name, content in places.items() if form in content]
            assert leaks == [], f"{form!r} leaked"
