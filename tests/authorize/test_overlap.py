"""A policy that another one makes idle is found; one that changes anything is not."""

from __future__ import annotations

import pytest

from gateway.authorize.overlap import Reach, overlaps

from .world import quick

READ = 'action in Action::"read", resource == Tool::"tickets"'
GET = 'action == Action::"tickets/get_ticket", resource'


def found(*policies):
    texts = [f'@id("p{n}") {policy};' for n, policy in enumerate(policies)]
    return [(p.code, p.key) for p in overlaps(Reach(quick("\n".join(texts))))]


@pytest.mark.parametrize(
    ("policies", "codes"),
    [
        ([f"permit (principal, {GET})", f'@owner("b") permit (principal,  {GET} // again\n)'], [("policy_duplicate", "p1")]),
        ([f"permit (principal, {READ})", f"permit (principal, {GET}) when {{ context.auth.pop }}"], [("policy_covered", "p1")]),
        ([f'permit (principal == Agent::"support-bot", {GET})', f'permit (principal in AgentGroup::"support", {READ})'], [("policy_covered", "p0")]),
        ([f'permit (principal in AgentGroup::"support", {GET})', f"permit (principal is Agent, {READ})"], [("policy_covered", "p0")]),
        ([f'permit (principal in AgentGroup::"support", {GET})', f"forbid (principal, {READ})"], [("permit_without_effect", "p0")]),
        ([f"forbid (principal, {READ})", f"forbid (principal, {GET}) when {{ context.auth.pop }}"], [("policy_covered", "p1")]),
    ],
)
def test_an_idle_policy_is_found(policies, codes):
    assert found(*policies) == codes


@pytest.mark.parametrize(
    "policies",
    [
        [f"permit (principal, {READ}) when {{ context.auth.pop }}", f"permit (principal, {GET})"],
        [f'permit (principal in AgentGroup::"auditors", {READ})', f'permit (principal == Agent::"support-bot", {GET})'],
        [f'permit (principal == Agent::"support-bot", {READ})', f'permit (principal in AgentGroup::"support", {GET})'],
        [f"permit (principal, {GET})", f"permit (principal, {READ})", 'permit (principal, action == Action::"mail/send", resource)'][1:],
        [f"permit (principal, {READ})", f'@require_approval("x") permit (principal, {GET})'],
        [f'@require_approval("x") permit (principal, {READ})', f"permit (principal, {GET})"],
        [f'@mode("shadow") permit (principal, {READ})', f"permit (principal, {GET})"],
        [f"forbid (principal, {GET})", f"permit (principal, {READ})"],
        [f"forbid (principal, {READ})", f'@message("why") forbid (principal, {GET})'],
        [f"forbid (principal, {READ}) when {{ context.auth.pop }}", f"permit (principal, {GET})"],
    ],
)
def test_a_policy_that_changes_something_is_not(policies):
    assert found(*policies) == []
