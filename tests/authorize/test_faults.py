"""What the compiler finds is told once for each fault, in an author's words."""

from __future__ import annotations

import pytest

from gateway.errors import Problems

from .world import load


def told(tmp_path, text):
    with pytest.raises(Problems) as caught:
        load(tmp_path / "policies", f'@id("a")\n{text}')
    return [(p.code, p.line, p.column, p.message, p.remedy) for p in caught.value.problems]


def test_a_scope_that_follows_from_a_misspelt_name_is_not_told_besides(tmp_path):
    found = told(tmp_path, 'permit (principal, action == Action::"tickets/get_tiket", resource);')
    assert found == [("policy_invalid", 2, 30, 'unrecognized action `Action::"tickets/get_tiket"`', "did you mean 'tickets/get_ticket'?")]


def test_an_argument_that_some_operations_lack_is_one_problem_that_names_them(tmp_path):
    found = told(tmp_path, 'permit (principal, action, resource) when { context.input.ticket_id == "1" };')
    assert len(found) == 1
    assert found[0][1:3] == (2, 59)
    assert "context.input.ticket_id does not exist for mail/send, mail/unmapped, plain/destructive and" in found[0][3]
    assert found[0][4].startswith("ask first: context.input has ticket_id && ...")


def test_an_optional_argument_that_nobody_asked_for_is_told_how_to_ask(tmp_path):
    found = told(tmp_path, 'permit (principal, action == Action::"tickets/list_tickets", resource) when { context.input.status == "x" };')
    assert [(m, r) for *_, m, r in found] == [
        (
            "context.input.status may be absent for tickets/list_tickets",
            "ask first: context.input has status && ...; tickets.yaml declares the arguments of tickets/list_tickets",
        )
    ]
    found = told(tmp_path, 'permit (principal, action in Action::"read", resource) when { principal.env == "prod" };')
    assert [(m, r) for *_, m, r in found] == [("env of Agent may be absent", "ask first: principal has env && ...")]


@pytest.mark.parametrize(
    ("condition", "message", "remedy"),
    [
        ("context.input.amount > 50", "expected Long, not decimal", "lessThanOrEqual"),
        ('context.input.reason in ["x"]', "expected an entity, not", ".contains("),
        ('principal == "support-bot"', "String and Agent", 'Agent::"support-bot"'),
        ('context.input.amount == decimal("5")', "parse as a decimal", "one to four digits"),
        ("principal.teem == 1", "Agent has no attribute teem", "there is env"),
        ('principal has level && resource.rsik == "x"', "Tool has no attribute rsik", "did you mean 'risk'?"),
        ('principal in AgentGruop::"x"', "unrecognized entity type", "did you mean 'AgentGroup'?"),
        ("context.input.reason", "expected Bool", "true or false"),
    ],
)  # fmt: skip
def test_a_type_that_does_not_fit_is_told_with_what_to_write(tmp_path, condition, message, remedy):
    found = told(tmp_path, f'permit (principal, action == Action::"tickets/create_refund", resource) when {{ {condition} }};')
    assert [(m, r) for *_, m, r in found if message in m and remedy in r]
    assert not [m for *_, m, _ in found if "__cedar" in m]
