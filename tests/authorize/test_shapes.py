from __future__ import annotations

import pytest

from gateway.authorize.shapes import shape_of

STRING = {"type": "String"}


@pytest.mark.parametrize(
    ("schema", "cedar"),
    [
        ({"type": "string"}, STRING),
        ({"type": "string", "enum": ["a", "b"]}, STRING),
        ({"enum": ["a", "b"]}, STRING),
        ({"const": 3}, {"type": "Long"}),
        ({"type": "boolean"}, {"type": "Boolean"}),
        ({"type": "integer", "minimum": 0}, {"type": "Long"}),
        ({"type": "number"}, {"type": "Extension", "name": "decimal"}),
        ({"type": ["integer", "number"]}, {"type": "Extension", "name": "decimal"}),
        ({"type": "string", "format": "date-time"}, {"type": "Extension", "name": "datetime"}),
        ({"type": "array", "items": {"type": "integer"}}, {"type": "Set", "element": {"type": "Long"}}),
        ({"anyOf": [{"type": "string", "minLength": 1}, {"type": "string", "enum": [""]}]}, STRING),
    ],
)
def test_a_schema_has_the_cedar_type_of_its_values(schema, cedar):
    shape = shape_of(schema)
    assert shape.cedar == cedar
    assert not shape.nullable
    assert shape.whole


@pytest.mark.parametrize("schema", [{"type": ["string", "null"]}, {"anyOf": [{"type": "string"}, {"type": "null"}]}, {"enum": ["a", None]}])
def test_null_makes_a_value_optional(schema):
    shape = shape_of(schema)
    assert shape.nullable
    assert shape.cedar == STRING


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "array"},
        {"type": "array", "items": {"type": ["string", "null"]}},
        {"type": "array", "items": {"type": "object"}},
        {"type": "array", "prefixItems": [{"type": "string"}], "items": {"type": "string"}},
        {"type": "object"},
        {"type": ["string", "integer"]},
        {"oneOf": [{"type": "string"}, {"type": "integer"}]},
        {"enum": ["a", 1]},
        {"const": {"a": 1}},
    ],
)
def test_what_has_no_one_type_is_raw(schema):
    assert shape_of(schema).kind == "raw"


def test_a_closed_object_is_a_record_with_optional_members():
    shape = shape_of(
        {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
    )
    assert shape.cedar == {"type": "Record", "attributes": {"a": STRING, "b": {"type": "Long", "required": False}}}
    assert shape.whole


def test_an_open_object_is_a_record_of_what_is_declared_and_raw_besides():
    shape = shape_of({"type": "object", "properties": {"a": {"type": "string"}}})
    assert shape.kind == "record"
    assert not shape.whole


@pytest.mark.parametrize("name", ["__extn", "__entity", "__expr"])
def test_a_member_named_like_an_escape_is_refused_at_any_depth(name):
    inner = {"type": "object", "properties": {name: {"type": "string"}}}
    with pytest.raises(ValueError, match=name):
        shape_of({"type": "object", "properties": {"deep": inner}})
