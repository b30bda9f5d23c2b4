from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.authorize.engine import evaluate, parse_schema
from gateway.authorize.slices import project, spelled, whole
from gateway.canonical import dumps

from .world import AGENTS, NOW_US, OPERATIONS, Facts, ask, identity, invocation, quick

PRINCIPALS = [
    "principal",
    'principal == Agent::"support-bot"',
    'principal in AgentGroup::"support"',
    'principal in AgentGroup::"auditors"',
    'principal in Team::"support"',
    "principal is Agent",
    'principal is Agent in AgentGroup::"interns"',
]
ACTIONS = [
    "action",
    'action == Action::"tickets/create_refund"',
    'action in Action::"read"',
    'action in Action::"tickets/*"',
    'action in [Action::"write", Action::"tickets/get_ticket"]',
    'action in [Action::"plain/read", Action::"unmapped"]',
    'action == Action::"tickets/import_all"',
]
RESOURCES = [
    "resource",
    'resource == Tool::"tickets"',
    'resource in ToolGroup::"support"',
    "resource is Tool",
    'resource is Tool in ToolGroup::"outside"',
]
CONDITIONS = [
    "",
    "when { context.delegation_depth > 1 }",
    "when { context.run.calls_last_minute * 4611686018427387904 > 0 }",  # overflows from 2 on: an error
    "unless { context.auth.pop }",
    'when { context has user && context.user == User::"alice" }',
    'when { principal has env && principal.env == "prod" }',
    'when { context.request.method == "GET" || resource.risk == "low" }',
    'when { context has input && context.input has ticket_id && context.input.ticket_id like "T-*" }',
    'when { context.now > datetime("2025-01-01") }',
    'when { context has raw && context.raw has anything && context.raw.anything like "*evil*" }',
    'when { context has input.amount && context.input.amount.greaterThan(decimal("50.0")) }',
    'when { ["a", "b"].containsAll(context.actors) }',
]
RULES = st.lists(
    st.tuples(
        st.sampled_from(["permit", "permit", "forbid"]),
        st.sampled_from(PRINCIPALS),
        st.sampled_from(ACTIONS),
        st.sampled_from(RESOURCES),
        st.sampled_from(CONDITIONS),
    ),
    max_size=12,
)
CALLS = [
    ("tickets/list_tickets", {}),
    ("tickets/get_ticket", {"ticket_id": "T-1"}),
    ("tickets/create_refund", {"ticket_id": "T-1", "amount": 60, "currency": "EUR", "reason": ""}),
    ("tickets/create_refund", {"ticket_id": "x", "amount": 1.5, "currency": "USD", "reason": ""}),
    ("tickets/import_all", {"text": "a", "anything": {"x": "evil"}}),
    ("tickets/import_all", {"text": "a"}),
    ("tickets/unmapped", {}),
    ("plain/read", {}),
    ("mail/send", {"body": "b"}),
]
WHO = [{}, {"user": "alice"}, {"actors": ("a", "b")}, {"actors": ("c",), "proof_of_possession": True}]


def text_of(rules):
    return "\n".join(f'@id("p{n}") {effect} ({p}, {a}, {r}) {c};' for n, (effect, p, a, r, c) in enumerate(rules))


