"""A fault that may come from a contract names the contract, and no other fault does."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.authorize.drift import with_contracts
from gateway.authorize.engine import policy_json
from gateway.authorize.policy import Policy
from gateway.authorize.splitting import split
from gateway.config.model import ToolSettings

from .world import TOOLS, operation, quick

PLANS = quick("").plans


def remedy(code, scope='action == Action::"tickets/create_refund"', reads="context.input.amount", *, plans=PLANS, tools=TOOLS, own="look again"):
    text = f'@id("x") permit (principal, {scope}, resource) when {{ {reads} == {reads} }};'
    policies = [Policy.of(piece, policy_json(piece.text)) for piece in split("rules.cedar", text)]
    problem = policies[0].piece.problem(code, "is wrong", 5, key="x", remedy=own)
    (found,) = with_contracts([problem], policies, plans, tools)
    assert (found.code, found.message, found.place, found.key) == (code, "is wrong", problem.place, "x")
    return found.remedy


@pytest.mark.parametrize("code", ["unknown_argument", "policy_invalid", "policy_never_applies"])
def test_the_contract_is_named_where_a_policy_that_reads_arguments_no_longer_fits(code):
    assert remedy(code) == "look again; tickets.yaml declares the arguments of tickets/create_refund"
    assert remedy(code, own="") == "tickets.yaml declares the arguments of tickets/create_refund"


def test_what_no_contract_can_be_the_cause_of_stays_as_it_is():
    assert remedy("policy_syntax") == "look again"
    assert remedy("policy_invalid", reads="context.request.path") == "look again"
    assert remedy("policy_invalid", 'action == Action::"plain/read"') == "look again"


def test_operations_without_a_contract_file_are_declared_in_the_settings():
    plans = quick("", operations=[operation("ask", {"q": {"type": "string"}}, tool="plain")]).plans
    tools = [ToolSettings("plain", "http://127.0.0.1:3", operations=(operation("ask", tool="plain"),))]
    said = "look again; gateway.toml declares the arguments of plain/ask"
    assert remedy("policy_invalid", 'action == Action::"plain/ask"', plans=plans, tools=tools) == said
    assert remedy("policy_invalid", 'action == Action::"plain/ask"', plans=plans, tools=[ToolSettings("plain", "http://127.0.0.1:3")]) == "look again"


def test_of_many_operations_the_first_are_named():
    said = remedy("policy_invalid", "action")
    assert said.count("declares the arguments of") == 3
    assert said.endswith(" and 3 more")
    assert Path("mail.yaml").name in said
