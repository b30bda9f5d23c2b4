"""Suggested permits allow every call that they were made from, whatever it was, and not what differs from all of them."""

from __future__ import annotations

from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authorize.suggest import Usage, suggest
from gateway.call import Permit
from gateway.canonical import loads_trusted

from .world import PERMIT_ALL, REFUND_OF, ask, quick

OWNERS = {"support-bot": "team:support", "audit-bot": "team:audit", "intern-bot": "alice"}
EVERYTHING = PERMIT_ALL + '@id("mail") permit (principal, action, resource == Tool::"mail");\n'


def observe(bundle, calls):
    observed = defaultdict(Usage)
    for n, (action, arguments, agent) in enumerate(calls):
        verdict = ask(bundle, action, arguments, agent)
        if isinstance(verdict, Permit):
            observed[agent, action].add(loads_trusted(verdict.basis.context), n=n, t=1_767_268_800_000_000 + n)
    return observed


def suggested(calls, *, owners=OWNERS, taken=()):
    bundle = quick(EVERYTHING)
    return suggest(observe(bundle, calls), bundle.plans, owners, taken)


def bundle_of(found):
    return quick("\n\n".join(s.text for s in found))


TEXT = st.sampled_from(["a", "b", 'q"uote', "\\", "\u202e", "é", "x" * 90]) | st.text(max_size=4)
IMPORT = st.fixed_dictionaries(
    {"text": TEXT},
    optional={
        "count": st.integers(-(2**63), 2**63 - 1),
        "price": st.decimals(-1000, 1000, places=4).map(float) | st.integers(-9, 9),
        "sure": st.booleans(),
        "at": st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-01T01:02:03.004+01:00"]),
        "tags": st.lists(TEXT, max_size=3),
        "address": st.fixed_dictionaries({"city": TEXT}, optional={"floor": st.integers(0, 9)}),
        "anything": st.integers() | st.text(max_size=3) | st.lists(st.booleans(), max_size=2),
        "mixed": st.lists(st.integers(0, 3), max_size=2),
    },
)
SEND = st.fixed_dictionaries(
    {"body": st.text(max_size=20)},
    optional={
        "path": st.sampled_from(["/data/a", "/data/b/c", "/", "/other", "data"]),
        "url": st.sampled_from(["https://a.example.com/x", "http://b.example.com:8080", "https://other.example"]),
        "host": st.sampled_from(["a.example.com", "b.example.com", "10.0.0.1"]),
        "to": st.lists(st.sampled_from(["a@x.example", "b@x.example", "c@y.example"]), max_size=3),
        "from": st.sampled_from(["a@x.example", "b@y.x.example"]),
    },
)
CALLS = st.lists(
    st.tuples(st.just("tickets/import_all"), IMPORT, st.sampled_from(sorted(OWNERS)))
    | st.tuples(st.just("mail/send"), SEND, st.sampled_from(sorted(OWNERS)))
    | st.tuples(st.just("tickets/list_tickets"), st.just({}), st.just("support-bot")),
    max_size=12,
)


@settings(deadline=None, max_examples=60)
@given(CALLS)
def test_every_call_that_was_allowed_is_allowed_by_the_suggestions_alone(calls):
    bundle = quick(EVERYTHING)
    found = bundle_of(suggested(calls))
    for action, arguments, agent in calls:
        if isinstance(ask(bundle, action, arguments, agent), Permit):
            assert isinstance(ask(found, action, arguments, agent), Permit)


def test_what_differs_from_all_that_was_seen_is_not_allowed():
    calls = [("tickets/create_refund", REFUND_OF | {"amount": amount}, "support-bot") for amount in (10, 20.5, 44)]
    found = bundle_of(suggested(calls))
    assert isinstance(ask(found, "tickets/create_refund", REFUND_OF | {"amount": 44}), Permit)
    for change in ({"amount": 44.01}, {"amount": -1}, {"currency": "USD"}, {"reason": "other"}):
        assert not isinstance(ask(found, "tickets/create_refund", REFUND_OF | change), Permit)
    assert not isinstance(ask(found, "tickets/create_refund", REFUND_OF, "audit-bot"), Permit)
    assert not isinstance(ask(found, "tickets/get_ticket", {"ticket_id": "T-1"}), Permit)


def test_an_argument_that_was_never_given_stays_away():
    (found,) = suggested([("tickets/list_tickets", {"limit": 5}, "support-bot")] * 3)
    assert set(found.conditions) == {
        "!(context.input has status)",
        "context.input has limit",
        "context.input.limit >= 0",
        "context.input.limit <= 5",
    }


def test_operations_without_a_condition_become_one_permit_for_each_agent_and_tool():
    calls = [("tickets/get_ticket", {"ticket_id": f"T-{n}"}, "support-bot") for n in range(9)]
    calls += [("tickets/delete_ticket", {"ticket_id": f"T-{n}"}, "support-bot") for n in range(9)]
    (found,) = suggested(calls)
    assert found.actions == ("tickets/delete_ticket", "tickets/get_ticket")
    assert (found.calls, found.unbounded, found.conditions) == (18, ("ticket_id",), ())
    assert "action in [" in found.text


def test_names_are_new_and_agents_that_are_gone_get_nothing():
    calls = [("tickets/get_ticket", {"ticket_id": f"T-{n}"}, "support-bot") for n in range(9)]
    (found,) = suggested(calls, taken=["least-support-bot-tickets"])
    assert found.id == "least-support-bot-tickets-2"
    assert suggested(calls, owners={}) == []


def test_of_an_argument_that_the_log_hides_nothing_is_told():
    bundle = quick(EVERYTHING)
    usage = Usage()
    for n in range(6):
        arguments = {"body": "b", "to": ["ann@secret.example"], "path": "/secret/x", "from": "me@plain.example"}
        context = loads_trusted(ask(bundle, "mail/send", arguments).basis.context)
        usage.add(context, n=n, t=n + 1, hidden=["/ctx/input/path", "/ctx/facts/path", "/ctx/input/to", "/errors/0"] if n == 3 else ())
    (found,) = suggest({("support-bot", "mail/send"): usage}, bundle.plans, OWNERS, ())
    assert "secret" not in found.text
    assert "plain.example" in found.text
    assert {"to", "path"} <= set(found.unbounded)


def test_numbers_that_the_log_hides_bound_nothing():
    bundle = quick(EVERYTHING)
    usage = Usage()
    for amount in (1, 2, 3):
        context = loads_trusted(ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": amount}).basis.context)
        usage.add(context, n=amount, t=amount, hidden=["/ctx/input/amount"] if amount == 3 else ())
    (found,) = suggest({("support-bot", "tickets/create_refund"): usage}, bundle.plans, OWNERS, ())
    assert "amount" not in " ".join(found.conditions)
