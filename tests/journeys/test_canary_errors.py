"""Every kind of credential against every way in which the service that hands it out can fail: what was said to that service is found nowhere else.

One gateway, one hostile service. It answers by path, with all that it was sent: in bodies, header fields and redirects, late, cut off or malformed.
"""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qsl, quote

import pytest
from typer.testing import CliRunner

from gateway.cli.discretion import TALKATIVE
from gateway.cli.main import app
from tests.inject.world import write_key
from tests.journeys.place import Place, client_of, records, running, token_of, write_place
from tests.journeys.test_canary import forms
from tests.simulators.upstreams import Seen, answer, upstream

CLIENT_SECRET = "CANARY-client+secret/of-many"
MADE = "CANARY-made-by-the-service"
MODES = ("echo400", "echo401", "echo403", "echo500", "html", "malformed", "wrong", "control", "redirect", "broken", "cut", "slow")
TABLES = {
    "basic": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_secret = "file:client.key"\ntimeout_s = 0.5\n',
    "post": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_auth = "post"\nclient_secret = "file:client.key"\ntimeout_s = 0.5\n',
    "key": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_auth = "private_key_jwt"\nclient_key = "client.pem"\ntimeout_s = 0.5\n',
    "exchange": '[credential.{name}.oauth2]\ntoken_url = "{url}"\nclient_id = "gateway"\nclient_auth = "private_key_jwt"\nclient_key = "client.pem"\n'
    'grant = "token_exchange"\nsubject = "agent"\ntimeout_s = 0.5\n',
    "app": '[credential.{name}.github_app]\napp_id = "123456"\ninstallation = "987654"\nprivate_key = "app.pem"\nrepository = "site"\n'
    'permissions = {{ issues = "write" }}\napi = "{url}"\ntimeout_s = 0.5\n',
    "sts": '[credential.{name}.sts]\nrole_arn = "arn:aws:iam::123456789012:role/agents"\nregion = "eu-central-1"\nservice = "s3"\nendpoint = "{url}"\ntimeout_s = 0.5\n'
    '[credential.{name}.sts.policy]\nVersion = "2012-10-17"\n[[credential.{name}.sts.policy.Statement]]\nEffect = "Allow"\nAction = "s3:GetObject"\nResource = "arn:aws:s3:::reports/*"\n',
}
UNPLACED = {"sts"}
"""What signs says itself where it goes."""
VAULT = '[vault]\nurl = "{url}"\nrole = "gateway"\ntimeout_s = 0.5\n'
RULES = '@id("all") permit (principal in AgentGroup::"writers", action, resource);\n'


class Hostile:
    """The service. `sent` is what it was told and nobody else may know."""

    def __init__(self) -> None:
        self.sent: set[str] = set()
        self.modes: set[str] = set()
        self.over = asyncio.Event()

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        self._learn(seen)
        if seen.target.endswith("/login"):
            writer.write(answer(200, json.dumps({"auth": {"client_token": MADE, "lease_duration": 3600, "renewable": True}}).encode()))
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
            writer.write(answer(200, json.dumps({"access_token": MADE, "token": MADE, **wrong}).encode(), *fields))
        elif mode == "control":
            made = {
                "access_token": f"{MADE}\nX-Own: 1",
                "token": f"{MADE}\x1b",
                "token_type": "Bearer",
                "data": {"data": {"token": f"{MADE}\nX-Own: 1"}, "token": f"{MADE}\r\nX-Own: 1"},
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
        for name, value in parse_qsl(seen.body.decode()):
            if name in {"client_assertion", "subject_token", "actor_token", "WebIdentityToken", "client_secret"}:
                self.sent.add(value)
        if seen.target.endswith("/login"):
            self.sent.add(json.loads(seen.body)["jwt"])
        given = seen.header("authorization") or ""
        if given.startswith("Basic "):
            self.sent.add(base64.b64decode(given.removeprefix("Basic ")).decode())
        elif given:
            self.sent.add(given.partition(" ")[2])


def write(folder: Path, tools: int, service: str) -> list[str]:
    """The deployment: a tool for each kind and mode. Returns their names."""
    names, parts = [], [VAULT.format(url=service)]
    for mode in MODES:
        for kind in (*TABLES, "stored", "leased"):
            name = f"{kind}-{mode}"
            names.append(name)
            parts.append(f'[tool.{name}]\nurl = "http://127.0.0.1:{tools}"\ncredential = "{name}"\nretries_max = 0\n')
            parts.append(f'[credential.{name}]\nhosts = ["127.0.0.1:{tools}"]\n' + ("" if kind in UNPLACED else 'header = "X-Key"\n'))
            if kind == "stored":
                parts.append(f'secret = "vault:{mode}/data/app#token"\n')
            elif kind == "leased":
                parts.append(f'[credential.{name}.vault]\npath = "{mode}/creds/app"\nfield = "token"\n')
            else:
                parts.append(TABLES[kind].format(name=name, url=f"{service}/{mode}"))
    with (folder / "gateway.toml").open("a") as settings:
        settings.write("\n".join(parts))
    (folder / "policies" / "all.cedar").write_text(RULES)
    (folder / "client.key").touch(0o600)
    (folder / "client.key").write_text(CLIENT_SECRET)
    write_key(folder / "client.pem", "ES256")
    write_key(folder / "app.pem", "RS256")
    return names


async def play(place: Place, names: list[str]) -> bytes:
    received: list[bytes] = []
    async with client_of(place.gateway.addresses["agents"], token_of(place.folder)) as agent, client_of(place.admin, None) as operator:

        async def one(name: str) -> None:
            for method in ("GET", "POST"):
                reply = await agent.request(method, f"/tools/{name}/reports/a")
                assert (reply.status_code, reply.json()["code"]) == (503, "credential_unavailable"), (name, reply.text)
                received.append(str(reply.headers.raw).encode() + reply.content)

        for mode in MODES:
            await asyncio.gather(*(one(name) for name in names if name.endswith(mode)))
        received += [(await operator.get(page)).content for page in ("/metrics", "/readyz")]
    return b"\n".join(received)


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
]


