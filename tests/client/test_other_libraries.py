"""GatewayAuth for agents that are built on httpx or on `requests`: the same tokens, and the same refusal to give them to anybody else."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Iterator
from pathlib import Path

import httpx
import httpx2
import pytest
import requests

from gateway.client import AgentKey, GatewayAuth
from gateway.errors import Problem
from tests.client.gate import URL, Gate
from tests.journeys.token_clients import claims_of


class HttpxAuth(GatewayAuth, httpx.Auth):
    """As the page for agent developers has it."""


class Adapter(requests.adapters.BaseAdapter):
    """The gate as `requests` reaches it."""

    def __init__(self, gate: Gate) -> None:
        super().__init__()
        self.gate = gate

    def send(self, request, **_options):
        answer = self.gate.answer(httpx2.Request(request.method, request.url, headers=dict(request.headers), content=request.body))
        response = requests.Response()
        response.status_code, response.url, response.request = answer.status_code, request.url, request
        response.headers = requests.structures.CaseInsensitiveDict(answer.headers)
        response.raw = io.BytesIO(answer.content)
        return response

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("PORTREEVE_", "SPIFFE_"))]:
        monkeypatch.delenv(name)
    yield


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    AgentKey.make().write(tmp_path / "agent.jwk", kid="k1", agent="bot", url=URL)
    return tmp_path / "agent.jwk"


def transport_of(gate: Gate) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        got = gate.answer(httpx2.Request(request.method, str(request.url), headers=dict(request.headers), content=request.read()))
        return httpx.Response(got.status_code, headers=dict(got.headers), content=got.content)

    return httpx.MockTransport(answer)


def session_of(gate: Gate, auth: GatewayAuth) -> requests.Session:
    session = requests.Session()
    session.mount("https://", Adapter(gate))
    session.auth, session.trust_env = auth, False
    return session


def test_httpx_gets_tokens_and_sends_again_what_was_refused(key_file: Path):
    gate = Gate(refused={"token-1"})
    with httpx.Client(base_url=URL, auth=HttpxAuth(key_file=key_file, transport=gate.transport), transport=transport_of(gate)) as http:
        assert http.post("/tools/tickets/7", json={"a": 1}).json()["token"] == "token-2"
        assert http.get("/tools/tickets/7").json()["token"] == "token-2"
    assert [call.content for call in gate.calls][:2] == [b'{"a":1}'] * 2 and len(gate.calls) == 3


async def test_so_it_is_for_tasks_of_httpx_which_ask_once_together(key_file: Path):
    gate = Gate(refused={"token-1"}, slow_s=0.05)
    async with httpx.AsyncClient(base_url=URL, auth=HttpxAuth(key_file=key_file, transport=gate.transport), transport=transport_of(gate)) as http:
        answers = await asyncio.gather(*(http.get("/tools/tickets/7") for _ in range(20)))
    assert {answer.json()["token"] for answer in answers} == {"token-2"} and len(gate.asked) == 2


def test_a_body_of_httpx_that_is_a_stream_is_sent_once(key_file: Path):
    gate = Gate(refused={"token-1"})
    with httpx.Client(base_url=URL, auth=HttpxAuth(key_file=key_file, transport=gate.transport), transport=transport_of(gate)) as http:
        assert http.post("/tools/tickets/7", content=iter([b"a", b"b"])).status_code == 401
    assert len(gate.calls) == 1


def test_requests_gets_a_fresh_token_for_each_request_and_a_proof_of_its_own(key_file: Path):
    gate = Gate()
    with session_of(gate, GatewayAuth(key_file=key_file, dpop=True, transport=gate.transport)) as http:
        assert http.post(URL + "/tools/tickets/7?q=1", json={"a": 1}).json()["token"] == "token-1"
        assert http.get(URL + "/tools/tickets/7").json()["token"] == "token-1"
    one, two = (claims_of(call.headers["dpop"]) for call in gate.calls)
    assert (one["htm"], two["htm"]) == ("POST", "GET") and one["jti"] != two["jti"]
    assert one["htu"] == two["htu"] == URL + "/tools/tickets/7" and len(gate.asked) == 1


@pytest.mark.parametrize("url", ["https://evil.example/", "https://gate.example:8443/", "https://gate.example.evil.example/"])
def test_neither_gets_a_token_for_another_origin(key_file: Path, url: str):
    gate = Gate()
    auth = HttpxAuth(key_file=key_file, transport=gate.transport)
    with httpx.Client(auth=auth, transport=transport_of(gate)) as http, pytest.raises(Problem):
        http.get(url)
    with session_of(gate, auth) as session, pytest.raises(Problem) as caught:
        session.get(url, headers={"authorization": "Bearer left-over"})
    assert caught.value.code == "foreign_origin" and gate.calls == []


def test_requests_follows_a_redirect_elsewhere_without_the_token(key_file: Path):
    gate = Gate(redirect="https://evil.example/")
    with session_of(gate, GatewayAuth(key_file=key_file, transport=gate.transport)) as session:
        assert session.get(URL + "/tools/tickets/7").status_code == 401
    assert [(call.url.host, "authorization" in call.headers) for call in gate.calls] == [("gate.example", True), ("evil.example", False)]
