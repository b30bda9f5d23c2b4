from __future__ import annotations

import pytest

from gateway.authorize.coverage import Coverage, Tally, percent
from gateway.call import Facts
from gateway.canonical import loads_trusted

from .world import NOW_US, PERMIT_ALL, REFUND_OF, ask, operation, quick

REFUND = "tickets/create_refund"
TEXT = (
    PERMIT_ALL
    + """
@id("limit") forbid (principal, action == Action::"tickets/create_refund", resource)
when { context.input.currency == "EUR" && context.input.amount.greaterThan(decimal("50.0")) } unless { context.auth.pop };
"""
)


def covered(bundle, *calls):
    found = Coverage(bundle)
    for action, arguments, *more in calls:
        found.add_basis(ask(bundle, action, arguments, **(more[0] if more else {})).basis)
    return found


def limit(found):
    (policy,) = [c for c in found.report() if c.policy.id == "limit"]
    return policy.applied, [tally for _, tally in policy.conditions]


def test_a_condition_counts_only_where_the_call_came_as_far_as_it():
    bundle = quick(TEXT)
    found = covered(bundle, (REFUND, REFUND_OF | {"currency": "USD", "amount": 60}), (REFUND, REFUND_OF))
    assert limit(found) == (Tally(0, 2), [Tally(1, 1), Tally(0, 1), Tally(0, 0)])


def test_a_policy_that_applied_and_did_not_with_all_its_conditions_is_whole():
    calls = [(REFUND, REFUND_OF | change) for change in ({"currency": "USD"}, {}, {"amount": 60})]
    bundle = quick(TEXT)
    found = covered(bundle, *calls, (REFUND, REFUND_OF | {"amount": 60}, {"proof_of_possession": True}), ("plain/read", {}))
    assert limit(found) == (Tally(1, 4), [Tally(3, 1), Tally(2, 1), Tally(1, 1)])
    assert percent(found.report()) == 100
    assert found.taken == {"asked": 5}


def test_nothing_decided_is_nothing_seen_and_no_policy_is_all_seen():
    assert percent(Coverage(quick(TEXT)).report()) == 0
    assert percent(Coverage(quick("")).report()) is None


def test_an_error_is_neither_true_nor_false():
    text = '@id("limit") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };'
    found = covered(quick(text), ("tickets/list_tickets", {}, {"facts": Facts(NOW_US, calls_last_minute=3)}))
    assert limit(found) == (Tally(0, 1), [Tally(0, 0)])


def test_what_the_gateway_stopped_itself_says_nothing_of_policies():
    found = covered(quick(TEXT), (REFUND, REFUND_OF | {"amount": 0.00001}), ("tickets/list_tickets", {}, {"facts": Facts(NOW_US, halted=("all",))}))
    assert found.taken == {"stopped": 2}
    assert limit(found)[0] == Tally(0, 0)


@pytest.mark.parametrize("operations", [(), (operation("create_refund", {"other": {"type": "string"}}, ["other"]),)])
def test_a_decision_of_another_contract_is_left_out_and_counted(operations):
    then = quick(TEXT)
    basis = ask(then, REFUND, REFUND_OF).basis
    found = Coverage(quick(PERMIT_ALL, operations=operations))
    found.add((basis.principal, basis.action, basis.resource), loads_trusted(basis.context), basis.entities.data)
    assert found.taken == {"unfit": 1}


def test_shadow_policies_are_covered_too():
    bundle = quick('@id("limit") @mode("shadow") forbid (principal, action, resource) when { context.auth.pop };')
    assert limit(covered(bundle, ("plain/read", {}))) == (Tally(0, 1), [Tally(0, 1)])
