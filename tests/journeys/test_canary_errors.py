"""Every kind of credential against every way in which the service that hands it out, or takes it, can fail: what was said to it is found nowhere else.

One gateway, one hostile service. It answers by path, with all that it was sent: in bodies, header fields and redirects, late, cut off or malformed.
A kind of credential that the code has and this matrix has not fails the test.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import logging
import re
import ssl
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, quote

import httpx2
import pytest
from typer.testing import CliRunner

from gateway.cli.discretion import TALKATIVE
from gateway.cli.identity import mint_here
from gateway.cli.main import app
from gateway.config.load import load
from gateway.errors import Problems, Refusal
from gateway.fetch import Fetcher
from gateway.identify import Wish
from gateway.identify.transit import Transit, TransitSigner
from tests.inject.world import write_key
from tests.journeys.canaries import every_kind, files_of, kinds_in, leaks, pieces_of_key, pieces_of_token
from tests.journeys.place import AGENT, Place, client_of, records, running, write_place
from tests.simulators.authority import ClientAuthority, make_certificate
from tests.simulators.aws import session
from tests.simulators.upstreams import Seen, Upstream, answer, upstream

CLIENT_SECRET = "CANARY-client+secret/of-many"
MADE = "CANARY-made-by-the-service"
HMAC_KEY = "CANARY-hmac/key+of-requests"
ENVIRONMENT = "CANARY-of-the+environment/"
SESSION = {"SecretAccessKey": "CANARY-session/key+of/aws", "SessionToken": "CANARY-session/token+of/aws=="}
MODES = ("echo400", "echo401", "echo403", "echo500", "html", "malformed", "wrong", "control", "redirect", "broken", "cut", "slow")
STS = (
    '[credential.{name}.sts]\nrole_arn = "arn:aws:iam::123456789012:role/agents"\nregion = "eu-central-1"\nservice = "s3"\nendpoint = "{url}"\ntimeout_s = 0.5\n'
    '[credential.{name}.sts.policy]\nVersion = "2012-10-17"\n[[credential.{name}.sts.policy.Statement]]\nEffect = "Allow"\nAction = "s3:GetObject"\nResource = "arn:aws:s3:::reports/*"\n'
)
TABLES = {
    "basic": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_secret = "file:client.key"\ntimeout_s = 0.5\n',
    "post": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_auth = "post"\nclient_secret = "file:client.key"\ntimeout_s = 0.5\n',
    "key": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_auth = "private_key_jwt"\nclient_key = "client.pem"\ntimeout_s = 0.5\n',
    "exchange": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_auth = "private_key_jwt"\nclient_key = "client.pem"\n'
    'grant = "token_exchange"\nsubject = "agent"\ntimeout_s = 0.5\n',
    "user": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_secret = "file:client.key"\n'
    'grant = "token_exchange"\nsubject = "user"\ntimeout_s = 0.5\n',
    "app": '[credential.{name}.github_app]\napp_id = "123456"\ninstallation = "987654"\nprivate_key = "app.pem"\nrepository = "site"\n'
    'permissions = {{ issues = "write" }}\napi = "{url}"\ntimeout_s = 0.5\n',
    "sts": STS,
}
UNPLACED = {"sts"}
"""What signs says itself where it goes."""
USED = {
    "env": 'secret = "env:CANARY_HOSTILE"\nheader = "X-Key"\n',
    "file": 'secret = "file:client.key"\nbasic_user = "robot"\n',
    "hmac": 'secret = "file:hmac.key"\n[credential.{name}.hmac]\nstring = "{{timestamp}}{{method}}{{target}}{{body_sha256}}"\nheaders = {{ X-Sig = "{{signature}}", X-At = "{{timestamp}}" }}\n',
    "mtls": '[credential.{name}.mtls]\ncertificate = "file:shown.crt"\nkey = "file:shown.pem"\n',
    "session": STS.replace("{url}", "{service}/session"),
}
"""What no service has to hand out, or one that does hands out: the tool that it is for is the hostile one."""
VAULT = '[vault]\nurl = "{url}"\nrole = "gateway"\ntimeout_s = 0.5\n'
RULES = '@id("all") permit (principal in AgentGroup::"writers", action, resource);\n'


class Hostile:
    """The service. `sent` is what it was told and nobody else may know; `made` is what it hands out."""

    def __init__(self, made: str = MADE) -> None:
        self.made = made
        self.sent: set[str] = set()
        self.modes: set[str] = set()
        self.over = asyncio.Event()

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self._learn(seen)
        if seen.target.endswith("/login"):
            writer.write(answer(200, json.dumps({"auth": {"client_token": self.made, "lease_duration": 3600, "renewable": True}}).encode()))
            return
        if seen.target.startswith("/session"):
            writer.write(answer(200, session(dict(parse_qsl(seen.body.decode()))["RoleSessionName"], **SESSION), "Content-Type: text/xml"))
            return
        mode = next((part for part in seen.target.split("/") if part in MODES), "echo500")
        self.modes.add(mode)
        told = json.dumps({"target": seen.target, "headers": seen.headers, "body": seen.body.decode()}).encode()
        fields = [f"X-Echo-{number}: {value}" for number, (_, value) in enumerate(seen.headers)]
        fields += [f"WWW-Authenticate: Bearer error_description={quote(told)[:2000]}", f"Set-Cookie: seen={quote(told)[:2000]}"]
        await self._say(mode, told, fields, writer)

    async def _say(self, mode: str, told: bytes, fields: list[str], writer: asyncio.StreamWriter) -> None:
        error = json.dumps({"error": told.decode(), "error_description": told.decode(), "errors": [told.decode()]}).encode()
        wrong = {
            "token_type": told.decode(),
            "scope": told.decode(),
            "expires_in": told.decode(),
            "expires_at": told.decode(),
            "data": {"data": told.decode()},
        }
        if mode.startswith("echo"):
            writer.write(answer(int(mode[4:]), error, *fields))
        elif mode == "html":
            writer.write(answer(502, b"<h1>" + told + b"</h1>", "Content-Type: text/html", *fields))
        elif mode == "malformed":
            writer.write(answer(200, told[:-1], *fields))
        elif mode == "wrong":
            writer.write(answer(200, json.dumps({"access_token": self.made, "token": self.made, **wrong}).encode(), *fields))
        elif mode == "control":
            made = {
                "access_token": f"{self.made}\nX-Own: 1",
                "token": f"{self.made}\x1b",
                "token_type": "Bearer",
                "data": {"data": {"token": f"{self.made}\nX-Own: 1"}, "token": f"{self.made}\r\nX-Own: 1"},
            }
            writer.write(answer(200, json.dumps({**wrong, **made}).encode(), *fields))
        elif mode == "redirect":
            writer.write(answer(307, told, f"Location: http://127.0.0.1:1/?{quote(told)[:2000]}", *fields))
        elif mode == "broken":
            writer.write(b"HTTP/1.1 what " + told + b"\r\n\r\n")
        elif mode == "cut":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n" + told)
            await writer.drain()
            writer.transport.abort()
        else:
            await self.over.wait()

    def _learn(self, seen: Seen) -> None:
        self.sent |= {value for name, value in seen.headers if name in {"x-vault-token", "x-amz-security-token"} and value != self.made}
        for name, value in parse_qsl(seen.body.decode()):
            if name in {"client_assertion", "subject_token", "actor_token", "WebIdentityToken", "client_secret"}:
                self.sent.add(value)
        if seen.target.endswith("/login"):
            self.sent.add(json.loads(seen.body)["jwt"])
        given = seen.header("authorization") or ""
        if given.startswith("Basic "):
            self.sent.add(base64.b64decode(given.removeprefix("Basic ")).decode())
        elif given and not given.startswith("AWS4"):  # a signature, good for this request alone
            self.sent.add(given.partition(" ")[2])


def write(folder: Path, tools: Upstream, taking: Upstream, shown: Upstream, service: str) -> dict[str, list[str]]:
    """The deployment: a tool for each kind and mode. Returns the names of those whose credential cannot be had, and of those that take it and fail."""
    names: dict[str, list[str]] = {"failing": [], "taking": []}
    parts = [VAULT.format(url=service)]
    for mode in MODES:
        for kind in (*TABLES, "stored", "leased"):
            name = f"{kind}-{mode}"
            names["failing"].append(name)
            parts.append(f'[tool.{name}]\nurl = "{tools.url}"\ncredential = "{name}"\nretries_max = 0\n')
            parts.append(f'[credential.{name}]\nhosts = ["127.0.0.1:{tools.port}"]\n' + ("" if kind in UNPLACED else 'header = "X-Key"\n'))
            if kind == "stored":
                parts.append(f'secret = "vault:{mode}/data/app#token"\n')
            elif kind == "leased":
                parts.append(f'[credential.{name}.vault]\npath = "{mode}/creds/app"\nfield = "token"\n')
            else:
                parts.append(TABLES[kind].format(name=name, url=f"{service}/{mode}"))
        for kind, table in USED.items():
            name, up = f"takes-{kind}-{mode}", shown if kind == "mtls" else taking
            names["taking"].append(name)
            limits = "retries_max = 0\nread_timeout_s = 0.5\ntotal_timeout_s = 2\n" + ('ca_file = "ca.pem"\n' if up is shown else "")
            parts.append(f'[tool.{name}]\nurl = "{up.url}/{mode}"\ncredential = "{name}"\n{limits}')
            parts.append(f'[credential.{name}]\nhosts = ["127.0.0.1:{up.port}"]\n' + table.format(name=name, service=service))
    with (folder / "gateway.toml").open("a") as settings:
        settings.write("\n".join(parts))
    (folder / "policies" / "all.cedar").write_text(RULES)
    agent = AGENT.format(id="writer", groups='["writers"]') + "[delegation]\nmay_act_for_users = true\n"
    (folder / "identities" / "agents" / "writer.toml").write_text(agent)
    for name, secret in (("client.key", CLIENT_SECRET), ("hmac.key", HMAC_KEY)):
        (folder / name).touch(0o600)
        (folder / name).write_text(secret)
    write_key(folder / "client.pem", "ES256")
    write_key(folder / "app.pem", "RS256")
    return names


def shown_by(folder: Path) -> ssl.SSLContext:
    """Write the certificate that the gateway shows, and its key; gives the server that asks for it."""
    server, _ = make_certificate(folder, "127.0.0.1")
    clients = ClientAuthority(folder)
    certificate, key, _ = clients.issue("gateway")
    for name, content in (("shown.crt", certificate), ("shown.pem", key)):
        (folder / name).touch(0o600)
        (folder / name).write_bytes(content)
    return clients.trusted(server)


QUESTION = {
    "subject": {"type": "agent", "id": "writer"},
    "resource": {"type": "tool", "id": "user-wrong"},
    "action": {"name": "user-wrong/read"},
    "context": {"input": {}},
}


async def play(place: Place, names: dict[str, list[str]], token: str) -> bytes:
    received: list[bytes] = []
    async with client_of(place.gateway.addresses["agents"], token) as agent, client_of(place.admin, None) as operator:

        async def one(name: str) -> None:
            for method in ("GET", "POST"):
                reply = await agent.request(method, f"/tools/{name}/reports/a")
                assert (reply.status_code, reply.json()["code"]) == (503, "credential_unavailable"), (name, reply.text)
                received.append(str(reply.headers.raw).encode() + reply.content)

        async def taken(name: str) -> None:
            for method in ("GET", "POST"):
                with contextlib.suppress(httpx2.HTTPError):
                    async with agent.stream(method, f"/tools/{name}/reports/a") as reply:
                        received.append(str(reply.headers.raw).encode())
                        async for chunk in reply.aiter_raw():
                            received.append(chunk)  # noqa: PERF401 - a stream that breaks must leave what came before

        for mode in MODES:
            failing, taking = ([name for name in names[group] if name.endswith(mode)] for group in ("failing", "taking"))
            await asyncio.gather(*map(one, failing), *map(taken, taking))
        asked = await operator.post("/access/v1/evaluation", json=QUESTION)
        answers = [
            asked,
            *[await operator.get(page) for page in ("/metrics", "/readyz", "/log/query?limit=1000", "/log/records/9", "/log/checkpoint")],
        ]
    assert [answer.status_code for answer in answers] == [200] * 6, [answer.text[:200] for answer in answers]
    return b"\n".join([*received, *(answer.content for answer in answers)])


BAD_RELOADS: dict[str, Callable[[Path], object]] = {
    "a secret written into the settings": lambda folder: spoil(
        folder / "gateway.toml", '"file:notes.key"', '"CANARY-inline-sk-live-4eC39HqLyjWDarjtT1"'
    ),
    "a secret as the user of a URL": lambda folder: spoil(
        folder / "gateway.toml", 'url = "http://127', 'url = "http://CANARY-user:CANARY-inline-pass@127'
    ),
    "a key in a query": lambda folder: spoil(folder / "gateway.toml", '/echo400"', '/echo400?key=CANARY-inline-query"'),
    "a syntax fault on a line with a secret": lambda folder: spoil(folder / "gateway.toml", '"file:notes.key"', '"CANARY-inline-unclosed'),
    "a key file that is none": lambda folder: (folder / "client.pem").write_text(
        "-----BEGIN PRIVATE KEY-----\nCANARYinlinekey\n-----END PRIVATE KEY-----\n"
    ),
}


def spoil(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


COMMANDS = [
    "check",
    "check --json",
    "identity list --json",
    "identity lint",
    "halts --json",
    "keys list --json",
    "policy lint",
    "log tail --json",
    "log query --json",
    "log verify --json",
    "log show 3 --json",
    "log explain 3",
    "log replay --json",
    "log open --json",
    "log export --format ocsf",
    "log export --format otlp",
    "log export --format cloudevents",
    "log export --format csv",
    "log export --format jsonl",
]


def commands(folder: Path, names: list[str] = COMMANDS) -> bytes:
    said = []
    for words in names:
        done = CliRunner().invoke(app, [*words.split(), "-C", str(folder)])
        assert done.exit_code in {0, 1, 3}, (words, done.output)
        said.append(f"{done.output}{done.exception!r}")
    return "\n".join(said).encode()


async def test_no_service_that_hands_out_credentials_or_takes_them_can_make_the_gateway_tell_what_it_was_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("CANARY_HOSTILE", ENVIRONMENT)
    caplog.set_level(logging.DEBUG)
    hostile, tool = Hostile(), Hostile(made="nothing")
    async with (
        upstream(hostile) as service,
        upstream(hostile) as tools,
        upstream(tool) as taking,
        upstream(tool, tls=shown_by(tmp_path)) as shown,
    ):
        write_place(tmp_path, tools.port)
        names = write(tmp_path, tools, taking, shown, service.url)
        async with running(tmp_path) as place:
            state = place.gateway.pipeline.state
            assert kinds_in(state.settings, state.credentials) == every_kind(), "a kind of credential is missing here"
            token = (await asyncio.to_thread(mint_here, load(tmp_path), "writer", Wish(user="alice"))).token.reveal()
            received = await play(place, names, token)
            told = "\n".join(place.said)
            working = {file: (tmp_path / file).read_text() for file in ("gateway.toml", "client.pem")}
            keys = [file.read_bytes() for file in tmp_path.rglob("*.pem") if b"PRIVATE" in file.read_bytes()]
            alive = files_of(tmp_path, is_of_a_secret)
            printed = await asyncio.to_thread(commands, tmp_path)
            await asyncio.to_thread(commands, tmp_path, [f"log export --format tiles --to {tmp_path / 'tiles'}"])
            for make in BAD_RELOADS.values():
                make(tmp_path)
                await place.gateway.reload()
                received += str((await place.client.get(f"{place.admin}/readyz")).content).encode()
                printed += await asyncio.to_thread(commands, tmp_path, ["check --json"])
                for file, text in working.items():
                    (tmp_path / file).write_text(text)
            assert await place.gateway.reload()
            hostile.over.set()
            tool.over.set()
            said = "\n".join(place.said)
    assert hostile.modes == tool.modes == set(MODES) and tools.seen == [], "each failure was met, and no call went up without its credential"
    assert len(records(tmp_path, "call")) == 2 * sum(map(len, names.values()))
    failing = set(names["failing"])
    assert {name for name in failing if f"credential {name} cannot be had: " in told} == failing, "the operator hears why"
    assert {ENVIRONMENT, SESSION["SessionToken"]} < {value for seen in taking.seen for _, value in seen.headers} and b"****" in received
    assert {seen.target.split("/")[1] for seen in shown.seen} == set(MODES)
    out, err = capfd.readouterr()
    # what TALKATIVE say below WARNING goes nowhere: gateway.cli.discretion
    heard = "\n".join(r.getMessage() for r in caplog.records if r.name.partition(".")[0] not in TALKATIVE or r.levelno >= logging.WARNING)
    places = {
        "answers": received,
        "reports": said.encode(),
        "commands": printed,
        "stdout": out.encode(),
        "stderr": err.encode(),
        "logging": heard.encode(),
        **{f"alive {name}": text for name, text in alive.items()},
        **files_of(tmp_path, is_of_a_secret),
    }
    assert {"alive var/state/state.db-wal", "tiles/checkpoint"} <= places.keys()
    assert any(name.endswith(".jsonl") for name in places)
    assert any(name.endswith(".db") or b"SQLite format" in content[:16] for name, content in places.items())
    statements = [text for text in hostile.sent if text.count(".") == 2]
    assert len(statements) > 40, "assertions and statements of the gateway"
    secrets = {CLIENT_SECRET, MADE, HMAC_KEY, ENVIRONMENT, f"robot:{CLIENT_SECRET}", *SESSION.values(), *hostile.sent, *tool.sent}
    assert len(keys) >= 4, "of the client, of the app, of the certificate, of the tokens"
    pieces = [*(piece for key in keys for piece in pieces_of_key(key)), *(piece for text in (token, *statements) for piece in pieces_of_token(text))]
    assert leaks([*secrets, *pieces], places) == []
    inline = re.compile(rb"CANARY-inline[^\s\"']*|CANARYinlinekey|CANARY-user")
    assert {name: inline.findall(content) for name, content in places.items() if inline.search(content)} == {}


def is_of_a_secret(file: Path) -> bool:
    """Where one belongs: what was written for the test, and the keys of the gateway."""
    return file.name in {"notes.key", "client.key", "hmac.key", "log.key", "payload.key"} or ".pem" in file.name


@pytest.mark.parametrize("mode", MODES)
async def test_no_engine_that_signs_can_make_the_gateway_tell_by_which_token_it_asks(tmp_path: Path, mode: str):
    hostile = Hostile()
    (tmp_path / "token").write_text(MADE + "-for-the-engine")
    async with upstream(hostile) as engine:
        transit = Transit(f"{engine.url}/v1/{mode}/keys/gw", tmp_path / "token", Fetcher(timeout_s=0.5))
        with pytest.raises(Problems) as opened:
            await asyncio.to_thread(transit.keys)
        with pytest.raises(Refusal) as signed:
            await asyncio.to_thread(TransitSigner(transit, 1).sign, b"a.b")
        hostile.over.set()
    text = "".join(line for caught in (opened.value, signed.value) for line in traceback.format_exception(caught))
    text += "".join(f"{problem}{problem.remedy}" for problem in opened.value.problems) + signed.value.reason + repr(transit)
    assert hostile.sent == {MADE + "-for-the-engine"}, "it was told"
    assert leaks(hostile.sent, {"errors": text.encode()}) == []
