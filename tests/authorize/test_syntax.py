"""The reader of expressions agrees with the engine's parser about every condition, and knows where each part stands."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.authorize.engine import policy_json
from gateway.authorize.splitting import split
from gateway.authorize.syntax import NotUnderstood, clauses, tokens

SAMPLE = Path(__file__).resolve().parents[2] / "policies"

LEAVES = ["true", "false", "1", '"a\\"b"', 'Agent::"x"', "context.a", 'context["odd name"]', "principal", "[1, 2,]", '{"a": 1, b: 2}', 'ip("::1")']


def texts():
    leaves = st.sampled_from(LEAVES)
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.tuples(inner, st.sampled_from(["&&", "||", "==", "!=", "<", "in", "+", "*", "-"]), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
            st.tuples(inner, inner, inner).map(lambda t: f"(if {t[0]} then {t[1]} else {t[2]})"),
            inner.map(lambda t: f"!({t})"),
            inner.map(lambda t: f"({t}).b.contains(1)"),
            inner.map(lambda t: f'(({t}) has b.c && ({t}) has "d e" && ({t}) like "*x" && ({t}) is Agent in AgentGroup::"g")'),
        ),
        max_leaves=8,
    )


def policy(condition: str, kind: str = "when") -> str:
    return f'@id("a(") @owner("when {{") permit (principal in AgentGroup::"x", action in [Action::"a"], resource) {kind} {{ {condition} }};'


def meaning(condition: str):
    return policy_json(policy(condition))["conditions"]


@given(texts())
def test_every_part_stands_where_it_is_said_to_stand(condition):
    text = policy(condition)
    found = clauses(text)
    assert len(found) == 1
    for node in found[0].body.walk():
        part = text[node.start : node.end]
        if node.kind != "entity" or "::" in node.word:
            policy_json(policy(f"({part}) == 1"))  # it is an expression by itself
        assert node.start <= node.at < node.end


@given(texts())
def test_an_expression_written_again_from_its_parts_means_the_same(condition):
    text = policy(condition)
    assert meaning(written(clauses(text)[0].body, text)) == meaning(condition)


def written(node, text):
    """The expression with brackets around every part of it: precedence cannot save a wrong tree."""
    parts = [f"({written(part, text)})" for part in node.parts]
    match node.kind:
        case "and" | "or" | "compare" | "in" | "sum":
            return f" {node.word} ".join(parts)
        case "like":
            return f"{parts[0]} like {text[node.parts[1].start : node.parts[1].end]}"
        case "not" | "negate":
            return f"{node.word}{parts[0]}"
        case "if":
            return "if {} then {} else {}".format(*parts)
        case "member":
            return f'{parts[0]}["{node.word}"]'
        case _:
            return text[node.start : node.end]


def test_conditions_are_cut_at_what_joins_them():
    text = policy('a && (b || c) && (d && e) && "x && y" == f')
    assert [text[n.start : n.end] for n in clauses(text)[0].conjuncts] == ["a", "(b || c)", "d", "e", '"x && y" == f']
    text = policy("a || b && c", "unless")
    assert [text[n.start : n.end] for n in clauses(text)[0].conjuncts] == ["a", "b && c"]


def test_a_member_chain_is_told_as_its_names():
    assert [n.path for n in clauses(policy('context.input["a b"].c == principal.x'))[0].body.parts] == [
        ("context", "input", "a b", "c"),
        ("principal", "x"),
    ]
    assert clauses(policy("f().x == 1"))[0].body.parts[0].path is None


def test_every_sample_policy_is_understood():
    pieces = [piece for file in sorted(SAMPLE.glob("*.cedar")) for piece in split(str(file), file.read_text())]
    assert pieces
    assert [len(clauses(piece.text)) for piece in pieces] == [len(policy_json(piece.text)["conditions"]) for piece in pieces]


@pytest.mark.parametrize(
    "text", ["", "permit", "permit (", "permit (principal) when { ", "permit (principal) when { a = b };", "permit (principal) x;"]
)
def test_what_no_parser_takes_is_not_understood(text):
    with pytest.raises(NotUnderstood):
        clauses(text)


def test_words_are_found_without_space_and_comments():
    assert [(w.text, w.start, w.end) for w in tokens('a // b\n == "c // d"')] == [("a", 0, 1), ("==", 8, 10), ('"c // d"', 11, 19)]
