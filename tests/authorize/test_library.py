"""Seats: what a kind of request is asked with, where the schema is more than what the gateway makes, and groups lie within groups."""

from __future__ import annotations

from gateway.authorize.engine import Uid
from gateway.authorize.library import ancestors, parents_of

from .world import REFUND_OF, ask, quick

A, B, C, D = (Uid("Team", name) for name in "abcd")


def test_a_group_within_a_group_counts_and_a_circle_of_groups_has_an_end():
    assert set(ancestors(A, {A: (B,), B: (C, D), C: (A,)})) == {A, B, C, D}
    assert ancestors(B, {A: (B,)}) == ()


def test_parents_are_read_from_entities_as_they_are_recorded():
    entities = [{"uid": {"type": "Team", "id": "a"}, "attrs": {}, "parents": [{"type": "Team", "id": "b"}, {"type": "Team", "id": "c"}]}]
    assert parents_of(entities) == {A: (B, C)}


def test_a_declared_action_in_a_group_of_the_gateway_s_own_hinders_no_other_operation():
    """A schema cut to one operation lacks the operations that the declared part names, so such a deployment is shown the whole schema."""
    declared = 'action "close" in [Action::"tickets/create_refund"] appliesTo { principal: Agent, resource: Tool };'
    text = '@id("all") permit (principal, action, resource == Tool::"tickets") when { context.auth.issuer like "https:*" };'
    for projected in (True, False):
        bundle = quick(text, declared=declared, projected=projected)
        assert ask(bundle, "tickets/list_tickets").basis.verdict == "allow"
        assert ask(bundle, "tickets/create_refund", REFUND_OF).basis.verdict == "allow"
