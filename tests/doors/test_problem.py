"""Refusals as bytes: RFC 9457, nothing private, the fields that clients act on."""

from __future__ import annotations

import pytest

from gateway.call import Receipt, Refused
from gateway.canonical import loads
from gateway.doors.problem import problem
from gateway.errors import REFUSALS, Refusal

RECEIPT = Receipt("test.example/log", 7, "leaf")


def fields_of(refused: Refused, **options: str) -> dict[bytes, bytes]:
    return dict(problem(refused, **options)[1])


@pytest.mark.parametrize("code", REFUSALS)
def test_every_refusal_is_a_problem_with_its_status_code_and_hint(code):
    status, fields, body = problem(Refused(Refusal(code, reason="private"), "call-id"))
    said = loads(body)
    assert status == REFUSALS[code].status == said["status"]
    assert (said["type"], said["code"], said["call"]) == (f"urn:portreeve:error:{code}", code, "call-id")
    assert (said["title"], said["hint"]) == (REFUSALS[code].title, REFUSALS[code].hint)
    headers = dict(fields)
    assert headers[b"content-type"] == b"application/problem+json"
    assert headers[b"content-length"] == str(len(body)).encode()
    assert headers[b"cache-control"] == b"no-store"
    assert headers[b"portreeve-call"] == b"call-id"
    assert b"private" not in body
    assert (b"www-authenticate" in headers) == (status == 401)


def test_a_refusal_that_never_became_a_call_gets_a_number_to_ask_about():
    one, two = (loads(problem(Refused(Refusal("not_found"), ""))[2])["call"] for _ in range(2))
    assert len(one) == 32
    assert one != two


def test_a_recorded_refusal_says_where_its_record_is():
    _, fields, body = problem(Refused(Refusal("denied", "Refunds end at 100"), "c", RECEIPT))
    assert loads(body)["decision"] == {"log": "test.example/log", "n": 7}
    assert loads(body)["detail"] == "Refunds end at 100"
    assert dict(fields)[b"portreeve-decision"] == b"test.example/log#7;leaf"


def test_an_unrecorded_refusal_names_no_record():
    assert b"decision" not in problem(Refused(Refusal("overloaded"), "c"))[2]


def test_a_contract_violation_points_at_the_argument():
    assert loads(problem(Refused(Refusal("contract_violation", pointer="/body/amount"), "c"))[2])["pointer"] == "/body/amount"


@pytest.mark.parametrize(
    ("refused", "message"),
    [
        (
            Refused(Refusal("denied", "Refunds end at 100."), "c", RECEIPT),
            "Refunds end at 100. Change the arguments, or ask the owner of the policy. [denied, test.example/log#7]",
        ),
        (
            Refused(Refusal("contract_violation", "must be an integer", pointer="/body/amount"), "c"),
            "/body/amount: must be an integer. Correct the argument that `pointer` names. [contract_violation]",
        ),
        (
            Refused(Refusal("overloaded", retry_after_s=2), "c"),
            "The gateway is busy; nothing was sent. Wait for the seconds in Retry-After. [overloaded, again in 2 s]",
        ),
    ],
)
def test_the_message_is_the_whole_refusal_because_vendors_clients_show_nothing_else(refused, message):
    assert loads(problem(refused)[2])["message"] == message


def test_clients_that_send_again_by_themselves_are_told_not_to_where_nobody_knows_whether_the_tool_acted():
    for code in ("upstream_broken", "upstream_timeout"):
        assert fields_of(Refused(Refusal(code, outcome="unknown"), "c"))[b"x-should-retry"] == b"false"
        assert b"x-should-retry" not in fields_of(Refused(Refusal(code, outcome="timeout"), "c"))
    assert b"x-should-retry" not in fields_of(Refused(Refusal("rate_limited", retry_after_s=3), "c"))


@pytest.mark.parametrize("code", REFUSALS)
def test_a_client_of_json_rpc_gets_an_error_of_json_rpc_with_the_same_problem_in_it(code):
    status, fields, body = problem(Refused(Refusal(code, reason="private"), "c", RECEIPT), rpc=True)
    plain_status, _, plain = problem(Refused(Refusal(code, reason="private"), "c", RECEIPT))
    said = loads(body)
    assert (status, said["jsonrpc"], said["id"]) == (plain_status, "2.0", None)
    assert said["error"] == {"code": -31_000 - status, "message": loads(plain)["message"], "data": loads(plain)}
    assert not -32_768 <= said["error"]["code"] <= -32_000  # those belong to JSON-RPC and to MCP
    assert dict(fields)[b"content-type"] == b"application/json" and dict(fields)[b"content-length"] == str(len(body)).encode()


def test_retry_after_is_in_seconds_and_only_where_waiting_helps():
    assert fields_of(Refused(Refusal("rate_limited", retry_after_s=3), "c"))[b"retry-after"] == b"3"
    assert loads(problem(Refused(Refusal("rate_limited", retry_after_s=3), "c"))[2])["retry_after_s"] == 3
    assert b"retry_after_s" not in problem(Refused(Refusal("denied", retry_after_s=3), "c"))[2]
    assert fields_of(Refused(Refusal("circuit_open", retry_after_s=0), "c"))[b"retry-after"] == b"0"
    assert b"retry-after" not in fields_of(Refused(Refusal("denied", retry_after_s=3), "c"))
    assert b"retry-after" not in fields_of(Refused(Refusal("credential_unavailable"), "c"))


def test_the_challenge_is_the_same_whatever_was_wrong_and_says_where_to_ask():
    url = "https://gate.example/"
    reasons = ("expired", "no such agent", "a key that nobody knows", "it was used before")
    said = {fields_of(Refused(Refusal("invalid_token", reason=reason), "c"), base_url=url)[b"www-authenticate"].decode() for reason in reasons}
    (challenge,) = said
    bearer, _, dpop = challenge.partition(", DPoP ")
    for one in (bearer, dpop):
        assert 'error="invalid_token", error_description="The token is missing, malformed, ended, or needs a proof.' in one
        assert 'resource_metadata="https://gate.example/.well-known/oauth-protected-resource"' in one
    assert bearer.startswith('Bearer realm="portreeve"') and dpop.endswith('algs="ES256 ES384 RS256 PS256 EdDSA"')
    assert b"resource_metadata=" not in fields_of(Refused(Refusal("invalid_token"), "c"))[b"www-authenticate"]
