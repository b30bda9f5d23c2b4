"""What the token service answers, and what an agent makes of it."""

from __future__ import annotations

import httpx2
import pytest

from gateway.client.key import AgentKey
from gateway.client.service import TokenService
from gateway.errors import Problem

URL = "https://gate.example"
GOOD = {"access_token": "t", "expires_in": 300, "token_type": "Bearer"}


def asked(answer: httpx2.Response, key: AgentKey | None = None) -> str:
    service = TokenService(URL, URL, httpx2.MockTransport(lambda _: answer))
    with pytest.raises(Problem) as caught:
        service.ask({"assertion": "CANARY"}, key)
    assert "CANARY" not in str(caught.value) and caught.value.remedy
    return caught.value.code


@pytest.mark.parametrize("change", [{"access_token": 7}, {"access_token": "ü"}, {"expires_in": "300"}, {"expires_in": 0}, {"token_type": "mac"}])
def test_an_answer_that_is_not_one_of_a_token_service_is_a_problem(change: dict[str, object]):
    assert asked(httpx2.Response(200, json={**GOOD, **change})) == "token_service_unclear"


def test_neither_is_a_page_of_something_else():
    assert asked(httpx2.Response(200, text="<html>")) == "token_service_unclear"
    assert asked(httpx2.Response(502, text="<html>")) == "token_service_unclear"
    assert asked(httpx2.Response(302, headers={"location": "https://evil.example"})) == "token_service_unclear"


def test_a_token_that_is_not_bound_as_asked_is_not_used():
    """The attack: what stands between takes the proof away, and the token would be good for whoever has it."""
    assert asked(httpx2.Response(200, json=GOOD), AgentKey.make()) == "token_not_bound"
    assert asked(httpx2.Response(200, json={**GOOD, "token_type": "DPoP"})) == "token_not_bound"


def test_a_refusal_keeps_its_code_and_says_what_to_look_at():
    assert asked(httpx2.Response(401, json={"error": "invalid_client", "error_description": "no"})) == "invalid_client"
    assert asked(httpx2.Response(400, json={"error": "\x1b[31m"})) == "token_service_unclear"


def test_a_gateway_that_is_not_there_is_a_problem():
    with pytest.raises(Problem) as caught:
        TokenService("http://127.0.0.1:1", URL).ask({}, None)
    assert caught.value.code == "gateway_unreachable"