def commands(folder: Path, names: list[str] = COMMANDS) -> bytes:
    said = []
    for words in names:
        done = CliRunner().invoke(app, [*words.split(), "-C", str(folder)])
        assert done.exit_code in {0, 1}, (words, done.output)
        said.append(f"{done.output}{done.exception!r}")
    return "\n".join(said).encode()


async def test_no_service_that_hands_out_credentials_can_make_the_gateway_tell_what_it_was_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
):
    caplog.set_level(logging.DEBUG)
    hostile = Hostile()
    async with upstream(hostile) as service, upstream(hostile) as tools:
        write_place(tmp_path, tools.port)
        names = write(tmp_path, tools.port, service.url)
        async with running(tmp_path) as place:
            received = await play(place, names)
            told = "\n".join(place.said)
            working = {file: (tmp_path / file).read_text() for file in ("gateway.toml", "client.pem")}
            printed = await asyncio.to_thread(commands, tmp_path)
            for make in BAD_RELOADS.values():
                make(tmp_path)
                await place.gateway.reload()
                received += str((await place.client.get(f"{place.admin}/readyz")).content).encode()
                printed += await asyncio.to_thread(commands, tmp_path, ["check --json"])
                for file, text in working.items():
                    (tmp_path / file).write_text(text)
            assert await place.gateway.reload()
            hostile.over.set()
            said = "\n".join(place.said)
    assert hostile.modes == set(MODES) and tools.seen == [], "each failure was met, and no call went up without its credential"
    assert len(records(tmp_path, "call")) == 2 * len(names)
    assert {name for name in names if f"credential {name} cannot be had: " in told} == set(names), "the operator hears why"
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
    }
    belongs = {"notes.key", "client.key", "client.pem", "app.pem"}
    places |= {
        str(f.relative_to(tmp_path)): f.read_bytes() for f in tmp_path.rglob("*") if f.is_file() and f.name not in belongs and ".pem" not in f.name
    }
    assert any(name.endswith(".jsonl") for name in places)
    assert any(name.endswith(".db") or b"SQLite format" in content[:16] for name, content in places.items())
    secrets = {CLIENT_SECRET, MADE, *hostile.sent, *(part for text in hostile.sent if text.count(".") == 2 for part in text.split(".")[1:])}
    assert len([text for text in hostile.sent if text.count(".") == 2]) > 40, "assertions and statements of the gateway"
    for secret in secrets:
        for form in forms(secret):
            assert [name for name, content in places.items() if form in content] == [], f"{secret!r} leaked as {form!r}"
    inline = re.compile(rb"CANARY-inline[^\s\"']*|CANARYinlinekey|CANARY-user")
    assert {name: inline.findall(content) for name, content in places.items() if inline.search(content)} == {}
