from __future__ import annotations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.authorize.conditions import dissect
from gateway.authorize.engine import EngineError, policy_json
from gateway.authorize.policy import Policy
from gateway.authorize.splitting import split


def parts(text, head='@id("x") permit (principal, action, resource)'):
    (piece,) = split("a.cedar", f"{head} {text};")
    return dissect(Policy.of(piece, policy_json(piece.text)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("when { true }", ["when true"]),
        ("when { context.a && context.b && context.c }", ["when context.a", "when context.b", "when context.c"]),
        ("when { (context.a && (context.b)) && !(context.c) }", ["when context.a", "when context.b", "when !(context.c)"]),
        ("unless { context.a || (context.b || context.c) }", ["unless context.a", "unless context.b", "unless context.c"]),
        ("when { context.a } unless { context.b } when { context.c }", ["when context.a", "unless context.b", "when context.c"]),
        # what binds weaker than the join keeps a clause whole
        ("when { context.a && context.b || context.c }", ["when context.a && context.b || context.c"]),
        ("unless { context.a && context.b }", ["unless context.a && context.b"]),
        ("unless { context.a || context.b && context.c }", ["unless context.a", "unless context.b && context.c"]),
        ("when { if context.a then context.b else context.c && true }", ["when if context.a then context.b else context.c && true"]),
        ("when { (if true then true else false) && true }", ["when if true then true else false", "when true"]),
        # words and joins inside strings, comments, sets and records mean nothing
        ('when { context.a == "x && } unless {" && true }', ['when context.a == "x && } unless {"', "when true"]),
        ('when { context.a == "\\"&&" && true }', ['when context.a == "\\"&&"', "when true"]),
        ("when { context.a // && false }\n && context.b }", ["when context.a", "when context.b"]),
        ("when { [true && true].contains(true) && {a: true && true}.a }", ["when [true && true].contains(true)", "when {a: true && true}.a"]),
    ],
)
def test_a_clause_is_cut_at_its_conjuncts_and_nowhere_else(text, expected):
    assert [str(c) for c in parts(text).conditions] == expected


EXPRESSIONS = st.recursive(
    st.sampled_from(["true", "context.a", 'context.b == "&& || if"', '["x"].contains(context.c)', "context has d"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from(["&&", "||", " //&&\n||"]), inner).map(" ".join),
        inner.map("({})".format),
        inner.map("!({})".format),
        st.tuples(inner, inner, inner).map(lambda abc: "if {} then {} else {}".format(*abc)).map("({})".format),
        st.tuples(inner, inner).map(lambda ab: "if {} then true else {}".format(*ab)),
    ),
    max_leaves=8,
)


def operands(tree, join):
    return [*operands(tree[join]["left"], join), *operands(tree[join]["right"], join)] if join in tree else [tree]


@given(text=EXPRESSIONS, kind=st.sampled_from(["when", "unless"]))
@settings(max_examples=150, deadline=None)
def test_the_cut_agrees_with_the_parsers_tree(text, kind):
    text = f"{kind} {{ {text} }}"
    try:
        (whole,) = policy_json(f"permit (principal, action, resource) {text};")["conditions"]
    except EngineError:
        assume(False)
    found = [policy_json(c.alone)["conditions"][0]["body"] for c in parts(text).conditions]
    assert found == operands(whole["body"], {"when": "&&", "unless": "||"}[kind])


def test_every_condition_knows_its_line():
    found = parts("\nwhen {\n  context.a &&\n  // why\n  context.b\n}\nunless { context.c }")
    assert [c.line for c in found.conditions] == [3, 5, 7]


def test_every_part_is_a_policy_of_its_own():
    found = parts('unless { context.a || context.b // it ends here }\n } when { context.c == "}" }')
    for text in [found.scope, *(c.alone for c in found.conditions)]:
        assert policy_json(text)["effect"] == "permit"


def test_the_scope_of_a_forbid_becomes_a_permit_with_the_same_scope():
    head = '@id("x") @message("forbid (when) { permit }")\nforbid (principal is Agent in AgentGroup::"a", action in [Action::"b"], resource)'
    found = parts("when { true }", head)
    assert found.scope == 'permit (principal is Agent in AgentGroup::"a", action in [Action::"b"], resource);'
    assert parts("", head).scope == found.scope
