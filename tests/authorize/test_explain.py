from __future__ import annotations

import pytest

from gateway.authorize.explain import explain_basis, explain_record
from gateway.authorize.replay import ReplayError
from gateway.call import Facts

from .test_replay import TEXT as REPLAYED
from .test_replay import authz, many
from .world import NOW_US, REFUND_OF, ask, quick

REFUND = "tickets/create_refund"
SMALL = """
@id("small") permit (principal in AgentGroup::"support", action == Action::"tickets/create_refund", resource)
when { context.input.currency == "EUR" && context.input.amount.lessThan(decimal("50.0")) };
"""
LIMIT = '@id("limit") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.reason == "" };\n'


def explained(text, action=REFUND, arguments=REFUND_OF, **more):
    bundle = quick(text)
    return explain_basis(bundle, ask(bundle, action, arguments, **more).basis)


def ways(found):
    """Every change as (to, [(policy, want, [condition])])."""
    return [(c.to, [(s.policy, s.want, [str(seen.condition) for seen in s.conditions]) for s in c.steps]) for c in found.changes]


def test_a_default_deny_names_the_one_condition_that_would_allow():
    found = explained(SMALL, arguments=REFUND_OF | {"currency": "USD"})
    assert found.judgement.verdict == "deny"
    assert ways(found) == [("allow", [("small", "apply", ['when context.input.currency == "EUR"'])])]
    assert found.changes[0].is_single
    assert [(s.outcome, s.reached) for s in found.near[0].seen] == [("failed", True), ("held", False)]


def test_where_two_conditions_are_missing_both_are_named():
    found = explained(SMALL, arguments=REFUND_OF | {"currency": "USD", "amount": 60})
    assert len(found.changes[0].steps[0].conditions) == 2
    assert not found.changes[0].is_single


def test_a_forbid_that_alone_stops_a_call_has_to_fail_in_one_condition():
    found = explained(SMALL + LIMIT, arguments=REFUND_OF | {"reason": ""})
    assert found.judgement.reasons == ("limit",)
    assert ways(found) == [("allow", [("limit", "not apply", ['when context.input.reason == ""'])])]
    assert found.changes[0].is_single


def test_a_forbid_and_a_missing_permit_both_have_to_change():
    found = explained(SMALL + LIMIT, arguments=REFUND_OF | {"reason": "", "amount": 60})
    ((to, steps),) = ways(found)
    assert to == "allow"
    assert [(policy, want) for policy, want, _ in steps] == [("limit", "not apply"), ("small", "apply")]
    assert not found.changes[0].is_single


def test_the_way_with_the_fewest_conditions_comes_first():
    other = '@id("a-far") permit (principal, action, resource) when { context.auth.pop && context.delegation_depth > 3 };'
    found = explained(SMALL + other, arguments=REFUND_OF | {"currency": "USD"})
    assert [steps[0][0] for _, steps in ways(found)] == ["small", "a-far"]


def test_a_forbid_without_condition_and_a_call_without_permit_are_said_to_be_beyond_the_call():
    found = explained(SMALL + '@id("never") forbid (principal, action, resource);')
    assert found.changes == ()
    assert "never applies whatever the call holds" in found.notes[0]
    found = explained(SMALL, "tickets/delete_ticket", {"ticket_id": "1"})
    assert found.changes == found.near == ()
    assert "no permit is for this" in found.notes[0]


def test_what_is_allowed_says_what_would_deny_it():
    found = explained(SMALL + LIMIT)
    assert [(to, steps[0][:2]) for to, steps in ways(found)] == [("deny", ("limit", "apply")), ("deny", ("small", "not apply"))]
    assert all(change.is_single for change in found.changes)
    found = explained('@id("all") permit (principal, action, resource);')
    assert found.changes == ()
    assert "nothing that the call holds" in found.notes[0]


def test_a_permit_that_needs_approval_leads_to_a_hold():
    held = '@id("hold") @require_approval("leads") permit (principal, action, resource) when { context.auth.pop };'
    found = explained(held)
    assert [change.to for change in found.changes] == ["hold"]
    found = explained(held, proof_of_possession=True)
    assert (found.judgement.verdict, [c.to for c in found.changes]) == ("hold", ["deny"])
    found = explained(held + LIMIT, proof_of_possession=True, arguments=REFUND_OF | {"reason": ""})
    assert [c.to for c in found.changes] == ["hold"]


def test_shadow_policies_are_shown_and_change_nothing():
    found = explained(SMALL + '@id("ghost") @mode("shadow") forbid (principal, action, resource);')
    assert [near.policy.id for near in found.near] == ["small", "ghost"]
    assert "ghost" not in str(ways(found))


def test_an_erring_policy_is_named_and_no_way_is_promised():
    text = '@id("busy") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };'
    found = explained(SMALL + text, facts=Facts(NOW_US, calls_last_minute=3))
    assert found.judgement.verdict == "error"
    assert found.changes == ()
    assert "cannot be evaluated" in found.notes[0]
    assert {n.policy.id: n.state for n in found.near} == {"small": "applies", "busy": "errs"}


@pytest.mark.parametrize(
    ("more", "why"),
    [
        ({"arguments": REFUND_OF | {"amount": 0.00001}}, "unrepresentable: /amount"),
        ({"facts": Facts(NOW_US, halted=("all",))}, "gateway:halted"),
        ({"agent": "ghost"}, "not registered"),
        ({"action": "tickets/nothing", "arguments": {}}, "not part of this bundle"),
    ],
)
def test_where_the_gateway_decided_before_policy_that_is_said(more, why):
    found = explained(SMALL, **more)
    assert why in found.notes[0]
    assert found.near == found.changes == ()


def test_a_record_is_explained_like_the_decision_itself():
    bundle = quick(REPLAYED)
    for verdict in many(bundle):
        record, blobs = authz(verdict)
        direct, again = explain_basis(bundle, verdict.basis), explain_record(record, blobs.__getitem__)
        assert (again.who, again.judgement, again.message, again.changes, again.notes) == (
            direct.who,
            direct.judgement,
            direct.message,
            direct.changes,
            direct.notes,
        )
        assert [(n.policy.id, n.seen) for n in again.near] == [(n.policy.id, n.seen) for n in direct.near]


def test_a_record_without_its_parts_is_refused():
    record, blobs = authz(ask(quick(SMALL), REFUND, REFUND_OF))
    for member in ("p", "a", "r", "ctx", "ents", "policies", "schema"):
        with pytest.raises(ReplayError):
            explain_record({k: v for k, v in record.items() if k != member}, blobs.__getitem__)
