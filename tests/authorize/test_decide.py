from __future__ import annotations

import datetime as dt

import pytest

from gateway.call import Deny, Facts, Hold, Permit
from gateway.canonical import dumps, loads

from .world import NOW_US, PERMIT_ALL, REFUND_OF, ask, quick

LIMIT = '@id("limit") @message("Too much.") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.amount.greaterThan(decimal("50.00")) };\n'


def test_an_argument_rule_decides_by_value():
    bundle = quick(PERMIT_ALL + LIMIT)
    assert isinstance(ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": 50}), Permit)
    assert isinstance(ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": -0.0}), Permit)
    found = ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": 50.01})
    assert isinstance(found, Deny)
    assert (found.code, found.message, found.basis.reasons) == ("denied", "Too much.", ("limit",))


def test_nothing_is_allowed_by_default():
    found = ask(quick(""), "tickets/list_tickets")
    assert isinstance(found, Deny)
    assert (found.code, found.message, found.basis.reasons, found.basis.errors) == ("denied", "", (), ())


def test_forbid_wins_over_approval_and_approval_over_allow():
    held = '@id("hold") @require_approval("leads") @approval_ttl("5m") @message("Ask.") permit (principal, action in Action::"write", resource);\n'
    found = ask(quick(PERMIT_ALL + held), "tickets/create_refund", REFUND_OF)
    assert isinstance(found, Hold)
    assert (found.group, found.ttl_s, found.message, found.basis.verdict) == ("leads", 300, "Ask.", "hold")
    assert found.basis.obligations == (("approval_ttl", "5m"), ("require_approval", "leads"))
    assert isinstance(ask(quick(PERMIT_ALL + held + LIMIT), "tickets/create_refund", REFUND_OF | {"amount": 60}), Deny)


def test_several_approvals_need_all_groups_within_the_shortest_time():
    text = (
        '@id("a") @require_approval("legal") permit (principal, action, resource);'
        '@id("b") @require_approval("finance") @approval_ttl("1m") permit (principal, action, resource);'
    )
    found = ask(quick(text), "tickets/list_tickets")
    assert (found.group, found.ttl_s) == ("finance,legal", 60)


def test_the_message_is_that_of_the_first_determining_forbid():
    text = (
        PERMIT_ALL
        + "".join(f'@id("{n}") @message("{n} says no") forbid (principal, action, resource);' for n in "cab")
        + '@id("0") forbid (principal, action, resource);'
    )
    found = ask(quick(text), "tickets/list_tickets")
    assert found.basis.reasons == ("0", "a", "b", "c")
    assert found.message == "a says no"


def test_an_error_in_any_policy_denies():
    boom = '@id("boom") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };'
    bundle = quick(PERMIT_ALL + boom)
    found = ask(bundle, "tickets/list_tickets", facts=Facts(NOW_US, calls_last_minute=2))
    assert isinstance(found, Deny)
    assert (found.code, found.basis.verdict) == ("policy_error", "error")
    assert len(found.basis.errors) == 1
    assert "`boom`" in found.basis.errors[0]


def test_what_cannot_be_expressed_is_denied_and_says_where():
    found = ask(quick(PERMIT_ALL), "tickets/create_refund", REFUND_OF | {"amount": 0.00001})
    assert isinstance(found, Deny)
    assert found.code == "unrepresentable"
    assert "/amount" in found.message
    assert loads(found.basis.context)["gateway"] == {"stop": "unrepresentable", "detail": "/amount: the number has more than 4 decimal places"}


@pytest.mark.parametrize(
    "arguments", [{}, REFUND_OF | {"extra": 1}, REFUND_OF | {"amount": "10"}, {k: v for k, v in REFUND_OF.items() if k != "amount"}]
)
def test_arguments_that_break_the_contract_get_no_further_even_if_nobody_checked_before(arguments):
    assert ask(quick(PERMIT_ALL), "tickets/create_refund", arguments).code == "unrepresentable"


def test_a_halted_agent_is_denied_whatever_policy_says():
    found = ask(quick(PERMIT_ALL), "tickets/list_tickets", facts=Facts(NOW_US, halted=("agent support-bot",)))
    assert isinstance(found, Deny)
    assert (found.code, found.basis.reasons) == ("halted", ("gateway:halted",))
    assert "support-bot" in found.message


def test_an_agent_or_operation_that_the_bundle_does_not_know_is_denied():
    bundle = quick(PERMIT_ALL)
    for found in (ask(bundle, "tickets/list_tickets", agent="ghost"), ask(bundle, "tickets/nothing"), ask(bundle, "nowhere/read")):
        assert isinstance(found, Deny)
        assert found.code == "policy_error"


def test_the_recorded_context_is_whole_though_policy_reads_a_part():
    found = ask(quick(PERMIT_ALL + LIMIT), "tickets/create_refund", REFUND_OF, user="alice", actors=("agent:x",), run="r1", scopes=("a",))
    context = loads(found.basis.context)
    assert context == {
        "input": {"ticket_id": "T-1", "amount": {"__extn": {"fn": "decimal", "arg": "10.0"}}, "currency": "EUR", "reason": "broken"},
        "facts": {},
        "request": {"method": "POST", "path": "/create_refund", "template": "/create_refund", "door": "http"},
        "user": {"__entity": {"type": "User", "id": "alice"}},
        "actors": ["agent:x"],
        "delegation_depth": 1,
        "auth": {"issuer": "https://gw.example", "pop": False, "scopes": ["a"], "user": "alice"},
        "run": {"calls_last_minute": 0, "calls_in_flight": 0, "id": "r1"},
        "now": {"__extn": {"fn": "datetime", "arg": "2026-01-01T12:00:00.000Z"}},
        "weekday": 4,
    }
    assert dumps(context) == found.basis.context


@pytest.mark.parametrize(
    ("moment", "weekday"),
    [("1970-01-01T00:00:00+00:00", 4), ("2026-01-04T23:59:59+00:00", 7), ("2026-01-05T00:00:00+00:00", 1), ("2028-02-29T12:00:00+00:00", 2)],
)
def test_policy_sees_the_day_of_the_week(moment, weekday):
    now = dt.datetime.fromisoformat(moment)
    assert now.isoweekday() == weekday
    bundle = quick(f'@id("day") permit (principal, action, resource == Tool::"tickets") when {{ context.weekday == {weekday} }};')
    assert isinstance(ask(bundle, "tickets/list_tickets", facts=Facts(int(now.timestamp()) * 1_000_000)), Permit)


def test_the_users_name_can_be_compared_with_an_argument():
    own = "context.auth has user && context.auth.user == context.input.ticket_id"
    bundle = quick(f'@id("own") permit (principal, action == Action::"tickets/get_ticket", resource) when {{ {own} }};')
    assert isinstance(ask(bundle, "tickets/get_ticket", {"ticket_id": "alice"}, user="alice"), Permit)
    assert isinstance(ask(bundle, "tickets/get_ticket", {"ticket_id": "alice"}, user="bob"), Deny)
    assert isinstance(ask(bundle, "tickets/get_ticket", {"ticket_id": ""}), Deny)


def test_raw_arguments_are_seen_as_canonical_text():
    text = PERMIT_ALL + (
        '@id("raw") forbid (principal, action == Action::"tickets/import_all", resource) when { context.raw has anything && context.raw.anything like "*\\"admin\\":true*" };'
    )
    bundle = quick(text)
    assert isinstance(ask(bundle, "tickets/import_all", {"text": "a", "anything": {"x": {"admin": False}}}), Permit)
    assert isinstance(ask(bundle, "tickets/import_all", {"text": "a", "anything": {"x": {"admin": True}}}), Deny)


def test_every_type_of_argument_reaches_policy():
    text = """@id("p") permit (principal, action == Action::"tickets/import_all", resource) when {
        context.input has count && context.input.count == 3 && context.input has price && context.input.price == decimal("1.5") &&
        context.input has sure && context.input.sure && context.input has at && context.input.at == datetime("2026-03-01T09:00:00Z") &&
        context.input has tags && context.input.tags.contains("x") && context.input has address && context.input.address.city == "Berlin" &&
        !(context.input.address has floor) && context.input.text == "\\u{e9}" };"""
    arguments = {
        "text": "\u00e9",
        "count": 3,
        "price": 1.5,
        "sure": True,
        "at": "2026-03-01T10:00:00+01:00",
        "tags": ["x", "x"],
        "address": {"city": "Berlin"},
    }
    assert isinstance(ask(quick(text), "tickets/import_all", arguments), Permit)
    assert isinstance(ask(quick(text, projected=False), "tickets/import_all", arguments), Permit)
    assert isinstance(ask(quick(text), "tickets/import_all", arguments | {"count": 4}), Deny)


def test_facts_are_compared_in_canonical_form():
    text = (
        '@id("p") permit (principal, action == Action::"mail/send", resource);'
        '@id("f") forbid (principal, action == Action::"mail/send", resource) unless '
        '{ context.facts has to && ["example.com"].containsAll(context.facts.to.hosts) };'
    )
    bundle = quick(text)
    assert isinstance(ask(bundle, "mail/send", {"body": "", "to": ["a@EXAMPLE.com"]}), Permit)
    assert isinstance(ask(bundle, "mail/send", {"body": "", "to": ["a@example.com", "b@evil.example"]}), Deny)
    assert isinstance(ask(bundle, "mail/send", {"body": ""}), Deny)
    assert ask(bundle, "mail/send", {"body": "", "to": ["nobody"]}).code == "unrepresentable"


def test_the_user_the_owner_and_the_groups_can_be_named():
    text = '@id("own") permit (principal in AgentGroup::"support", action, resource in ToolGroup::"support") when { context has user && context.user == principal.owner };'
    bundle = quick(text)
    assert isinstance(ask(bundle, "tickets/list_tickets", agent="intern-bot", user="alice"), Permit)
    assert isinstance(ask(bundle, "tickets/list_tickets", agent="intern-bot", user="bob"), Deny)
    assert isinstance(ask(bundle, "tickets/list_tickets", agent="intern-bot"), Deny)


def test_an_owning_team_is_a_parent_of_its_agents():
    bundle = quick('@id("t") permit (principal in Team::"support", action, resource);')
    assert isinstance(ask(bundle, "tickets/list_tickets"), Permit)
    assert isinstance(ask(bundle, "tickets/list_tickets", agent="intern-bot"), Deny)


def test_a_tool_without_contract_is_read_written_and_destroyed():
    bundle = quick('@id("r") permit (principal, action in Action::"read", resource == Tool::"plain") when { context.request.path like "/ok/*" };')
    assert isinstance(ask(bundle, "plain/read", path="/ok/1"), Permit)
    assert isinstance(ask(bundle, "plain/read", path="/other"), Deny)
    assert isinstance(ask(bundle, "plain/write", path="/ok/1"), Deny)
    assert isinstance(ask(bundle, "plain/destructive", path="/ok/1"), Deny)


def test_no_group_permit_reaches_what_the_contract_does_not_name():
    groups = ", ".join(f'Action::"{g}"' for g in ("read", "write", "destructive", "tickets/*"))
    assert isinstance(ask(quick(f'@id("g") permit (principal, action in [{groups}], resource);'), "tickets/unmapped"), Deny)
    assert isinstance(ask(quick('@id("g") permit (principal, action in Action::"unmapped", resource);'), "tickets/unmapped"), Permit)


def test_an_idempotent_write_is_a_write():
    assert isinstance(ask(quick('@id("w") permit (principal, action in Action::"write", resource);'), "tickets/import_all", {"text": ""}), Permit)


def test_shadow_policies_decide_nothing_and_are_named_when_they_would_have():
    shadow = (
        '@id("s-forbid") @mode("shadow") forbid (principal, action, resource);@id("s-permit") @mode("shadow") permit (principal, action, resource);'
    )
    allowed = ask(quick(PERMIT_ALL + shadow), "tickets/list_tickets")
    assert isinstance(allowed, Permit)
    assert allowed.basis.shadow == ("s-forbid",)
    assert allowed.basis.reasons == ("all",)
    denied = ask(quick(shadow), "tickets/list_tickets")
    assert isinstance(denied, Deny)
    assert denied.basis.shadow == ("s-permit",)
    forbidden = ask(quick(PERMIT_ALL + '@id("no") forbid (principal, action, resource);' + shadow), "tickets/list_tickets")
    assert forbidden.basis.shadow == ()


def test_no_shadow_policy_is_named_where_the_enforced_ones_failed():
    text = (
        '@id("boom") permit (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };'
        '@id("s-permit") @mode("shadow") permit (principal, action, resource);'
    )
    found = ask(quick(text), "tickets/list_tickets", facts=Facts(NOW_US, calls_last_minute=2))
    assert found.basis.verdict == "error"
    assert found.basis.shadow == ()


def test_a_shadow_policy_that_fails_denies_nothing_and_is_named():
    boom = '@id("boom") @mode("shadow") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };'
    found = ask(quick(PERMIT_ALL + boom), "tickets/list_tickets", facts=Facts(NOW_US, calls_last_minute=2))
    assert isinstance(found, Permit)
    assert found.basis.shadow == ("gateway:shadow_error",)


def test_the_same_question_has_the_same_answer_when_remembered():
    bundle = quick(PERMIT_ALL + LIMIT)
    for amount, kind in ((10, Permit), (60, Deny), (10, Permit), (60, Deny)):
        assert isinstance(ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": amount}), kind)
    assert isinstance(ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": 10, "reason": "x" * 5_000}), Permit)
