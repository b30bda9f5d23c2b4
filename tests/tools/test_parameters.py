"""Texts become typed arguments by one strict reading, and are written back in one form."""

from __future__ import annotations

import pytest

from gateway.errors import Refusal
from gateway.tools.parameters import Parameter, coerce, parse_pairs, take_pairs


def parameter(kind="string", **members) -> Parameter:
    return Parameter("a", "a", "query", kind, **members)


def refusal(act, *given) -> Refusal:
    with pytest.raises(Refusal) as caught:
        act(*given)
    return caught.value


def test_pairs_are_decoded_once():
    assert parse_pairs("a=1&b=x+y%20z&c=%2B%26%3D%3B&d&e=") == [("a", "1"), ("b", "x y z"), ("c", "+&=;"), ("d", ""), ("e", "")]
    assert parse_pairs("a=%2561") == [("a", "%61")]
    assert parse_pairs("") == []


@pytest.mark.parametrize(
    "text", ["a=1;b=2", "a=1&&b=2", "&a=1", "a=1&", "=1", "a=%", "a=%zz", "a=%ff", "a=%c0%af", "a=%ED%A0%80", "a=%00", "a=é", "a= b", "a#b"]
)
def test_a_query_with_two_readings_is_malformed(text: str):
    assert refusal(parse_pairs, text).code == "malformed_request"


def test_more_pairs_than_anybody_needs_are_refused():
    assert refusal(parse_pairs, "&".join(["a=1"] * 1_001)).code == "malformed_request"


@pytest.mark.parametrize("text", ["0", "-1", "9223372036854775807", "-9223372036854775808"])
def test_an_integer_is_written_as_json_writes_it(text: str):
    assert coerce(text, parameter("integer")) == int(text)


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "+1", "-0", "01", "0x10", "1_000", "1e3", "1.0", "٣", "9223372036854775808", "True", "9" * 5000, "1\n"]
)
def test_anything_else_is_no_integer(text: str):
    assert refusal(coerce, text, parameter("integer")).pointer == "/a"


@pytest.mark.parametrize("text", ["", "NaN", "Infinity", "inf", "1.", ".5", "+1", "1e999", "0x1p3", "١", "1,5", "9" * 400])
def test_a_number_keeps_to_the_grammar_of_json(text: str):
    assert refusal(coerce, text, parameter("number")).code == "contract_violation"


@pytest.mark.parametrize("text", ["", "True", "TRUE", "1", "yes", "on", "null"])
def test_a_boolean_is_true_or_false(text: str):
    assert refusal(coerce, text, parameter("boolean")).code == "contract_violation"
    assert coerce("true", parameter("boolean")) is True


def test_what_goes_upstream_is_written_from_the_values():
    declared = {"a": parameter("number"), "b c": Parameter("b c", "b c", "query", "string")}
    arguments: dict[str, object] = {}
    assert take_pairs([("a", "1e3"), ("b c", "x+y&z=ü~")], declared, arguments) == "a=1000.0&b%20c=x%2By%26z%3D%C3%BC~"
    assert arguments == {"a": 1000.0, "b c": "x+y&z=ü~"}


@pytest.mark.parametrize("place", ["path", "header"])
def test_a_number_that_is_not_written_anew_must_be_what_policy_sees(place):
    declared = Parameter("a", "a", place, "number")
    assert [coerce(text, declared) for text in ("50", "50.5", "-0.25")] == [50, 50.5, -0.25]
    for text in ("50.000000000000000001", "1e3", "50.50", "0.1000000000000000055511151231257827"):
        assert refusal(coerce, text, declared).pointer == "/a"


def test_a_parameter_that_is_no_list_stands_once():
    found = refusal(take_pairs, [("a", "1"), ("a", "2")], {"a": parameter()}, {})
    assert (found.code, found.pointer) == ("contract_violation", "/a")


def test_lists_come_exploded_or_with_commas():
    arguments: dict[str, object] = {}
    assert take_pairs([("a", "1"), ("a", "2")], {"a": parameter("integer", array=True)}, arguments) == "a=1&a=2"
    assert arguments == {"a": [1, 2]}
    arguments = {}
    assert take_pairs([("a", "x,y z")], {"a": parameter(array=True, explode=False)}, arguments) == "a=x,y%20z"
    assert arguments == {"a": ["x", "y z"]}
    assert refusal(take_pairs, [("a", "1"), ("a", "2")], {"a": parameter(array=True, explode=False)}, {}).pointer == "/a"


def test_an_undeclared_name_is_pointed_at_and_cut():
    assert refusal(take_pairs, [("x/y", "1")], {}, {}).pointer == "/x~1y"
    assert len(refusal(take_pairs, [("x" * 1000, "1")], {}, {}).pointer) == 65
