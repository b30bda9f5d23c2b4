"""The token and revocation endpoints (RFC 6749, 7009) of another service: check the client, count what they are asked, and fail as a test wishes."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote_plus

import jwt

from tests.simulators.upstreams import Seen, answer

CLIENT, CLIENT_SECRET = "gateway", "CANARY-client+secret/1"


@dataclass
class TokenEndpoint:
    """`asked` are the forms of all requests for tokens, `revoked` the tokens that were ended at `/revoke`, unless `ends` is another status than 200. `keys` verify assertions, by issuer; without one an assertion is refused. `gate` holds answers back."""

    token: str = "CANARY-access-token"
    more: dict[str, Any] = field(default_factory=lambda: {"token_type": "Bearer", "expires_in": 3600})
    status: int = 200
    error: str = ""
    body: bytes | None = None
    gate: asyncio.Event | None = None
    keys: dict[str, Any] = field(default_factory=dict)
    audience: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    ends: int = 200
    ending: asyncio.Event | None = None

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        form = {name: values[0] for name, values in parse_qs(seen.body.decode(), strict_parsing=True).items()}
        if seen.target.endswith("/revoke"):
            await self._revoke(seen, form, writer)
            return
        self.asked.append(form)
        number = len(self.asked)
        if self.gate is not None:
            await self.gate.wait()
        if self.body is not None:
            writer.write(answer(self.status, self.body))
        elif not self._is_client(seen, form) or self.status != 200:
            writer.write(answer(401 if self.status == 200 else self.status, json.dumps({"error": self.error or "invalid_client"}).encode()))
        else:
            writer.write(answer(200, json.dumps({"access_token": f"{self.token}-{number}", **self.more}).encode()))

    async def _revoke(self, seen: Seen, form: dict[str, str], writer: asyncio.StreamWriter) -> None:
        if self.ending is not None:
            await self.ending.wait()
        if not self._is_client(seen, form) or form.get("token_type_hint") != "access_token":
            writer.write(answer(401, b'{"error":"invalid_client"}'))
            return
        if self.ends == 200:
            self.revoked.append(form["token"])
        writer.write(answer(self.ends, b""))

    def _is_client(self, seen: Seen, form: dict[str, str]) -> bool:
        for name in ("client_assertion", "subject_token", "actor_token"):
            if name in form:
                self.told.append({"as": name, **self._verified(form[name])})
        if "client_assertion" in form:
            return form["client_id"] == self.told[0]["iss"] == self.told[0]["sub"]
        given = seen.header("authorization")
        if given is not None:
            client, _, secret = base64.b64decode(given.removeprefix("Basic ")).decode().partition(":")
            return (unquote_plus(client), unquote_plus(secret)) == (CLIENT, CLIENT_SECRET)
        return (form.get("client_id"), form.get("client_secret")) == (CLIENT, CLIENT_SECRET)

    def _verified(self, token: str) -> dict[str, Any]:
        issuer = jwt.decode(token, options={"verify_signature": False})["iss"]
        return jwt.decode(
            token, self.keys[issuer], algorithms=["ES256", "RS256", "EdDSA"], audience=self.audience, options={"require": ["exp", "jti"]}
        )
