"""The two endpoints of GitHub at which the tokens of an installation are made and ended."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt

from tests.simulators.upstreams import Seen, answer

APP, INSTALLATION = "123456", "987654"


@dataclass
class Github:
    """`public` is the App's key. `tokens` are those that count now, with what each is for. `more` spoils an answer."""

    public: Any
    repositories: tuple[str, ...] = ("site", "docs")
    permissions: dict[str, str] = field(default_factory=lambda: {"issues": "write", "contents": "read", "metadata": "read"})
    more: dict[str, Any] = field(default_factory=dict)
    status: int = 201
    ends: int = 204
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[dict[str, Any]] = field(default_factory=list)

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        given = (seen.header("authorization") or "").removeprefix("Bearer ")
        if (seen.method, seen.target) == ("DELETE", "/installation/token"):
            known = self.tokens.pop(given, None) if self.ends == 204 else given
            writer.write(answer(self.ends if known else 401, b""))
        elif (seen.method, seen.target) == ("POST", f"/app/installations/{INSTALLATION}/access_tokens") and seen.header("user-agent"):
            writer.write(self._make(given, json.loads(seen.body)))
        else:
            writer.write(answer(404))

    def _make(self, given: str, wanted: dict[str, Any]) -> bytes:
        claims = jwt.decode(given, self.public, algorithms=["RS256"], options={"require": ["iat", "exp", "iss"]})
        self.asked.append(wanted)
        if claims["iss"] != APP or claims["exp"] > time.time() + 600 or claims["iat"] > time.time() - 30:
            return answer(401)
        if self.status != 201:
            return answer(self.status, b'{"message":"CANARY-of-theirs"}')
        if not set(wanted["repositories"]) <= set(self.repositories) or not wanted["permissions"].keys() <= self.permissions.keys():
            return answer(422)
        token = f"ghs_{APP}_CANARY-{len(self.asked)}"
        told = {
            "token": token,
            "expires_at": datetime.fromtimestamp(int(time.time()) + 3600, UTC).isoformat().replace("+00:00", "Z"),
            "permissions": {**wanted["permissions"], "metadata": "read"},
            "repositories": [{"id": 1, "name": name} for name in wanted["repositories"]],
            **self.more,
        }
        self.tokens[token] = told
        return answer(201, json.dumps(told).encode())