@given(rules=RULES, call=st.sampled_from(CALLS), agent=st.sampled_from(AGENTS), who=st.sampled_from(WHO), busy=st.sampled_from([0, 3]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_slice_with_a_projected_context_decides_like_all_policies_with_all_of_it(rules, call, agent, who, busy):
    bundle = quick(text_of(rules))
    found = ask(bundle, *call, agent.id, facts=Facts(NOW_US, calls_last_minute=busy), **who).basis
    whole = bundle.library.index.whole().enforced
    place = bundle.seat(agent.id, call[0])
    schema = parse_schema(dumps(bundle.library.source.generated).decode())
    uids = {"principal": {"type": "Agent", "id": agent.id}, "action": place.plan.action.json, "resource": place.plan.resource.json}
    expected = evaluate(uids, found.context.decode(), whole, native_entities(place.entities.data, schema), schema) if whole else None
    got = (found.verdict, found.reasons, found.errors)
    if expected is None:
        assert got == ("deny", (), ())
    elif expected.errors:
        assert got == ("error", expected.reasons, expected.errors)
    else:
        assert got == (expected.decision, expected.reasons, ())


def native_entities(data, schema):
    from gateway.authorize.engine import parse_entities

    return parse_entities(data, schema)


def test_the_number_of_policies_in_a_slice_does_not_grow_with_the_bundle():
    rules = [f'@id("p{n}") permit (principal == Agent::"agent-{n}", action == Action::"tickets/get_ticket", resource);' for n in range(500)]
    bundle = quick("\n".join(rules) + '@id("mine") permit (principal == Agent::"support-bot", action in Action::"read", resource);')
    question = bundle.seat("support-bot", "tickets/get_ticket").seat.enforced
    assert question.rules.names == ("mine",)


def test_a_slice_that_nothing_is_in_denies_without_asking():
    bundle = quick('@id("p") permit (principal, action == Action::"plain/read", resource);')
    assert bundle.seat("support-bot", "tickets/get_ticket").seat.enforced is None
    assert ask(bundle, "tickets/get_ticket", {"ticket_id": "1"}).basis.verdict == "deny"


def test_a_policy_that_takes_the_context_whole_is_shown_all_of_it():
    assert project({(), ("now",)}, {"type": "Record", "attributes": {}}, {}) is None


def test_a_projection_keeps_required_and_optional_apart():
    bundle = quick("")
    plan = bundle.plans["tickets/import_all"]
    common = bundle.library.source.generated[""]["commonTypes"]
    cut = project({("input", "text"), ("input", "count"), ("run", "id"), ("user",), ("raw", "nothing")}, plan.context, common)
    assert cut.attributes["input"]["attributes"] == {"text": {"type": "String"}, "count": {"type": "Long", "required": False}}
    assert cut.attributes["run"]["attributes"] == {"id": {"type": "String", "required": False}}
    assert cut.attributes["user"]["required"] is False
    assert cut.attributes["raw"]["attributes"] == {}
    assert cut.pick({"input": {"text": "a", "price": 1}, "run": {"calls_last_minute": 1}, "raw": {"anything": "x"}, "now": 1}) == {
        "input": {"text": "a"},
        "run": {},
        "raw": {},
    }


def test_a_policy_in_a_slice_is_asked_without_its_scope_unless_the_scope_says_more_than_the_index():
    text = (
        '@id("when") permit (principal, action, resource) when { true };'
        '@id("odd") permit (principal in Team::"support", action in Action::"read", resource is Tool) when { context.request.path like "*permit (principal*" };'
        '@id("is-in") permit (principal is User in Team::"support", action, resource);'
    )
    bundle = quick(text, projected=False)
    question = bundle.seat("support-bot", "tickets/get_ticket").seat.enforced
    assert question.rules.names == ("when", "odd", "is-in")
    asked = str(question.rules.handle)
    assert "AgentGroup" not in asked
    assert asked.count("permit (principal, action, resource)") == 2
    assert "User" in asked
    assert ask(bundle, "tickets/get_ticket", {"ticket_id": "1"}).basis.reasons == ("when",)


@pytest.mark.parametrize(
    "value",
    [
        {"__extn": {"fn": "ip", "arg": "1.0"}},
        {"__extn": {"fn": "decimal", "arg": 1}},
        {"__extn": {"fn": "decimal", "arg": "1.0", "more": 1}},
        {"__extn": {"fn": "decimal", "arg": "1.0"}, "more": 1},
        {"__extn": "1.0"},
        {"__entity": {"type": "decimal", "id": "1.0"}},
        "1.0",
        None,
    ],
)
def test_only_an_exact_value_of_the_declared_type_is_shown_as_text(value):
    assert spelled(value, "decimal") == value
    assert spelled({"__extn": {"fn": "decimal", "arg": "1.0"}}, "decimal") == "1.0"


def test_the_whole_context_is_shown_with_whatever_is_in_it():
    bundle = quick("")
    plan = bundle.plans["tickets/import_all"]
    show = whole(plan.context, bundle.library.source.generated[""]["commonTypes"])
    price, now = {"__extn": {"fn": "decimal", "arg": "1.5"}}, {"__extn": {"fn": "datetime", "arg": "2026-01-01T00:00:00.000Z"}}
    context = {"input": {"text": "a", "price": price, "strange": price}, "now": now, "more": now}
    assert show(context) == {"input": {"text": "a", "price": "1.5", "strange": price}, "now": "2026-01-01T00:00:00.000Z", "more": now}
    assert show({"input": "no record"}) == {"input": "no record"}
    assert context["input"]["price"] is price


def test_the_world_of_these_tests_is_the_one_they_name():
    assert {o.action for o in OPERATIONS} >= {c for c, _ in CALLS if c.startswith(("tickets/l", "mail"))}
    assert identity().agent == "support-bot"
    assert invocation("tickets/unmapped").operation.name == "unmapped"
