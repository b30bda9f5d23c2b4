"""What agents prove themselves by, and what the gateway signs and seals with, in a gateway of several processes: in no file, output, answer, or process that needs none of it."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import time
from pathlib import Path

import httpx2
import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.identify.foreigners import Foreigner
from tests.journeys.canaries import files_of, leaks, pieces_of_key, pieces_of_token
from tests.journeys.place import write_place
from tests.journeys.process import process
from tests.journeys.token_clients import ACCESS_TOKEN, EXCHANGE, JWT, URL, Key, client, write_agent
from tests.simulators.upstreams import echo, upstream

ENVIRONMENT = "CANARY-of-the+environment/"
BOT = Key("bot-1")
IDP = Foreigner()
ISSUERS = """
schema = 1
[issuer.gateway]
kind = "self"
[issuer.idp]
kind = "oidc"
url = "https://idp.example"
jwks = "file:../idp.json"
audience = "http://gateway.test"
algs = ["ES256"]
user_claim = "email"
"""


def write(folder: Path, port: int) -> None:
    write_place(folder, port, log='arguments = "seal"')
    with (folder / "gateway.toml").open("a") as settings:
        settings.write(f'[tool.env]\nurl = "http://127.0.0.1:{port}"\ncredential = "env"\n')
        settings.write(f'[credential.env]\nsecret = "env:CANARY_PLAIN"\nheader = "X-Key"\nhosts = ["127.0.0.1:{port}"]\n')
    (folder / "identities" / "issuers.toml").write_text(ISSUERS)
    (folder / "idp.json").write_text(json.dumps(IDP.jwks()))
    (folder / "policies" / "all.cedar").write_text('@id("all") permit (principal in AgentGroup::"writers", action, resource);\n')
    more = '[delegation]\nmay_act_for_users = true\nuser_issuers = ["idp"]\n'
    write_agent(folder, "bot", f'{more}{BOT.toml}[[credential]]\nkind = "enrolled"\n')


class Agent:
    """Uses all that it has, rightly and wrongly, and remembers what of that is secret, and what it was answered."""

    def __init__(self, folder: Path, http: httpx2.AsyncClient) -> None:
        self._folder = folder
        self._http = http
        self.secret: list[str] = []
        self.received: list[bytes] = []

    async def send(self, method: str, path: str, **how: object) -> httpx2.Response:
        answer = await self._http.request(method, path, **how)
        self.received.append(str(answer.headers.raw).encode() + (b"" if b"access_token" in answer.content else answer.content))
        return answer

    def _known(self, text: str) -> str:
        self.secret += pieces_of_token(text)
        return text

    async def token(self, **form: str) -> str:
        """A token, asked for by an assertion; and nothing, by one that is used a second time or not well signed."""
        assertion = self._known(BOT.assertion("bot"))
        proof = self._known(BOT.proof("POST", f"{URL}/oauth2/token"))
        asked = {"grant_type": "client_credentials", **form, **client(assertion)}
        answer = await self.send("POST", "/oauth2/token", data=asked, headers={"dpop": proof})
        assert answer.status_code == 200, answer.text
        spoiled = self._known(assertion[:-8] + "AAAAAAAA")
        for again in (asked, {**asked, **client(spoiled)}, {**asked, "grant_type": assertion}, {**asked, "scope": assertion}):
            assert (await self.send("POST", "/oauth2/token", data=again, headers={"dpop": proof})).status_code >= 400
        return self._known(answer.json()["access_token"])

    async def play(self) -> None:
        own = await self.token()
        now = int(time.time())
        user = self._known(
            IDP.token(iss="https://idp.example", aud=URL, sub="1234", email="alice@example.com", iat=now, exp=now + 300, jti=secrets.token_hex(8))
        )
        for_user = await self.token(grant_type=EXCHANGE, subject_token=user, subject_token_type=JWT)
        for token in (own, for_user):
            for path in ("env/a", "notes/notes/7", "none/x", "env/..%2fa", f"env/a?access_token={secrets.token_hex(4)}"):
                proof = self._known(BOT.proof("GET", f"{URL}/tools/{path.partition('?')[0]}", token))
                for _ in range(2):  # the second time it is a replay
                    await self.send("GET", f"/tools/{path}", headers={"authorization": f"DPoP {token}", "dpop": proof})
            await self.send("POST", "/tools/notes/notes", json={"text": "x"}, headers={"authorization": f"Bearer {token}"})
            await self.send("GET", "/tools/env/a", headers={"authorization": f"Bearer {token[:-8]}AAAAAAAA"})
        for path in ("introspect", "revoke"):
            form = {"token": own, "token_type_hint": ACCESS_TOKEN, **client(self._known(BOT.assertion("bot")))}
            await self.send("POST", f"/oauth2/{path}", data=form)
        await self.enrol()

    async def enrol(self) -> None:
        words = ["identity", "add", "bot", "--enrol", "--json", "-C", str(self._folder)]
        told = await asyncio.to_thread(CliRunner().invoke, app, words)
        code = json.loads(told.stdout)["code"]
        self.secret.append(code)
        key = Key("")
        wrong = {"code": code, "jwk": key.jwk, "proof": self._known(Key("").proof("POST", f"{URL}/enrol", code))}
        right = wrong | {"proof": self._known(key.proof("POST", f"{URL}/enrol", code))}
        said = [(await self.send("POST", "/enrol", json=body)).status_code for body in (wrong, right, right)]
        assert said == [400, 201, 400]


def processes_below(pid: int) -> dict[int, tuple[bytes, bytes]]:
    """Command line and environment of every process that one has started, and of those that they have."""
    found: dict[int, tuple[bytes, bytes]] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        of = Path("/proc") / child
        found[int(child)] = (of.joinpath("cmdline").read_bytes(), of.joinpath("environ").read_bytes())
        found |= processes_below(int(child))
    return found


async def test_nothing_that_proves_who_an_agent_is_and_no_key_is_found_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CANARY_PLAIN", ENVIRONMENT)
    async with upstream(echo) as up:
        write(tmp_path, up.port)
        async with process(tmp_path, "--workers", 2) as (run, where):
            async with httpx2.AsyncClient(base_url=where["agents"], trust_env=False, timeout=20) as http:
                agent = Agent(tmp_path, http)
                await agent.play()
                agent.received += [(await http.get(f"{where['admin']}{page}")).content for page in ("/metrics", "/readyz", "/log/query?limit=500")]
            below = processes_below(run.pid)
            alive = files_of(tmp_path, is_of_a_secret)
            run.send_signal(signal.SIGTERM)
            out, err = await asyncio.wait_for(run.communicate(), 30)
    writers = [environ for command, environ in below.values() if b"\0writer\0" in command]
    assert len(writers) == 1 and len(below) == 3, "two workers, and who writes for them"
    assert ENVIRONMENT in {seen.header("x-key") for seen in up.seen}, "the workers have it"
    places = {f"command {pid}": command for pid, (command, _) in below.items()} | {"environment of the writer": writers[0]}
    places |= {
        "answers": b"\n".join(agent.received),
        "stdout": out,
        "stderr": err,
        "upstream": repr([(s.target, s.headers) for s in up.seen]).encode(),
    }
    places |= {f"alive {name}": text for name, text in alive.items()} | files_of(tmp_path, is_of_a_secret)
    keys = {file.name: file.read_bytes() for file in (tmp_path / "var" / "keys").iterdir() if is_of_a_secret(file)}
    assert {"log.key", "payload.key"} < keys.keys() and any("state.db-wal" in name for name in places) and any("keys.db" in name for name in places)
    pieces = [piece for name, key in keys.items() for piece in (pieces_of_key(key) if name.endswith(".pem") else [key.strip()])]
    assert len(agent.secret) > 60
    assert leaks([*agent.secret, *pieces], places) == []
    assert leaks([ENVIRONMENT], {name: text for name, text in places.items() if name != "upstream"}) == []


def is_of_a_secret(file: Path) -> bool:
    return file.name in {"notes.key", "log.key", "payload.key"} or file.suffix == ".pem"
