from __future__ import annotations

import pytest

from gateway.authorize.engine import Uid, policy_json
from gateway.authorize.policy import Policy, keys_of, paths
from gateway.authorize.splitting import split


def policy(text):
    (piece,) = split("f", text)
    return Policy.of(piece, policy_json(piece.text))


def reads_of(condition):
    return policy(f"permit (principal, action, resource) when {{ {condition} }};").paths


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("true", set()),
        ("context.now > context.now", {("now",)}),
        ('context.input.a.b == "x"', {("input", "a", "b")}),
        ('context["input"]["a"] == "x"', {("input", "a")}),
        ("context has input.a", {("input",), ("input", "a")}),
        ("context == context", {()}),
        ("principal.env == resource.risk", set()),
        ('[context.user, principal].contains(User::"a")', {("user",)}),
        ('{a: context.input.x, "b": 1}.a == 1', {("input", "x")}),
        ("(if context.auth.pop then context else context).now == 1", {("auth", "pop"), ()}),
        ('ip(context.input.ip).isInRange(ip("10.0.0.0/8"))', {("input", "ip")}),
        ('context.input.a like "*" && !(context.raw has b)', {("input", "a"), ("raw", "b")}),
    ],
)
def test_everything_that_a_condition_reads_of_the_context_is_known(condition, expected):
    assert reads_of(condition) == expected


def test_unless_reads_like_when():
    assert policy("permit (principal, action, resource) unless { context.auth.pop } when { context.input.x };").paths == {
        ("auth", "pop"),
        ("input", "x"),
    }


def test_a_deep_tree_is_read_without_recursion():
    tree = {"Var": "context"}
    for n in range(50_000):
        tree = {"!": {"arg": tree}} if n % 2 else {"&&": {"left": tree, "right": {"Value": True}}}
    assert paths(tree) == {()}


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ('principal == Agent::"a"', ("==", "Agent", "a")),
        ('principal in AgentGroup::"g"', ("in", "AgentGroup", "g")),
        ("principal is Agent", ("is", "Agent", "")),
        ('principal is Agent in AgentGroup::"g"', ("in", "AgentGroup", "g")),
        ("principal", None),
    ],
)
def test_a_scope_has_a_key_that_the_entity_satisfies(scope, expected):
    found = policy(f"permit ({scope}, action, resource);").principal
    assert found == expected
    assert found in keys_of(Uid("Agent", "a"), (Uid("AgentGroup", "g"),))


def test_a_list_of_actions_has_a_key_for_each():
    found = policy('permit (principal, action in [Action::"a", Action::"b"], resource);').actions
    assert found == (("in", "Action", "a"), ("in", "Action", "b"))


def test_named_entities_are_known_wherever_they_stand():
    found = policy('permit (principal == Agent::"a", action, resource) when { resource in ToolGroup::"g" || context.user == User::"u" };').names
    assert found == {Uid("Agent", "a"), Uid("ToolGroup", "g"), Uid("User", "u")}
