from __future__ import annotations

import pytest

from gateway.authorize.mutations import lookup, mutations, required, sample

SCHEMA = {
    "properties": {"name": {"type": "string"}, "count": {"type": "integer", "minimum": 3}, "sure": {"type": "boolean"}},
    "required": ["name", "count"],
}


def made(arguments, schema=None):
    return [(m.kind, m.path, m.arguments) for m in mutations(arguments, schema)]


def test_every_argument_is_taken_away_emptied_and_given_every_other_type():
    found = made({"name": "a", "count": 5})
    assert ("missing", ("name",), {"count": 5}) in found
    for empty in (None, "", [], {}):
        assert ("empty", ("name",), {"name": empty, "count": 5}) in found
    wrong = [arguments["name"] for kind, path, arguments in found if (kind, path) == ("wrong type", ("name",))]
    assert {type(value) for value in wrong} == {int, float, bool, dict, list}
    assert {"__extn": {"fn": "unknown", "arg": "a"}} in wrong
    assert ["a"] in wrong
    as_text = [arguments["count"] for kind, path, arguments in found if (kind, path) == ("wrong type", ("count",))]
    assert "5" in as_text
    assert not any(type(value) in (int, float) for value in as_text)


def test_what_is_already_so_is_no_change():
    assert ("empty", ("name",), {"name": ""}) not in made({"name": ""})


def test_strange_names_other_spellings_and_what_is_optional_are_added():
    found = [arguments for kind, _, arguments in made({"name": "a"}, SCHEMA) if kind == "extra"]
    for extra in ({"__entity": "x"}, {"NAME": "a"}, {"name ": "a"}, {"sure": True}, {"count": 3}):
        assert {"name": "a"} | extra in found
    assert {"NAME": "a"} in found  # instead of, not beside


def test_members_of_objects_are_spoiled_too_and_the_original_stays_as_it_was():
    original = {"to": {"city": "Rome", "floor": 1}}
    found = made(original)
    assert ("missing", ("to", "city"), {"to": {"floor": 1}}) in found
    assert ("empty", ("to", "city"), {"to": {"city": "", "floor": 1}}) in found
    assert ("extra", ("to", "CITY"), {"to": {"city": "Rome", "floor": 1, "CITY": "Rome"}}) in found
    assert original == {"to": {"city": "Rome", "floor": 1}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, "x"),
        (True, "x"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00Z"),
        ({"enum": ["b", "a"]}, "b"),
        ({"const": 7}, 7),
        ({"type": "number"}, 1),
        ({"type": ["boolean", "null"]}, True),
        ({"type": "null"}, None),
        ({"type": "array", "items": {"type": "integer"}}, [1]),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, 1),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "b"]}, {"a": 1, "b": "x"}),
    ],
)
def test_a_sample_has_the_type_of_its_schema(schema, value):
    assert sample(schema) == value


def test_what_is_required_and_nothing_else_makes_a_plain_call():
    assert required(SCHEMA) == {"name": "x", "count": 3}
    assert required(None) == {}


def test_a_path_is_looked_up_to_its_end():
    assert lookup({"a": {"b": None}}, ("a", "b")) == (True, None)
    assert lookup({"a": {"b": 1}}, ("a", "c")) == lookup({"a": 1}, ("a", "b")) == (False, None)
