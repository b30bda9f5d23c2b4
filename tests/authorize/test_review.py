"""What loads and yet is probably not what its author meant."""

from __future__ import annotations

import datetime as dt

import pytest

from gateway.authorize.review import review, unused_groups

from .world import agent, identities, quick

TODAY = dt.date(2026, 6, 1)
EVERYONE = '@id("groups") @owner("me") permit (principal in AgentGroup::"support", action == Action::"plain/read", resource);\n'


def found(text, *, strict=False):
    return [(p.code, p.line, p.column) for p in review(quick(EVERYONE + text), TODAY, strict=strict)]


def at(text, **options):
    """The code of the only finding, and the text from its column on."""
    [(code, line, column)] = found(text, **options)
    return code, (EVERYONE + text).splitlines()[line - 1][column - 1 :]


MAIL = '@id("x") forbid (principal, action == Action::"mail/send", resource) '
IMPORT = '@id("x") forbid (principal, action == Action::"tickets/import_all", resource) '
GET = '@id("x") forbid (principal, action == Action::"tickets/get_ticket", resource) '


@pytest.mark.parametrize(
    ("text", "code", "rest"),
    [
        (MAIL + 'when { context.input has path && context.input.path like "/data/*" };', "raw_text", "context.input.path like"),
        (MAIL + 'when { context.input has host && context.input.host == "example.com" };', "raw_text", "context.input.host =="),
        (IMPORT + 'when { context.input.text like "/data/*" };', "raw_text", "context.input.text like"),
        (IMPORT + 'when { context.input.text like "https://x/*" };', "raw_text", "context.input.text like"),
        (GET + 'when { context.input.ticket_id == "Agent::\\"x\\"" };', "entity_as_text", '"Agent::'),
        (GET + 'when { context has user && context.user in Team::"x" };', "user_in_no_group", "context.user in"),
        (GET + "when { context.delegation_depth > 1 && 1 < 2 };", "condition_constant", "1 < 2"),
        (GET + "when { context has input && context.delegation_depth > 1 };", "condition_constant", "input &&"),
        (GET + "when { context.delegation_depth > 1 } unless { principal is Tool };", "condition_constant", "principal is Tool"),
        (GET + 'when { context.input.ticket_id == "a" && context.input.ticket_id == "b" };', "condition_constant", 'context.input.ticket_id == "b"'),
        ('@id("x") @expires("2026-06-20") permit (principal, action == Action::"plain/read", resource) when { context.auth.pop };', "policy_expires_soon", "@expires"),
        ('@id("x") permit (principal, action in Action::"destructive", resource == Tool::"mail");', "scope_never_matches", "@id"),
    ],
)  # fmt: skip
def test_a_finding_stands_where_its_cause_stands(text, code, rest):
    told, there = at(text)
    assert told == code
    assert there.startswith(rest)


@pytest.mark.parametrize(
    "text",
    [
        MAIL + 'when { context.facts has path && context.facts.path.path like "/data/*" };',
        IMPORT + 'when { context.input.text like "*urgent*" };',
        IMPORT + 'when { context.input.text == "/data" };',
        GET + 'when { context has user && context.user == User::"alice" };',
        GET + 'when { principal.owner == User::"alice" };',
        '@id("x") @expires("2026-12-01") permit (principal, action == Action::"plain/read", resource) when { context.auth.pop };',
        '@id("x") permit (principal, action == Action::"plain/write", resource);',
    ],
)
def test_what_is_fine_is_left_alone(text):
    assert found(text) == []


def test_an_owner_is_asked_for_only_when_strict():
    text = '@id("x") permit (principal, action == Action::"plain/write", resource);'
    assert found(text) == []
    assert at(text, strict=True)[0] == "policy_without_owner"


def test_a_group_that_no_policy_names_is_found():
    agents = (agent("support-bot", ["support", "nobody-asks"]),)
    told = unused_groups(quick(EVERYONE, agents=agents), identities(agents))
    assert [(p.code, p.message) for p in told] == [("group_unused", "no policy names the group nobody-asks, so it gives support-bot nothing")]


def test_every_policy_is_counted():
    seen = []
    review(quick(EVERYONE), TODAY, show=seen.append)
    assert seen == [1]
