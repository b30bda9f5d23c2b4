"""Requests with a token: to the gateway and nowhere else, with proofs where they are wanted, and once more after a refusal."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from gateway.client import AgentKey, GatewayAuth, async_client, client
from gateway.errors import Problem
from tests.client.gate import URL, Gate
from tests.journeys.token_clients import claims_of

OTHERS = ["https://evil.example/", "http://gate.example/", "https://gate.example:8443/", "https://gate.example.evil.example/", "//evil.example/"]


@pytest.fixture
def key_file(tmp_path: Path) -> Path:
    AgentKey.make().write(tmp_path / "agent.jwk", kid="k1", agent="bot", url=URL)
    return tmp_path / "agent.jwk"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith(("PORTREEVE_", "SPIFFE_"))]:
        monkeypatch.delenv(name)
    yield


def auth_of(gate: Gate, key_file: Path, **options) -> GatewayAuth:
    return GatewayAuth(key_file=key_file, transport=gate.transport, **options)


def test_a_path_is_enough_to_call_a_tool(key_file: Path):
    gate = Gate()
    with client(auth=auth_of(gate, key_file), transport=gate.transport) as http:
        assert [http.get("/tools/tickets/7").json()["token"] for _ in range(3)] == ["token-1"] * 3
    assert str(gate.calls[0].url) == f"{URL}/tools/tickets/7" and len(gate.asked) == 1


async def test_two_hundred_tasks_that_start_cold_make_one_request(key_file: Path):
    gate = Gate(slow_s=0.1)
    async with async_client(auth=auth_of(gate, key_file), transport=gate.transport) as http:
        answers = await asyncio.gather(*(http.get("/tools/tickets/7") for _ in range(200)))
    assert {answer.json()["token"] for answer in answers} == {"token-1"} and len(gate.asked) == 1


@pytest.mark.parametrize("url", OTHERS)
@pytest.mark.parametrize("own", [True, False])
def test_an_absolute_url_elsewhere_gets_no_token_and_no_request(key_file: Path, url: str, own: bool):
    """The attack: an answer of a tool names a URL, and the agent follows it."""
    gate = Gate()
    auth = auth_of(gate, key_file)
    http = client(auth=auth, transport=gate.transport) if own else httpx2.Client(auth=auth, transport=gate.transport, base_url=URL)
    with http, pytest.raises(Problem) as caught:
        http.get(httpx2.URL(URL).join(url), headers={"authorization": "Bearer left-over"})
    assert caught.value.code == "foreign_origin" and gate.calls == []


@pytest.mark.parametrize("url", OTHERS)
def test_a_redirect_elsewhere_is_not_followed_by_the_clients_of_this_package(key_file: Path, url: str):
    gate = Gate(redirect=url)
    with client(auth=auth_of(gate, key_file), transport=gate.transport, follow_redirects=True) as http, pytest.raises(Problem) as caught:
        http.get("/tools/tickets/7")
    assert caught.value.code == "foreign_origin" and [call.url.host for call in gate.calls] == ["gate.example"]


async def test_nor_by_the_one_for_tasks(key_file: Path):
    gate = Gate(redirect="https://evil.example/")
    async with async_client(auth=auth_of(gate, key_file), transport=gate.transport, follow_redirects=True) as http:
        with pytest.raises(Problem):
            await http.get("/tools/tickets/7")
    assert [call.url.host for call in gate.calls] == ["gate.example"]


def test_a_redirect_that_another_client_follows_carries_no_token_and_a_refusal_there_costs_none(key_file: Path):
    gate = Gate(redirect="https://evil.example/")
    with httpx2.Client(auth=auth_of(gate, key_file), transport=gate.transport, base_url=URL, follow_redirects=True) as http:
        assert http.get("/tools/tickets/7").status_code == 401
    assert [(call.url.host, "authorization" in call.headers) for call in gate.calls] == [("gate.example", True), ("evil.example", False)]
    assert len(gate.asked) == 1


def test_a_refused_token_is_renewed_once_and_the_call_sent_again(key_file: Path):
    gate = Gate(refused={"token-1"})
    with client(auth=auth_of(gate, key_file), transport=gate.transport) as http:
        assert http.post("/tools/tickets/7", json={"a": 1}).json()["token"] == "token-2"
    assert [call.content for call in gate.calls] == [b'{"a":1}'] * 2
    gate.refused = {f"token-{number}" for number in range(9)}
    gate.calls.clear()
    with client(auth=auth_of(gate, key_file), transport=gate.transport) as http:
        assert http.get("/tools/tickets/7").status_code == 401
    assert len(gate.calls) == 2, "once, not for ever"


async def test_so_it_is_for_tasks(key_file: Path):
    gate = Gate(refused={"token-1"})
    async with async_client(auth=auth_of(gate, key_file), transport=gate.transport) as http:
        answers = await asyncio.gather(*(http.get("/tools/tickets/7") for _ in range(20)))
    assert {answer.json()["token"] for answer in answers} == {"token-2"} and len(gate.asked) == 2


def test_a_body_that_is_a_stream_is_sent_once(key_file: Path):
    gate = Gate(refused={"token-1"})
    with client(auth=auth_of(gate, key_file), transport=gate.transport) as http:
        assert http.post("/tools/tickets/7", content=iter([b"a", b"b"])).status_code == 401
    assert len(gate.calls) == 1


@pytest.mark.parametrize("url", ["/tools/tickets/7?q=1", "/tools/tickets/a%20b", "/tools"])
def test_each_request_has_a_proof_of_its_own_for_its_method_url_and_token(key_file: Path, url: str):
    gate = Gate()
    with client(auth=auth_of(gate, key_file, dpop=True, issuer="https://outside.example"), transport=gate.transport) as http:
        http.get(url)
        http.post(url)
    one, two = (claims_of(call.headers["dpop"]) for call in gate.calls)
    assert gate.calls[0].headers["authorization"] == "DPoP token-1"
    assert (one["htm"], two["htm"]) == ("GET", "POST")
    assert one["htu"] == two["htu"] == "https://outside.example" + url.partition("?")[0]
    assert one["ath"] == two["ath"] and one["jti"] != two["jti"]


def test_the_token_is_in_no_log_text_or_error(key_file: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)
    gate = Gate(redirect="https://evil.example/")
    auth = auth_of(gate, key_file, dpop=True)
    with client(auth=auth, transport=gate.transport, follow_redirects=True) as http, pytest.raises(Problem) as caught:
        http.get("/tools/tickets/7")
    assert caplog.records
    assert "token-1" not in caplog.text + str(caught.value) + repr(vars(auth)) + repr(vars(auth.tokens)) + repr(gate.calls[0].headers)


def test_the_environment_says_where_and_who(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "token").write_text("from-a-file\n")
    monkeypatch.setenv("PORTREEVE_URL", URL + "/")
    monkeypatch.setenv("PORTREEVE_TOKEN", "from-the-environment")
    assert GatewayAuth().headers("GET", "/v1/tools") == {"Authorization": "Bearer from-the-environment"}
    monkeypatch.setenv("PORTREEVE_TOKEN_FILE", str(tmp_path / "token"))
    assert GatewayAuth().headers("GET", "/v1/tools") == {"Authorization": "Bearer from-a-file"}
    assert GatewayAuth(token="explicit").headers("GET", "/v1/tools") == {"Authorization": "Bearer explicit"}


@pytest.mark.parametrize("url", ["", "gate.example", "ftp://gate.example", "https://user:pw@gate.example", "https://gate.example/?a=b", "https://"])
def test_what_is_no_url_of_a_gateway_is_a_problem(url: str):
    with pytest.raises(Problem) as caught:
        GatewayAuth(url, token="t")
    assert caught.value.code == "no_gateway"
