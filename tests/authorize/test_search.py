"""A call that is decided otherwise is found where the policies draw their lines, and nothing is claimed of what was not looked at."""

from __future__ import annotations

import pytest

from gateway.authorize.boundaries import boundaries
from gateway.authorize.cases import case_of
from gateway.authorize.search import calls_of, pairs, search

from .world import AGENTS, agent, quick

AGENT = {a.id: a for a in AGENTS}
REFUND = 'principal, action == Action::"tickets/create_refund", resource'
IMPORT = 'principal, action == Action::"tickets/import_all", resource'
MAIL = 'principal, action == Action::"mail/send", resource'


def no_contract(operation, arguments):
    return ""


def flips(before, after, *, cases=(), agents=AGENT, contract=no_contract):
    one, other = (quick(text, agents=tuple(agents.values())) for text in (before, after))
    found, same = pairs(one, other, agents)
    looked = [search(one, other, pair, calls_of(one, pair, cases), contract) for pair in found]
    return [t for result in looked for t in result.turned], same, looked


def permit(scope, condition="true"):
    return f'@id("p") permit ({scope}) when {{ {condition} }};'


@pytest.mark.parametrize(
    ("scope", "before", "after", "expected"),
    [
        (REFUND, 'context.input.amount.lessThan(decimal("50.00"))', 'context.input.amount.lessThanOrEqual(decimal("50.00"))', {"arguments": {"amount": 50}}),
        (REFUND, 'context.input.amount == decimal("0.5")', 'context.input.amount.lessThanOrEqual(decimal("0.5"))', {"arguments": {"amount": 0.4}}),
        (REFUND, 'context.input.currency == "EUR"', '["EUR", "USD"].contains(context.input.currency)', {"arguments": {"currency": "USD"}}),
        (REFUND, 'context.input.reason like "a*"', 'context.input.reason like "a*" || context.input.reason == "z" && context.input.currency == "USD"', {"arguments": {"reason": "z", "currency": "USD"}}),
        (REFUND, "context.delegation_depth == 0", "context.delegation_depth < 3", {"actors": ["agent"]}),
        (REFUND, 'context has user && context.user == User::"alice"', "context has user", {"user": "nobody-named-this"}),
        (REFUND, "context.auth.pop", "true", {}),
        (REFUND, 'context.auth.scopes.contains("a")', 'context.auth.scopes.contains("b")', {"scopes": ["b"]}),
        (REFUND, "context.run.calls_last_minute < 10", "context.run.calls_last_minute <= 10", {"calls_last_minute": 10}),
        (REFUND, 'context.now < datetime("2026-06-01")', 'context.now <= datetime("2026-06-01")', {"now": "2026-06-01T00:00:00+00:00"}),
        (REFUND, "context.weekday < 6", "context.weekday < 7", {"now": "2026-01-03T12:00:00Z"}),
        (IMPORT, "context.input has sure && context.input.sure", "context.input has sure", {"arguments": {"sure": False}}),
        (IMPORT, "context.input has count", "true", {}),
        (IMPORT, "context.input has count && context.input.count > 5", "context.input has count && context.input.count >= 5", {"arguments": {"count": 5}}),
        (IMPORT, 'context.input has tags && context.input.tags.contains("a")', 'context.input has tags && context.input.tags.contains("b")', {"arguments": {"tags": ["b"]}}),
        (IMPORT, 'context.input has address && context.input.address.city == "Rome"', 'context.input has address && context.input.address.city == "Oslo"', {"arguments": {"address": {"city": "Oslo"}}}),
        (IMPORT, 'context.raw has anything && context.raw.anything == "7"', 'context.raw has anything && context.raw.anything == "8"', {"arguments": {"anything": 8}}),
        (MAIL, 'context.facts has host && context.facts.host.domains.contains("a.com")', 'context.facts has host && context.facts.host.domains.contains("b.com")', {"arguments": {"host": "b.com"}}),
        (MAIL, 'context.facts has path && context.facts.path.folders.contains("/a")', 'context.facts has path && context.facts.path.folders.contains("/b")', {"arguments": {"path": "/b/x"}}),
        (MAIL, 'context.facts has url && context.facts.url.host == "a.com"', 'context.facts has url && context.facts.url.host == "b.com"', {"arguments": {"url": "https://b.com/"}}),
        (MAIL, 'context.facts has from && context.facts.from.domain == "a.com"', 'context.facts has from && context.facts.from.domain == "b.com"', {"arguments": {"from": "somebody@b.com"}}),
        (MAIL, 'context.facts has to && ["a.com"].containsAll(context.facts.to.hosts)', 'context.facts has to && ["b.com"].containsAll(context.facts.to.hosts)', {"arguments": {"to": ["somebody@b.com"]}}),
        (MAIL, "context.facts.body.size < 10", "context.facts.body.size <= 10", {"arguments": {"body": "x" * 10}}),
    ],
)  # fmt: skip
def test_a_wider_permit_is_found_with_a_call_that_it_lets_through(scope, before, after, expected):
    found, _, _ = flips(permit(scope, before), permit(scope, after))
    wider = [t for t in found if t.flip.direction == "widening"]
    assert wider
    for turned in wider:
        assert (turned.flip.before, turned.flip.after, turned.flip.policies) == ("deny", "allow", ("p",))
        for name, value in expected.items():
            there = turned.example[name]
            assert (value.items() <= there.items()) if isinstance(value, dict) else there == value


