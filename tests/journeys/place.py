"""A small deployment in a folder, the gateway on it in this process, and what a test asks of both."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from gateway.app import Gateway
from gateway.config.load import load
from gateway.identify import SigningKeys, mint
from gateway.identities import load_identities
from gateway.record import parse_keys, verify_folder

UPSTREAM_KEY = "CANARY-upstream-key-8f1c"

SETTINGS = """
schema = 1
[gateway]
name = "journey"
url = "http://gateway.test"
[listen.agents]
address = "127.0.0.1:0"
[listen.admin]
address = "127.0.0.1:0"
[log]
folder = "log"
origin = "journey.test/log"
{log}
[limits]
{limits}
[tool.notes]
url = "http://127.0.0.1:{port}/api"
credential = "notes-key"
{tool}
[tool.notes.operation.read_note]
method = "GET"
path = "/notes/{{id}}"
effect = "read"
parameters = {{ id = {{ type = "string" }} }}
[tool.notes.operation.write_note]
method = "POST"
path = "/notes"
effect = "write"
body = {{ type = "object", required = ["text"], properties = {{ text = {{ type = "string", maxLength = 200000 }}, stars = {{ type = "integer" }} }} }}
[tool.plain]
url = "http://127.0.0.1:{port}"
credential = "notes-key"
{tool}
[tool.open]
url = "http://127.0.0.1:{port}"
{tool}
[credential.notes-key]
secret = "file:notes.key"
header = "X-Api-Key"
hosts = ["127.0.0.1:{port}"]
"""

POLICY = """
@id("writers-read")
permit (principal in AgentGroup::"writers", action in [Action::"notes/read_note", Action::"plain/read", Action::"open/read"], resource);
@id("writers-write")
permit (principal in AgentGroup::"writers", action in [Action::"notes/write_note", Action::"plain/write"], resource);
@id("few-stars")
@message("At most five stars")
forbid (principal, action == Action::"notes/write_note", resource) when { context.input has stars && context.input.stars > 5 };
"""

AGENT = """
schema = 1
[agent]
id = "{id}"
owner = "team:test"
description = "plays in a test"
groups = {groups}
"""


def write_place(folder: Path, port: int, *, tool: str = "", limits: str = "", log: str = "") -> None:
    """Write the deployment. `tool`, `limits` and `log` are further lines of those tables."""
    for name in ("policies", "identities/agents"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    (folder / "gateway.toml").write_text(SETTINGS.format(port=port, tool=tool, limits=limits, log=log))
    key = folder / "notes.key"
    key.touch(0o600)
    key.write_text(UPSTREAM_KEY + "\n")
    (folder / "policies" / "rules.cedar").write_text(POLICY)
    (folder / "identities" / "issuers.toml").write_text('schema = 1\n[issuer.gateway]\nkind = "self"\n')
    for name, groups in (("writer", '["writers"]'), ("stranger", "[]")):
        (folder / "identities" / "agents" / f"{name}.toml").write_text(AGENT.format(id=name, groups=groups))


def token_of(folder: Path, agent: str = "writer", *, age_s: float = 0) -> str:
    settings = load(folder)
    found = load_identities(settings.identities).agents[agent]
    keys = SigningKeys.open(settings.keys)
    return mint(keys, found, issuer=settings.url, audience=settings.url + "/tools", now=time.time() - age_s).reveal()


class Clock:
    """Stands still at `at_s`, so that a start may take its time, until `go`."""

    def __init__(self, at_s: float) -> None:
        self._at_s = at_s
        self._since_s: float | None = None

    def __call__(self) -> float:
        return self._at_s + (0 if self._since_s is None else time.monotonic() - self._since_s)

    def go(self) -> None:
        self._since_s = time.monotonic()

    @property
    def behind_s(self) -> float:
        """By how much it is behind the time."""
        return time.time() - self()


def records(folder: Path, kind: str = "") -> list[dict]:
    """The log's records as they stand, of one kind or all."""
    found = [json.loads(line) for segment in sorted((folder / "log" / "log").glob("*.jsonl")) for line in segment.read_bytes().split(b"\n") if line]
    return [record for record in found if not kind or record["k"] == kind]


def verified(folder: Path):
    """The full verdict on the log, with keys from outside it."""
    vkey = (load(folder).keys / "log.vkey").read_text()
    return verify_folder(folder / "log", keys=parse_keys(vkey), level="full", origin="journey.test/log")


@dataclass
class Place:
    """A running gateway over its folder. `client` speaks to the agents' listener as the agent `writer`."""

    folder: Path
    gateway: Gateway
    client: httpx2.AsyncClient
    said: list[str] = field(default_factory=list)

    @property
    def admin(self) -> str:
        return self.gateway.addresses["admin"]

    @property
    def port(self) -> int:
        return int(self.gateway.addresses["agents"].rsplit(":", 1)[1])

    async def settled(self, kind: str, count: int) -> list[dict]:
        """The records of a kind once there are `count`: results are written behind the answer."""
        async with asyncio.timeout(10):
            while len(found := records(self.folder, kind)) < count:
                await asyncio.sleep(0.01)
        return found


def client_of(url: str, token: str | None) -> httpx2.AsyncClient:
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx2.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=20)


@contextlib.asynccontextmanager
async def running(folder: Path, now: Callable[[], float] = time.time) -> AsyncIterator[Place]:
    """Run the gateway on a written deployment for the length of the block. `now` in seconds since the epoch."""
    said: list[str] = []
    gateway = await Gateway.start(folder, report=said.append, now=now)
    try:
        async with client_of(gateway.addresses["agents"], token_of(folder, age_s=time.time() - now())) as client:
            yield Place(folder, gateway, client, said)
    finally:
        await gateway.stop()
