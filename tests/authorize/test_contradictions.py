from __future__ import annotations

import pytest

from gateway.authorize.contradictions import contradictions
from gateway.authorize.syntax import clauses

A, N, NOW = "context.input.a", "context.input.n", "context.now"


def found(conditions):
    """The policy's text with each finding marked where it stands, and what is said."""
    text = f"permit (principal, action, resource) {conditions};"
    told = contradictions(text, clauses(text))
    return [
        text[f.node.start : f.node.end].removeprefix("(").removesuffix(")") if text[f.node.start] == "(" else text[f.node.start : f.node.end]
        for f in told
    ], " ".join(f.message for f in told)


@pytest.mark.parametrize(
    ("condition", "says"),
    [
        ("1 > 2", "always false"),
        ("-1 < 2", "always true"),
        ('"a" == "a"', "always true"),
        ('"a" != "a"', "always false"),
        (f"{A} == {A}", "always true"),
        (f"{A} < {A}", "always false"),
        ('datetime("2026-01-01") < datetime("2027-01-01T00:00:00Z")', "always true"),
    ],
)
def test_a_comparison_that_no_call_can_change_is_found(condition, says):
    for around in ("when {{ {} }}", "when {{ context.b && {} }}", "when {{ context.b || !({}) }}", "unless {{ if context.b then {} else true }}"):
        places, told = found(around.format(condition))
        assert places == [condition]
        assert says in told


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (f'{A} == "EUR"', f'{A} == "USD"'),
        (f'{A} == "EUR"', f'{A} != "EUR"'),
        (f'"EUR" == {A}', f'{A} == "USD"'),
        (f"{N} > 10", f"{N} < 5"),
        (f"10 < {N}", f"5 >= {N}"),
        (f"{N} == 3", f"{N} > 3"),
        (f'{N}.greaterThan(decimal("50.00"))', f'{N}.lessThanOrEqual(decimal("50.00"))'),
        (f'{NOW} < datetime("2026-01-01")', f'{NOW} >= datetime("2026-01-01T00:00:00Z")'),
        (f"{A} == true", f"{A} == false"),
    ],
)
def test_two_conditions_that_no_value_meets_are_found_at_the_second(first, second):
    for conditions in (
        f"when {{ {first} && {second} }}",
        f"when {{ {first} }} when {{ context.b && {second} }}",
        f"when {{ {first} }} unless {{ !({second}) }}",
        f"when {{ context.b || ({first} && {second}) }}",
    ):
        places, told = found(conditions)
        assert len(places) == 1
        assert places[0] in {second, f"!({second})"}
        assert "never true together" in told


@pytest.mark.parametrize(
    "conditions",
    [
        f'when {{ {A} == "EUR" || {A} == "USD" }}',
        f'when {{ {A} != "EUR" && {A} != "USD" }}',
        f'when {{ {A} == "EUR" }} unless {{ {A} == "USD" }}',
        f"when {{ {N} > 5 && {N} < 10 }}",
        f"when {{ {N} >= 5 && {N} <= 5 }}",
        f'when {{ {N}.greaterThanOrEqual(decimal("50.00")) && {N}.lessThanOrEqual(decimal("50.00")) }}',
        f'when {{ {A} == "EUR" && context.input.b == "USD" }}',
        f'when {{ {A} == "1" && {A} == decimal("nonsense") }}',
        "when { context.a['x'] == \"1\" }".replace("'", '"'),
        "when { context.b } unless { context.c }",
    ],
)
def test_what_some_call_meets_is_left_alone(conditions):
    assert found(conditions) == ([], "")


def test_a_condition_that_stands_twice_or_contradicts_itself_is_found():
    assert "twice" in found("when { context.b &&\n context.b }")[1]
    assert "contradicts" in found("when { context.b } unless { context.b }")[1]
