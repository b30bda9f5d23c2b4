"""Whatever an agent sends, it turns no forbid off and no permit on: random and hostile JSON for arguments of every type and every kind of fact."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authorize.facts import derive
from gateway.authorize.typed import Unrepresentable
from gateway.call import FACT_KINDS, Deny, Permit

from .world import NUMBER, PERMIT_ALL, REFUND_OF, STRING, ask, operation, quick

KEYS = st.sampled_from(["__extn", "__entity", "__expr", "fn", "arg", "type", "id", "reason", "amount", "", "\0", "a b"]) | st.text(max_size=4)
TEXTS = st.text(st.characters(exclude_categories=()), max_size=8) | st.sampled_from(
    [
        "good",
        "bad",
        "GOOD",
        "good\0",
        "\ud800",
        "\u202e",
        "evil@evil.example",
        "https://evil.example/",
        "/a/../b",
        "::ffff:1.2.3.4",
        "10.0.0.1",
        "1e5",
    ]
)
LEAVES = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | TEXTS
HOSTILE = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
ESCAPES = st.sampled_from(
    [
        {"__extn": {"fn": "unknown", "arg": "x"}},
        {"__extn": {"fn": "decimal", "arg": "1.0"}},
        {"__extn": {"fn": "ip", "arg": "10.0.0.1"}},
        {"__entity": {"type": "Agent", "id": "support-bot"}},
        {"__expr": '"good"'},
    ]
)

ONLY_GOOD = '@id("good") permit (principal, action == Action::"tickets/create_refund", resource) when { context.input.reason == "good" };'


@given(arguments=st.dictionaries(KEYS | st.sampled_from(["ticket_id", "currency"]), HOSTILE | ESCAPES, max_size=5))
@settings(max_examples=120, deadline=None)
def test_no_json_turns_a_permit_on(arguments):
    if arguments.get("reason") == "good":
        del arguments["reason"]
    for projected in (True, False):
        assert isinstance(ask(quick(ONLY_GOOD, projected=projected), "tickets/create_refund", REFUND_OF | arguments), Deny)


EVERY = {f"{kind}-{shape}": STRING if shape == "one" else {"type": "array", "items": STRING} for kind in FACT_KINDS for shape in ("one", "many")}
OPERATIONS = (
    operation(
        "list_tickets", EVERY | {"text": STRING, "price": NUMBER}, ["text"], facts={name: name.partition("-")[0] for name in EVERY}, method="POST"
    ),
)
FORBID = PERMIT_ALL + '@id("never") forbid (principal, action == Action::"tickets/list_tickets", resource) when { context.input.text == "bad" };'
WHOLE = quick(FORBID, projected=False, operations=OPERATIONS)


@given(arguments=st.dictionaries(st.sampled_from(sorted(EVERY)), HOSTILE | ESCAPES | TEXTS | st.lists(TEXTS, max_size=3), max_size=4))
@settings(max_examples=250, deadline=None)
def test_no_fact_of_hostile_json_turns_a_forbid_off_or_breaks_the_schema(arguments):
    forbidden = ask(WHOLE, "tickets/list_tickets", {"text": "bad"} | arguments)
    assert isinstance(forbidden, Deny)
    assert forbidden.code in {"denied", "unrepresentable"}, forbidden.basis.errors
    allowed = ask(WHOLE, "tickets/list_tickets", {"text": "good"} | arguments)
    assert isinstance(allowed, Permit) or allowed.code == "unrepresentable", allowed.basis.errors


PARTS = st.lists(
    st.sampled_from(["evil@evil.example", "a@good.example", "Ann", '"', "<", ">", ",", " ", "\t", "\\", ";", ":", "(", ")", "\uff0c", "=?", "\r\n"]),
    min_size=1,
    max_size=12,
).map("".join)


@given(text=PARTS)
@settings(max_examples=600, deadline=None)
def test_every_address_in_a_list_of_recipients_is_seen_or_the_list_is_refused(text):
    try:
        found = derive("recipients", text)
    except Unrepresentable:
        return
    assert ("evil@evil.example" in text) == ("evil.example" in found["hosts"])
    assert len(set(found["addresses"])) <= text.count("@")
    assert text.count("@") == text.count("evil@evil.example") + text.count("a@good.example")
    assert found["count"] == len(found["addresses"]) == len({address for address in ("evil@evil.example", "a@good.example") if address in text})


@pytest.mark.parametrize("kind", FACT_KINDS)
def test_no_escape_is_a_fact(kind):
    for hostile in ({"__extn": {"fn": "unknown", "arg": "x"}}, {"__entity": {"type": "User", "id": "x"}}):
        found = ask(WHOLE, "tickets/list_tickets", {"text": "good", f"{kind}-one": hostile})
        assert isinstance(found, Deny)
        assert found.code == "unrepresentable"
