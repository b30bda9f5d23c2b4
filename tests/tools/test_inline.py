"""Operations may stand in the settings instead of a contract file."""

from __future__ import annotations

import datetime as dt

import pytest

from gateway.config.model import InlineOperation
from gateway.errors import Problem, Problems, Refusal
from tests.tools.world import TICKETS, bind, call, inline, tool_of

ISSUE = InlineOperation(
    name="create_issue",
    method="POST",
    path="/repos/{owner}/{repo}/issues",
    effect="write",
    parameters={
        "owner": {"type": "string", "enum": ["acme"]},
        "notify": {"type": "boolean"},
        "X-Trace": {"type": "string", "in": "header", "required": True},
    },
    body={"type": "object", "properties": {"title": {"type": "string"}}, "required": ["title"]},
    facts={"title": "size"},
    file="gateway.toml",
    line=12,
)


def problem(*operations: InlineOperation, **settings) -> Problem:
    with pytest.raises(Problems) as caught:
        tool_of(None, operations=operations, file="gateway.toml", line=3, **settings)
    return caught.value.problems[0]


def test_an_inline_operation_is_held_like_one_from_a_file():
    sent = (("content-type", "application/json"), ("x-trace", "t1"))
    found = bind(inline(ISSUE), call("POST", "/repos/acme/gate/issues", "notify=true", body=b'{"title":"x"}', headers=sent))
    assert found.arguments == {"owner": "acme", "repo": "gate", "notify": True, "X-Trace": "t1", "title": "x"}
    assert (found.operation.effect, found.operation.facts) == ("write", {"title": "size"})
    with pytest.raises(Refusal):
        bind(inline(ISSUE), call("POST", "/repos/evil/gate/issues", body=b'{"title":"x"}', headers=sent))


def test_faults_of_inline_operations_have_the_line_of_the_settings():
    wrong = InlineOperation("x", "GET", "/x", "read", parameters={"a": {"type": "any"}}, file="gateway.toml", line=12)
    found = problem(wrong)
    assert (found.file, found.line, found.code) == ("gateway.toml", 12, "contract_schema")
    assert problem(ISSUE, ISSUE).message == "POST /repos/{owner}/{repo}/issues is declared twice"
    assert problem(InlineOperation("x", "GET", "/x", "read", parameters={"a": "string"})).remedy
    assert problem(InlineOperation("x", "GET", "/x", "read", parameters={"a": {"required": "yes"}})).remedy
    assert problem(InlineOperation("x", "GET", "/x", "read", parameters={"a": {"const": dt.date(2026, 11, 21)}})).code == "contract_schema"


def test_a_contract_file_and_inline_operations_exclude_each_other():
    with pytest.raises(Problems, match="exclude each other"):
        tool_of(TICKETS, operations=(ISSUE,))