def test_a_forbid_behind_unless_is_found_both_ways():
    before = permit(REFUND) + f' @id("f") forbid ({REFUND}) unless {{ context.input.currency == "EUR" }};'
    after = before.replace('"EUR"', '"USD"')
    found, _, _ = flips(before, after)
    assert {(t.flip.direction, t.example["arguments"]["currency"]) for t in found} == {("widening", "USD"), ("narrowing", "EUR")}
    assert {t.flip.policies for t in found} == {("f",)}


def test_an_approval_that_is_asked_for_is_a_change():
    found, _, _ = flips(permit(REFUND), '@require_approval("x") ' + permit(REFUND))
    assert {(t.flip.before, t.flip.after, t.flip.direction) for t in found} == {("allow", "hold", "narrowing")}


def test_where_the_same_policies_are_near_nothing_is_searched_and_nothing_can_change():
    _, same, looked = flips(permit(REFUND, "context.auth.pop"), "// laid out\n" + permit(REFUND, " context.auth.pop").replace('"p"', '"renamed"'))
    assert looked == []
    assert same == len(AGENTS) * len(quick("").plans)


def test_agents_that_no_policy_tells_apart_are_searched_once():
    crowd = {f"bot-{n}": agent(f"bot-{n}", ["support"], level=n) for n in range(5)}
    [turned], _, looked = flips("", f'@id("p") permit ({REFUND});', agents=crowd)
    assert turned.pair.agents == tuple(sorted(crowd))
    assert [result.searched for result in looked] == [5]
    found, _, looked = flips("", permit(REFUND, "principal has level && principal.level > 2"), agents=crowd)
    assert [result.searched for result in looked] == [1] * 5
    assert {t.pair.agents for t in found} == {("bot-3",), ("bot-4",)}


def test_calls_of_cases_are_tried():
    hidden = 'context.input.ticket_id like "*-*" && context.input.reason like "*q*r*"'
    call = {"agent": "support-bot", "tool": "tickets", "operation": "create_refund"}
    case = case_of({**call, "arguments": {"ticket_id": "T-1", "amount": 1, "currency": "EUR", "reason": "q then r"}})
    found, _, _ = flips(permit(REFUND, hidden), "", cases=[case])
    assert {t.flip.direction for t in found} == {"narrowing"}


def test_an_operation_whose_contract_takes_nothing_that_is_known_is_named():
    found, _, looked = flips("", permit(REFUND), contract=lambda operation, arguments: "/amount is never right")
    assert found == []
    assert all(result.blind for result in looked)


def test_the_smallest_call_is_the_example():
    found, _, _ = flips("", permit(IMPORT))
    assert {tuple(t.example["arguments"]) for t in found} == {("text",)}


def test_the_number_of_calls_is_bounded():
    condition = " || ".join(
        f'context.input.currency == "c{n}" && context.input.reason == "r{n}" && context.input.ticket_id == "t{n}"' for n in range(12)
    )
    one, other = quick(""), quick(permit(REFUND, condition))
    pair = pairs(one, other, AGENT)[0][0]
    assert len(list(calls_of(one, pair, (), 100))) == 100


def test_constants_that_cannot_be_read_are_left_out():
    text = 'context.now < datetime("nonsense") || context.facts.host.host == "x" || context == context || 1 == 2'
    policy = quick(permit(REFUND, text)).library.policies[0]
    assert list(boundaries(policy, quick("").plans["tickets/create_refund"])) == []
