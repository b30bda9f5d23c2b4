from __future__ import annotations

import pytest

from gateway.authorize.cases import read_cases, run_cases
from gateway.canonical import dumps
from gateway.errors import Problem

from .world import PERMIT_ALL, REFUND_OF, quick

TEXT = (
    PERMIT_ALL
    + """
@id("late") @message("Closed.") forbid (principal, action, resource) when { context.now > datetime("2026-06-01") };
@id("busy") forbid (principal, action, resource) when { context.run.calls_last_minute > 5 || context.run.calls_in_flight > 5 };
@id("chain") forbid (principal, action, resource) when { context.actors.contains("agent:x") || (context has user && context.user == User::"mallory") };
@id("weak") forbid (principal, action == Action::"tickets/delete_ticket", resource) unless { context.auth.pop && context.auth.scopes.contains("del") };
"""
)


def run(tmp_path, call, **expect):
    (tmp_path / "cases").mkdir(exist_ok=True)
    entry = {
        "name": "n",
        "call": {"agent": "support-bot", "tool": "tickets", "operation": "list_tickets", "arguments": {}} | call,
        "expect": {"decision": "allow"} | expect,
    }
    (tmp_path / "cases" / "a.json").write_bytes(dumps({"cases": [entry]}))
    (found,) = run_cases(quick(TEXT), read_cases(tmp_path))
    return found


@pytest.mark.parametrize(
    ("call", "reasons"),
    [
        ({}, ("all",)),
        ({"now": "2026-06-02T00:00:00Z"}, ("late",)),
        ({"calls_last_minute": 6}, ("busy",)),
        ({"calls_in_flight": 6}, ("busy",)),
        ({"actors": ["agent:x"]}, ("chain",)),
        ({"user": "mallory"}, ("chain",)),
        ({"operation": "delete_ticket", "arguments": {"ticket_id": "1"}}, ("weak",)),
        ({"operation": "delete_ticket", "arguments": {"ticket_id": "1"}, "pop": True, "scopes": ["del"]}, ("all",)),
    ],
)
def test_everything_a_call_may_have_reaches_policy(tmp_path, call, reasons):
    assert run(tmp_path, call).reasons == reasons


@pytest.mark.parametrize(
    ("expect", "wrong"),
    [
        ({"decision": "allow"}, ""),
        ({"decision": "allow", "reasons": ["all"]}, ""),
        ({"decision": "deny"}, "decision is 'allow' (by all), expected 'deny'"),
        ({"decision": "allow", "reasons": []}, "reasons is ['all'], expected []"),
        ({"decision": "allow", "code": "denied"}, "code is '', expected 'denied'"),
    ],
)
def test_what_is_expected_is_compared(tmp_path, expect, wrong):
    assert run(tmp_path, {}, **expect).wrong == wrong


def test_code_and_message_can_be_expected(tmp_path):
    assert run(tmp_path, {"now": "2026-06-02T00:00:00+00:00"}, decision="deny", code="denied", message="Closed.").wrong == ""
    refund = {"operation": "create_refund", "arguments": REFUND_OF | {"amount": 0.00001}}
    assert run(tmp_path, refund, decision="deny", code="unrepresentable").wrong == ""


@pytest.mark.parametrize("call", [{"agent": "ghost"}, {"operation": "nothing"}, {"tool": "nowhere"}])
def test_a_call_of_something_that_does_not_exist_is_wrong(tmp_path, call):
    assert "there is no" in run(tmp_path, call, decision="deny").wrong


@pytest.mark.parametrize("call", [{"agnet": "x"}, {"actors": "agent:x"}, {"pop": 1}, {"now": "noon"}])
def test_a_call_with_an_unknown_or_ill_typed_member_is_refused(tmp_path, call):
    with pytest.raises(Problem):
        run(tmp_path, call)


@pytest.mark.parametrize(
    ("call", "expect"), [({"scopes": [1]}, {}), ({"actors": [None]}, {}), ({}, {"reasons": [1, None]}), ({"now": "0001-01-01T00:00:00+14:00"}, {})]
)
def test_what_is_no_text_or_no_time_is_told_with_its_place(tmp_path, call, expect):
    with pytest.raises(Problem) as found:
        run(tmp_path, call, **expect)
    assert (found.value.code, found.value.line) == ("case_malformed", 1)


@pytest.mark.parametrize(
    ("data", "place", "says"),
    [
        (b'{"cases": [\n  {"name": "a",}\n]}', ":2:15", "not valid JSON"),
        (b'{"cases": [],\n "cases": []}', "", "duplicate key 'cases'"),
        (b'{"cases": [\n  "caf\xe9"]}', ":2:7", "the byte 0xe9 is not UTF-8"),
    ],
)
def test_a_file_of_cases_that_is_no_json_says_where(tmp_path, data, place, says):
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases/a.json").write_bytes(data)
    with pytest.raises(Problem) as caught:
        read_cases(tmp_path)
    assert (caught.value.code, caught.value.place, caught.value.message) == ("case_malformed", f"{tmp_path}/cases/a.json{place}", says)
