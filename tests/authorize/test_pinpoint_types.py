"""Every fault that the validator finds is placed at its column."""

from __future__ import annotations

import pytest

from gateway.authorize.engine import parse_schema, validate
from gateway.authorize.pinpoint_types import false_spot, validity_spot
from gateway.canonical import dumps

from .world import quick

SCHEMA = parse_schema(dumps(quick("").library.source.generated).decode())
REFUND = '@id("x") @owner("a") permit (principal, action == Action::"tickets/create_refund", resource)'
LIST = 'permit (principal, action == Action::"tickets/list_tickets", resource)'


def messages(text):
    return [message for _, message in validate([text], SCHEMA)]


FAULTS = {
    'permit (principal, action == ^Action::"tickets/get_tiket", resource);': "unrecognized action",
    '@id("raed") permit (principal, action in [Action::"read", ^Action::"raed"], resource);': "unrecognized action",
    'permit (principal in ^AgentGrup::"x", action in Action::"read", resource);': "unrecognized entity type",
    '@id("x") ^permit (principal == Tool::"x", action in Action::"read", resource);': "unable to find an applicable action",
    REFUND + " when { true && context.input.^amout == 3 };": "not found",
    REFUND + " when { context.input.amount > ^3 };": "expected Long",
    REFUND + ' when { context.input.currency == "EUR" && context.input.amount == ^3 };': "not compatible",
    REFUND + ' when { context.delegation_depth == 1 } when { context.delegation_depth == ^"x" };': "not compatible",
    REFUND + ' when { context.input.reason in ^"x" };': "AnyEntity",
    REFUND + ' when { context.input.reason in ^["x"] };': "AnyEntity",
    REFUND + ' unless { principal == ^"support-bot" };': "not compatible",
    REFUND + ' unless { context.delegation_depth > 1 || principal == ^"support-bot" };': "not compatible",
    REFUND + ' when { principal.^env == "prod" };': "optional attribute",
    REFUND + ' when { principal has env && principal.env == "prod" || principal.^env == "test" };': "optional attribute",
    REFUND + " when { principal has env && principal.env == ^3 };": "not compatible",
    REFUND + ' when { context.input.amount.greaterThan(^"50") };': "expected decimal",
    REFUND + ' when { context.input.amount.greaterThan(decimal(^"50")) };': "parse as a decimal",
    REFUND + ' when { context.now > datetime(^"x") };': "parse as a datetime",
    REFUND + " when { context.auth.scopes.contains(^3) };": "not compatible",
    REFUND + " when { context.delegation_depth == 1 || context.input.^reason };": "expected Bool",
    REFUND + " when { !context.input.^reason };": "expected Bool",
    REFUND + " when { if context.delegation_depth > 1 then context.input.currency == ^3 else true };": "not compatible",
    REFUND + ' when { resource.risk == "high" && resource.^rsik == "x" };': "not found",
    REFUND + " when { ^[].contains(1) };": "empty set",
    LIST + ' when { context.input.^status == "x" };': "optional attribute",
    LIST + ' when { context.input has status && context.input.status == "a" || context.input.^status == "x" };': "optional attribute",
}  # fmt: skip


@pytest.mark.parametrize("marked", FAULTS)
def test_a_fault_is_placed_at_its_column(marked):
    text = marked.replace("^", "", 1)
    found = [message for message in messages(text) if FAULTS[marked] in message]
    assert found
    spot = validity_spot(text, found[0], messages)
    assert f"{text[: spot.offset]}^{text[spot.offset :]}" == marked


@pytest.mark.parametrize(
    "marked",
    [
        REFUND + " when { ^false };",
        REFUND + " when { context.delegation_depth > 1 && ^false };",
        REFUND + " when { context.delegation_depth > 1 } unless { context.delegation_depth > 4 || ^true };",
        REFUND + " when { context.delegation_depth > 1 } when { ^principal is Tool } when { context.delegation_depth > 1 };",
        REFUND + " when { ^context.input has nothing && context.input.nothing };",
    ],
)
def test_the_condition_from_which_on_nothing_applies_is_the_place(marked):
    text = marked.replace("^", "", 1)
    spot = false_spot(text, lambda beginning: bool(messages(f'{beginning[:-1]} when {{ 1 < "never" }};')))
    assert f"{text[: spot.offset]}^{text[spot.offset :]}" == marked


def test_what_nothing_smaller_draws_is_placed_where_the_policy_begins():
    assert validity_spot(REFUND + " when { true };", "something new", messages).offset == REFUND.index("permit")
    assert validity_spot("permit (", "something new", messages).offset == 0
