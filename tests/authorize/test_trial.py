from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.authorize.engine import EngineError, Uid
from gateway.authorize.trial import Trial
from gateway.call import Facts
from gateway.canonical import loads_trusted

from .test_slices import ACTIONS, CALLS, PRINCIPALS, RESOURCES, WHO, text_of
from .world import AGENTS, NOW_US, ask, quick

CONDITIONS = [
    "",
    "when { context.delegation_depth > 0 && context.run.calls_last_minute * 4611686018427387904 > 0 }",  # the second overflows from 2 on
    "when { context.run.calls_last_minute * 4611686018427387904 > 0 && context.delegation_depth > 0 }",
    "unless { context.auth.pop || context.delegation_depth > 1 }",
    'when { context has user && context.user == User::"alice" } unless { resource.risk == "low" }',
    'when { context has input && context.input has ticket_id && context.input.ticket_id like "T-*" }',
    'when { context.request.method == "GET" || resource.risk == "low" } when { principal has env && principal.env == "prod" }',
]
RULES = st.lists(
    st.tuples(
        st.sampled_from(["permit", "permit", "forbid"]),
        st.sampled_from(PRINCIPALS),
        st.sampled_from(ACTIONS),
        st.sampled_from(RESOURCES),
        st.sampled_from(CONDITIONS),
    ),
    max_size=8,
)


def trial_of(bundle, basis):
    who = (Uid.parse(text) for text in (basis.principal, basis.action, basis.resource))
    return Trial(bundle.library, bundle.library.seat(*who, basis.entities.data, projected=False))


def look(bundle, *call, **more):
    basis = ask(bundle, *call, **more).basis
    return trial_of(bundle, basis).look(loads_trusted(basis.context))


@given(rules=RULES, call=st.sampled_from(CALLS), agent=st.sampled_from(AGENTS), who=st.sampled_from(WHO), busy=st.sampled_from([0, 3]))
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_the_conditions_by_themselves_add_up_to_the_decision(rules, call, agent, who, busy):
    bundle = quick(text_of(rules))
    basis = ask(bundle, *call, agent.id, facts=Facts(NOW_US, calls_last_minute=busy), **who).basis
    near = trial_of(bundle, basis).look(loads_trusted(basis.context))
    applied = {effect: sorted(n.policy.id for n in near if n.applies and n.policy.effect == effect) for effect in ("permit", "forbid")}
    erring = [n.policy.id for n in near if n.state == "errs"]
    assert len(basis.errors) == len(erring)
    assert all(any(f"`{name}`" in error for error in basis.errors) for name in erring)
    assert list(basis.reasons) == (applied["forbid"] or applied["permit"])


def test_held_failed_and_erred_are_told_apart():
    text = '@id("a") forbid (principal, action, resource) when { context.input has status && context.input.status == "x" && true };'
    (near,) = look(quick(text), "tickets/list_tickets", {"limit": 1})
    assert [(s.outcome, s.reached) for s in near.seen] == [("failed", True), ("erred", False), ("held", False)]
    assert "status" in near.seen[1].error
    assert near.state == "does not apply"
    (near,) = look(quick(text), "tickets/list_tickets", {"status": "x"})
    assert [(s.outcome, s.reached) for s in near.seen] == [("held", True)] * 3
    assert near.applies


def test_a_condition_that_really_errs_is_an_erring_policy():
    text = '@id("a") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };'
    (near,) = look(quick(text), "tickets/list_tickets", facts=Facts(NOW_US, calls_last_minute=3))
    assert near.state == "errs"


def test_a_policy_whose_scope_only_looks_alike_is_not_near():
    text = '@id("a") permit (principal is User in Team::"support", action, resource);'
    assert look(quick(text), "tickets/list_tickets") == ()


def test_shadow_policies_are_near_too():
    text = '@id("a") @mode("shadow") permit (principal, action, resource);@id("b") @mode("shadow") forbid (principal, action, resource);'
    assert [n.policy.id for n in look(quick(text), "tickets/list_tickets")] == ["a", "b"]


def test_where_no_policy_is_near_nothing_is_asked():
    assert look(quick(""), "tickets/list_tickets") == ()


def test_a_context_that_breaks_the_schema_is_an_error_and_never_an_answer():
    bundle = quick('@id("a") permit (principal, action, resource);')
    basis = ask(bundle, "tickets/list_tickets").basis
    with pytest.raises(EngineError):
        trial_of(bundle, basis).look(loads_trusted(basis.context) | {"more": 1})
