"""OpenAPI schemas become plain, closed JSON Schema without references."""

from __future__ import annotations

import pytest

from gateway.canonical import Json
from gateway.errors import Problem
from gateway.tools.dialect import SchemaReader
from gateway.tools.document import Document
from gateway.tools.findings import Findings, Unsupported


def read(schema: Json, schemas: dict[str, Json] | None = None, *, version: str = "3.1") -> dict[str, Json]:
    value = {"components": {"schemas": schemas or {}}}
    reader = SchemaReader(Findings(Document("api.yaml", b"", value, {})), nullable=version == "3.0")
    return reader.read(schema, ("here",))


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def test_an_object_with_declared_members_is_closed_at_every_level():
    found = read({"type": "object", "properties": {"a": {"type": "array", "items": {"properties": {"b": {"type": "string"}}}}}})
    assert found["additionalProperties"] is False
    assert found["properties"]["a"]["items"]["additionalProperties"] is False


def test_what_the_contract_says_of_other_members_stands():
    assert read({"properties": {"a": {}}, "additionalProperties": True})["additionalProperties"] is True
    assert read({"type": "object"}) == {"type": "object"}
    assert read({"type": "object", "additionalProperties": {"type": "string"}})["additionalProperties"] == {"type": "string"}


def test_a_composition_is_closed_as_a_whole():
    found = read({"oneOf": [{"properties": {"a": {"type": "string"}}}, {"properties": {"b": {"type": "string"}}}]})
    assert found["unevaluatedProperties"] is False
    assert "additionalProperties" not in found["oneOf"][0]


def test_all_of_plain_objects_is_one_object():
    found = read({"allOf": [ref("a"), {"type": "object", "properties": {"y": {}}, "required": ["y"]}]}, {"a": {"properties": {"x": {}}}})
    assert found == {"type": "object", "properties": {"x": {}, "y": {}}, "required": ["y"], "additionalProperties": False}
    same_member = read({"allOf": [{"properties": {"x": {"type": "string"}}}, {"properties": {"x": {"minLength": 1}}}]})
    assert same_member["unevaluatedProperties"] is False
    assert read({"allOf": [ref("a")]}, {"a": {"type": "string"}}) == {"type": "string"}


def test_nothing_below_a_negation_is_closed():
    found = read({"type": "object", "not": {"properties": {"a": {"properties": {"b": {}}}}}})
    assert found["not"] == {"properties": {"a": {"properties": {"b": {}}}}}


def test_openapi_3_0_is_brought_up_to_date():
    found = read({"type": "number", "nullable": True, "minimum": 0, "exclusiveMinimum": True, "maximum": 9, "exclusiveMaximum": False}, version="3.0")
    assert found == {"type": ["number", "null"], "minimum": 0, "exclusiveMinimum": 0, "maximum": 9}
    assert read({**ref("a"), "description": "ignored", "maxLength": 1}, {"a": {"type": "string"}}, version="3.0") == {"type": "string"}
    assert read({"type": "string", "nullable": True}) == {"type": "string"}


def test_beside_a_reference_3_1_adds():
    found = read({**ref("a"), "maxLength": 1, "title": "x"}, {"a": {"type": "string"}})
    assert found == {"allOf": [{"type": "string"}, {"maxLength": 1}]}
    assert read({**ref("a"), "description": "x", "deprecated": True}, {"a": {"type": "string"}})["type"] == "string"


def test_formats_that_bound_are_bounds_and_unknown_ones_are_dropped():
    assert read({"type": "integer", "format": "int32"}) == {"type": "integer", "minimum": -(2**31), "maximum": 2**31 - 1}
    assert read({"type": "integer", "format": "int32", "minimum": 1, "maximum": 5}) == {"type": "integer", "minimum": 1, "maximum": 5}
    assert read({"type": "string", "format": "date-time"})["format"] == "date-time"
    assert read({"type": "string", "format": "password", "example": "x", "x-y": 1, "default": "d"}) == {"type": "string"}


def test_what_only_answers_hold_is_not_required_of_a_request():
    assert read({"properties": {"id": {"readOnly": True}, "a": {}}, "required": ["id", "a"]})["required"] == ["a"]


@pytest.mark.parametrize(
    ("schema", "code"),
    [
        ({"$ref": "https://example.com/s.json"}, "contract_reference"),
        ({"$ref": "other.yaml#/a"}, "contract_reference"),
        ({"$ref": "#"}, "contract_reference"),
        ({"$ref": 7}, "contract_reference"),
        (ref("absent"), "contract_reference"),
        ({"type": "any"}, "contract_schema"),
        ({"type": []}, "contract_schema"),
        ({"requierd": ["a"]}, "contract_schema"),
        ({"$id": "https://example.com/", "type": "string"}, "contract_schema"),
        ({"$dynamicRef": "#x"}, "contract_schema"),
        ({"exclusiveMinimum": True, "minimum": 1}, "contract_schema"),
        ({"properties": []}, "contract_schema"),
        ({"allOf": {}}, "contract_schema"),
        ({"items": []}, "contract_schema"),
        ({"required": "a"}, "contract_schema"),
        ("string", "contract_schema"),
        (None, "contract_schema"),
    ],
)
def test_a_schema_that_would_check_less_than_it_says_is_a_problem(schema: Json, code: str):
    with pytest.raises(Problem) as caught:
        read(schema)
    assert caught.value.code == code
    assert caught.value.key.startswith("/")
    assert caught.value.remedy


@pytest.mark.parametrize(
    "reference", ["https://example.com/s.json#/a", "other.yaml#/a", "file:///etc/passwd", "//example.com/s", "#", "", "x#/components/schemas/a"]
)
def test_only_references_within_the_file_are_followed(reference: str):
    with pytest.raises(Problem, match="only references within the file"):
        read({"$ref": reference}, {"a": {"type": "string"}})


def test_what_has_no_finite_form_is_left_out():
    with pytest.raises(Unsupported, match="refers to itself"):
        read(ref("a"), {"a": {"properties": {"a": {"items": ref("a")}}}})
    with pytest.raises(Unsupported, match="refers to itself"):
        read(ref("a"), {"a": ref("b"), "b": ref("a")})
    doubling = {f"s{n}": {"properties": {"l": ref(f"s{n + 1}"), "r": ref(f"s{n + 1}")}} for n in range(25)} | {"s25": {"type": "string"}}
    with pytest.raises(Unsupported, match="unfold"):
        read(ref("s0"), doubling)
    nested: Json = {"type": "string"}
    for _ in range(200):
        nested = {"items": nested}
    with pytest.raises(Unsupported, match="unfold"):
        read(nested)
