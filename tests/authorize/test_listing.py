"""What an agent may call: never less than what some call could be allowed, and no more than what policy leaves open."""

from __future__ import annotations

import pytest

from gateway.authorize.listing import listed
from gateway.call import Deny, Permit
from tests.authorize.world import ask, identity, quick

REFUND = "tickets/create_refund"
ON_REFUND = f'principal, action == Action::"{REFUND}", resource'


def told(text, agent="support-bot", action=REFUND, **who):
    return listed(quick(text), identity(agent, **who), action)


def test_without_a_permit_in_scope_an_operation_is_hidden():
    text = f'@id("other") permit (principal, action == Action::"tickets/get_ticket", resource); @id("no") forbid ({ON_REFUND}) when {{ context.input.reason == "x" }};'
    assert told(text) is None
    assert told(text, action="tickets/get_ticket").answer == "allow"
    assert told(text, agent="nobody", action="tickets/get_ticket") is None
    assert told(text, action="tickets/nothing") is None


@pytest.mark.parametrize(
    "policies",
    [
        'permit (S) when { principal has env && principal.env == "dev" };',
        'permit (S) when { principal has env && principal.env == "dev" && context.input.amount.lessThan(decimal("5.0")) };',
        'permit (S) when { resource.risk == "low" };',
        'permit (S); @id("b") forbid (S) when { resource.risk == "high" };',
        'permit (S) when { context.input.reason == "x" }; @id("b") forbid (S) unless { principal in AgentGroup::"auditors" };',
        '@mode("shadow") permit (S);',
    ],
)
def test_what_is_denied_whatever_the_call_is_hidden(policies):
    assert told(f'@id("a") {policies}'.replace("(S)", f"({ON_REFUND})")) is None


def test_what_depends_on_arguments_alone_is_shown_with_its_conditions():
    """A rule that looks at arguments must not hide at list time what a call could be allowed (every permit here needs them)."""
    found = told(
        f"""@id("small") @description("Refunds up to 50")
        permit ({ON_REFUND})
        when {{ principal has env && principal.env == "prod" && // ours
                context.input.amount.lessThanOrEqual(decimal("50.00")) }};
        @id("euro") @message("Euro only")
        forbid ({ON_REFUND}) unless {{ context.input.currency == "EUR" }};""",
    )
    assert (found.answer, found.approval) == ("depends", ())
    assert [one.json for one in found.remaining] == [
        {"effect": "forbid", "says": "Euro only", "conditions": ['unless context.input.currency == "EUR"']},
        {"effect": "permit", "says": "Refunds up to 50", "conditions": ['when context.input.amount.lessThanOrEqual(decimal("50.00"))']},
    ]


def test_an_approval_is_told():
    held = told(f'@id("a") @require_approval("leads") permit ({ON_REFUND});')
    assert (held.answer, held.approval, held.remaining) == ("approval", ("leads",), ())
    maybe = told(f'@id("a") permit ({ON_REFUND}); @id("b") @require_approval("leads") permit ({ON_REFUND}) when {{ context.input.reason == "x" }};')
    assert (maybe.answer, maybe.remaining[0].json["approval"]) == ("depends", "leads")
    further = told(f'@id("a") permit ({ON_REFUND}); @id("b") permit ({ON_REFUND}) when {{ context.input.reason == "x" }};')
    assert (further.answer, further.remaining) == ("allow", ())


CONDITIONS = (
    'principal has env && principal.env == "prod"',
    'principal has env && principal.env == "dev"',
    'resource.risk == "high"',
    'context.input.amount.lessThan(decimal("10.00"))',
    'context.input.currency == "EUR" && principal has level && principal.level > 1',
)
ARGUMENTS = [{"ticket_id": "T", "amount": amount, "currency": currency, "reason": "r"} for amount in (5, 50) for currency in ("EUR", "USD")]


def test_nothing_that_a_call_is_allowed_is_ever_hidden_and_nothing_shown_as_allowed_is_denied():
    """Every pair of a permit and a forbid over these conditions, every agent, every call: the listing against the decisions."""
    compared = 0
    for permit in CONDITIONS:
        for forbid in (*CONDITIONS, None):
            text = f'@id("p") permit ({ON_REFUND}) when {{ {permit} }};'
            text += f'@id("f") forbid ({ON_REFUND}) when {{ {forbid} }};' if forbid else ""
            bundle = quick(text)
            for agent in sorted(bundle.agents):
                found = listed(bundle, identity(agent), REFUND)
                verdicts = [ask(bundle, REFUND, arguments, agent=agent) for arguments in ARGUMENTS]
                if any(isinstance(verdict, Permit) for verdict in verdicts):
                    assert found is not None, (text, agent)
                if found is not None and found.answer == "allow":
                    assert not any(isinstance(verdict, Deny) for verdict in verdicts), (text, agent)
                compared += len(verdicts)
    assert compared > 100


def test_a_policy_that_fails_makes_nothing_certain():
    text = f'@id("a") permit ({ON_REFUND}); @id("b") forbid ({ON_REFUND}) when {{ principal.level + 9223372036854775807 > 0 }};'
    assert told(text).answer == "depends"


def test_what_the_token_alone_decides_is_decided():
    deep = f'@id("a") permit ({ON_REFUND}); @id("b") forbid ({ON_REFUND}) when {{ context.delegation_depth > 1 }};'
    assert told(deep).answer == "allow"
    assert told(deep, actors=("one", "two")) is None
    own = f'@id("a") permit ({ON_REFUND}) when {{ context has user && context.user == User::"ann" && context.auth.scopes.contains("pay") }};'
    assert told(own) is None
    assert told(own, user="bob", scopes=("pay",)) is None
    assert told(own, user="ann", scopes=("pay",)).answer == "allow"


@pytest.mark.parametrize("hour", ['context.now < datetime("2020-01-01")', "context.run.calls_last_minute > 5", 'context.request.method == "POST"'])
def test_what_changes_from_call_to_call_stays_open(hour):
    found = told(f'@id("a") permit ({ON_REFUND}) when {{ {hour} && context.delegation_depth < 9 }};')
    assert found.remaining[0].conditions == (f"when {hour}",)
