"""Reviews policies that load: what an author should look at again. It takes more time than a reload may, and never stops one."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterator, Mapping
from itertools import islice

from gateway.authorize.annotations import annotation_offset, date_of
from gateway.authorize.bundle import Bundle
from gateway.authorize.contradictions import contradictions
from gateway.authorize.engine import Uid, parse_schema, validate
from gateway.authorize.overlap import Reach, overlaps
from gateway.authorize.policy import Policy
from gateway.authorize.syntax import Clause, Node, clauses
from gateway.canonical import dumps
from gateway.errors import Problem
from gateway.identities import Identities

SOON_DAYS = 30
PROBES_AT_ONCE = 200

_COMPARED = frozenset({"like", "compare"})
_RAW_PATTERN = re.compile(r'"(?:/|[a-z][a-z0-9+.-]*://|\*?[^"/ ]*@|\*\.)', re.IGNORECASE)
_ENTITY_TEXT = re.compile(r'"[A-Z][A-Za-z]*::')
_FACTS = {"path": "path", "url": "host", "host": "host", "email": "address", "recipients": "addresses", "ip": "ip"}


def review(bundle: Bundle, today: dt.date, *, strict: bool = False, show: Callable[[int], None] = lambda _: None) -> list[Problem]:
    """All findings, by place. `strict` asks for an @owner, too. `show` is told how many policies have been looked at."""
    reach = Reach(bundle)
    found = [*overlaps(reach), *_always_true(bundle)]
    for number, policy in enumerate(bundle.library.policies, 1):
        found += _annotations(policy, today, strict=strict)
        if not reach.of(policy):
            message = "no operation of these actions is one of this tool, so this policy applies to nothing today"
            found.append(policy.piece.problem("scope_never_matches", message, key=policy.id, remedy="correct the action or the resource"))
        text = policy.piece.text
        conditions = clauses(text)
        found += [_at(policy, f.node, "condition_constant", f.message, "remove it, or correct it") for f in contradictions(text, conditions)]
        for clause in conditions:
            found += _readings(reach, policy, clause)
        show(number)
    return sorted(found, key=lambda problem: (problem.file, problem.line, problem.column, problem.code))


def _annotations(policy: Policy, today: dt.date, *, strict: bool) -> Iterator[Problem]:
    expires = date_of(policy.annotations.get("expires", ""))
    if expires and today <= expires <= today + dt.timedelta(days=SOON_DAYS):
        message = f"@expires({expires}) is {(expires - today).days} days away; the policy will apply beyond it"
        yield policy.piece.problem(
            "policy_expires_soon", message, annotation_offset(policy, "expires"), key=policy.id, remedy="renew it or plan to remove it"
        )
    if strict and "owner" not in policy.annotations:
        yield policy.piece.problem("policy_without_owner", "nobody answers for this policy", key=policy.id, remedy='name them: @owner("team:...")')


def unused_groups(bundle: Bundle, identities: Identities) -> Iterator[Problem]:
    """Groups of agents that no policy names: whoever is in one may think that it gives or takes something.

    Not a part of the review: nothing is wrong with the policies, and who changes them may have no say in the groups.
    """
    named = {uid for policy in bundle.library.policies for uid in policy.names}
    for agent in identities.agents.values():
        for group in agent.groups:
            if Uid("AgentGroup", group) not in named:
                message = f"no policy names the group {group}, so it gives {agent.id} nothing"
                yield Problem("group_unused", message, file=agent.file, key="agent.groups", remedy="write a policy for it, or leave the group")


def _readings(reach: Reach, policy: Policy, clause: Clause) -> Iterator[Problem]:
    for node in clause.body.walk():
        if node.kind in _COMPARED:
            yield from _raw_text(reach, policy, node)
        if node.kind == "literal" and _ENTITY_TEXT.match(node.word):
            remedy = "write the entity without quotes around it, or the bare name if the other side is a text"
            yield _at(policy, node, "entity_as_text", f"{node.word} is a text, not an entity", remedy)
        if (
            node.kind == "in"
            and node.parts[0].path in {("context", "user"), ("principal", "owner")}
            and node.parts[1].word.partition("::")[0] != "User"
        ):
            message = "the gateway knows of no group of users, so this is never true"
            yield _at(policy, node, "user_in_no_group", message, 'compare the user: context.user == User::"...", or ask for a group of the agent')
        if node.kind == "member" and (node.parts[0].path in {("context", "user"), ("principal", "owner")}):
            message = f"a user has no {node.word} where calls are decided: every call that comes here is denied"
            yield _at(policy, node, "dereference_too_deep", message, "put what policy must know into the agent's attributes")


def _raw_text(reach: Reach, policy: Policy, node: Node) -> Iterator[Problem]:
    """A text compared as the agent wrote it, where the same thing can be written in many ways."""
    path = next((part.path for part in node.parts if part.path and part.path[:2] == ("context", "input") and len(part.path) == 3), None)
    literal = next((part for part in node.parts if part.kind == "literal"), None)
    if path is None or literal is None or node.word in {"<", "<=", ">", ">="}:
        return
    name = path[2]
    kinds = {fact.kind for plan in reach.bundle.plans.values() if plan.action in reach.of(policy) for fact in plan.facts if fact.name == name}
    kind = next((k for k in sorted(kinds) if k in _FACTS), "")
    if kind:
        message = f"context.input.{name} is as the agent wrote it: the same {kind} can be written in other ways"
        yield _at(policy, node, "raw_text", message, f"compare context.facts.{name}.{_FACTS[kind]}, which is canonical")
    elif node.kind == "like" and _RAW_PATTERN.match(literal.word):
        message = f"context.input.{name} is as the agent wrote it, so the pattern can be evaded: /data/../etc/passwd is like /data/*"
        yield _at(policy, node, "raw_text", message, f"declare the argument in the contract (x-portreeve-facts), and compare context.facts.{name}")


def _always_true(bundle: Bundle) -> Iterator[Problem]:
    """Conditions that the types alone make true. Each is turned round, with a type error behind it: where the validator does not complain of that,
    it is never reached.
    """
    schema = parse_schema(dumps(bundle.library.source.generated).decode(), declared=bundle.library.source.declared)
    probes = (probe for policy in bundle.library.policies for probe in _turned(policy))
    while some := list(islice(probes, PROBES_AT_ONCE)):
        reached = {position for position, _ in validate([text for *_, text in some], schema)}
        for position, (policy, node, _) in enumerate(some):
            if position not in reached:
                yield _at(policy, node, "condition_constant", "this is always true, whatever the call is", "remove it, or correct it")


def _turned(policy: Policy) -> Iterator[tuple[Policy, Node, str]]:
    text = policy.piece.text
    conditions = clauses(text)
    head = text[: conditions[0].start] if conditions else ""
    other: Mapping[str, str] = {"when": "unless", "unless": "when"}
    for clause in conditions:
        for node in clause.conjuncts:
            body = text[node.start : node.end]
            yield policy, node, f'{head} {other[clause.kind]} {{ {body} }} when {{ 1 < "never" }};'
            head = f"{head} {clause.kind} {{ {body} }}"


def _at(policy: Policy, node: Node, code: str, message: str, remedy: str) -> Problem:
    return policy.piece.problem(code, message, node.at if node.kind in {"member", "has"} else node.start, key=policy.id, remedy=remedy)
