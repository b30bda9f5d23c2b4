"""The agents of the demo: real HTTP clients over real sockets, with tokens for who they claim to be."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from gateway.cli.demo.stage import Stage
from gateway.config.load import load
from gateway.identify import SigningKeys
from gateway.identify.mint import mint
from gateway.identities import load_identities
from gateway.loading import audience
from gateway.secret import Secret

CALL_S_MAX = 20.0
ANSWER_BYTES_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class Answer:
    """What an agent got back. `code` and `detail` are those of a refusal, empty otherwise; `n` is the number of the decision in the log."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    code: str = ""
    detail: str = ""
    n: int | None = None

    def json(self) -> Any:
        return json.loads(self.body)


class Agents:
    """Every agent of the deployment, ready to call. Close it with `await agents.close()`."""

    def __init__(self, stage: Stage) -> None:
        settings = load(stage.deployment)
        self._issuer, self._audience = settings.url, audience(settings)
        self._identities = load_identities(settings.identities)
        self._keys = SigningKeys.open(settings.keys)
        self._stage = stage
        self._client = httpx2.AsyncClient(trust_env=False, timeout=CALL_S_MAX)

    def token(self, agent: str, *, age_s: float = 0.0) -> Secret:
        """A token for the agent that was signed `age_s` seconds ago by the gateway's own key."""
        known = self._identities.agents[agent]
        return mint(self._keys, known, issuer=self._issuer, audience=self._audience, now=time.time() - age_s)

    def forged(self, agent: str, claimed: str) -> Secret:
        """The agent's own token, with the name in it changed to another's; the signature is what it was."""
        head, body, signature = self.token(agent).reveal().split(".")
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        claims |= {"sub": f"agent:{claimed}", "client_id": claimed}
        body = base64.urlsafe_b64encode(json.dumps(claims, separators=(",", ":")).encode()).rstrip(b"=").decode()
        return Secret(f"{head}.{body}.{signature}")

    async def call(self, token: Secret, method: str, path: str, body: object = None) -> Answer:
        """One tool call through the gateway; `path` begins after /tools/."""
        headers = {"authorization": f"Bearer {token.reveal()}"}
        answer = await self._client.request(method, f"{self._stage.agents_url}/tools/{path}", headers=headers, json=body)
        return understood(answer.status_code, dict(answer.headers), answer.content)

    async def straight(self, path: str) -> Answer:
        """The same call to the upstream itself, without the gateway and so without a credential."""
        answer = await self._client.get(f"http://127.0.0.1:{self._stage.ports['api']}/{path}")
        return understood(answer.status_code, dict(answer.headers), answer.content)

    async def raw(self, token: Secret, method: str, path: str, body: bytes = b"") -> Answer:
        """Bytes on a socket: what a client library would tidy up before sending."""
        url = urlsplit(self._stage.agents_url)
        head = f"{method} /tools/{path} HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {token.reveal()}\r\nconnection: close\r\n"
        if body:
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n"
        async with asyncio.timeout(CALL_S_MAX):
            reader, writer = await asyncio.open_connection(url.hostname, url.port)
            try:
                writer.write(head.encode() + b"\r\n" + body)
                await writer.drain()
                got = await reader.read(ANSWER_BYTES_MAX)
                while more := await reader.read(ANSWER_BYTES_MAX):
                    got += more
            finally:
                writer.close()
        first, _, rest = got.partition(b"\r\n\r\n")
        lines = first.decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        return understood(int(lines[0].split()[1]), fields, rest)

    async def seen(self) -> int:
        """How many requests have reached the upstream so far, by its own count."""
        answer = await self._client.get(f"http://127.0.0.1:{self._stage.ports['control']}/seen")
        return len(answer.json())

    async def readiness(self) -> dict[str, Any]:
        """What the gateway says of itself on its admin listener."""
        answer = await self._client.get(f"{self._stage.admin_url}/readyz")
        value: dict[str, Any] = answer.json()
        return value

    async def close(self) -> None:
        await self._client.aclose()


def understood(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    """Read what the gateway adds to an answer: the problem of a refusal, and the decision's number (`origin#n;leaf`)."""
    decision = headers.get("portreeve-decision", "")
    number = decision.partition("#")[2].partition(";")[0]
    problem = json.loads(body) if headers.get("content-type", "").startswith("application/problem+json") else {}
    return Answer(status, headers, body, code=problem.get("code", ""), detail=problem.get("detail", ""), n=int(number) if number.isdigit() else None)
