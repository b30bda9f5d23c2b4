"""A gateway as its clients see it: a token service and one tool, behind an httpx2 transport. Everything that arrives is kept."""

from __future__ import annotations

import json
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import parse_qs

import httpx2

URL = "https://gate.example"


@dataclass
class Gate:
    """`life_s` of its tokens; `refused` are tokens that calls are refused with; `down` answers 503; `redirect` is where the tool sends on to."""

    life_s: int = 300
    refused: set[str] = field(default_factory=set)
    down: bool = False
    slow_s: float = 0.0
    redirect: str = ""
    asked: list[dict[str, str]] = field(default_factory=list)
    calls: list[httpx2.Request] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def transport(self) -> httpx2.MockTransport:
        return httpx2.MockTransport(self.answer)

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        form = {name: values[0] for name, values in parse_qs(request.content.decode()).items()}
        if request.url.path == "/oauth2/token":
            return self._token(form, bound="dpop" in request.headers)
        if request.url.path == "/oauth2/revoke":
            self.revoked.append(form["token"])
            return httpx2.Response(200, json={})
        self.calls.append(request)
        token = request.headers.get("authorization", "").partition(" ")[2]
        if token in self.refused or request.url.host != "gate.example":
            challenge = 'Bearer realm="portreeve", error="invalid_token"'
            return httpx2.Response(401, headers={"www-authenticate": challenge}, json={"code": "invalid_token"})
        if self.redirect:
            return httpx2.Response(302, headers={"location": self.redirect})
        return httpx2.Response(200, json={"token": token})

    def _token(self, form: dict[str, str], *, bound: bool) -> httpx2.Response:
        with self._lock:
            self.asked.append(form)
            number = len(self.asked)
        if self.slow_s:
            time.sleep(self.slow_s)
        if self.down:
            return httpx2.Response(503, json={"error": "temporarily_unavailable"})
        said = {"access_token": f"token-{number}", "token_type": "DPoP" if bound else "Bearer", "expires_in": self.life_s, "scope": ""}
        return httpx2.Response(200, content=json.dumps(said).encode())
