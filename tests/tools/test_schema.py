"""Arguments are held to a compiled schema; refusals name the rule and the place, never the value."""

from __future__ import annotations

import pytest

from gateway.errors import Refusal
from gateway.tools.schema import SchemaError, compile_check


def violation(schema: dict[str, object], arguments: dict[str, object]) -> Refusal:
    with pytest.raises(Refusal) as caught:
        compile_check(schema).hold(arguments)
    assert caught.value.code == "contract_violation"
    return caught.value


def closed(**properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def test_what_keeps_to_the_schema_passes():
    check = compile_check(closed(amount={"type": "number", "multipleOf": 0.01}, when={"type": "string", "format": "date-time"}))
    check.hold({"amount": 49.95, "when": "2026-11-21T08:00:00Z"})
    assert all(compile_check(closed(a={"multipleOf": 0.01})).validator.is_valid({"a": cents / 100}) for cents in range(20_000))


@pytest.mark.parametrize(
    ("schema", "value", "pointer", "words"),
    [
        ({"type": "integer"}, "50", "/a", "of type integer"),
        ({"type": "integer"}, True, "/a", "of type integer"),
        ({"type": "number", "multipleOf": 0.01}, 0.015, "/a", "multipleOf"),
        ({"type": "string", "pattern": "^T-\\d+$"}, "T-1\n", "/a", "pattern"),
        ({"type": "string", "pattern": "^T-\\d+$"}, "T-٣", "/a", "pattern"),
        ({"type": "string", "format": "date-time"}, "2026-02-30T00:00:00Z", "/a", "date-time"),
        ({"enum": ["x"]}, "secret-value", "/a", "values that the contract lists"),
        (closed(b={"type": "string"}), {}, "/a/b", "is required"),
        (closed(b={"type": "string"}), {"b": "", "B": ""}, "/a/B", "not declared"),
        ({"type": "array", "items": {"type": "string"}}, ["x", 1], "/a/1", "of type string"),
    ],
)
def test_a_violation_names_its_rule_and_place_but_no_value(schema: dict[str, object], value: object, pointer: str, words: str):
    found = violation(closed(a=schema), {"a": value})
    assert found.pointer == pointer
    assert words in found.detail
    assert "secret-value" not in found.detail + found.reason


@pytest.mark.parametrize("number", [50.0, 1e3, -0.0])
@pytest.mark.parametrize(
    ("schema", "wrap"),
    [
        ({"type": "integer"}, lambda x: x),
        ({"type": ["integer", "null"]}, lambda x: x),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, lambda x: x),
        ({"type": "array", "items": {"type": "integer"}}, lambda x: [1, x]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, lambda x: {"k": x}),
        ({"type": "object", "properties": {"k": {"allOf": [{"type": "integer"}, {"minimum": -1}]}}}, lambda x: {"k": x}),
    ],
)
def test_an_integer_is_written_without_fraction_or_exponent(number: float, schema: dict[str, object], wrap):
    assert "integer" in violation(closed(a=schema), {"a": wrap(number)}).detail
    compile_check(closed(a=schema)).hold({"a": wrap(50)})
    compile_check(closed(a={"type": "number"})).hold({"a": number})


@pytest.mark.parametrize("pattern", ["^(?!x).*$", "(?<=a)b", "(a)\\1", "(a{1,1000}){1,1000}", "("])
def test_a_pattern_that_may_stall_does_not_load(pattern: str):
    with pytest.raises(SchemaError, match="pattern"):
        compile_check(closed(a={"type": "string", "pattern": pattern}))


@pytest.mark.parametrize(
    "schema", [{"$ref": "http://127.0.0.1:9/x"}, {"$ref": "file:///etc/passwd"}, {"type": "nonsense"}, {"minimum": "1"}, {"enum": 3}, {"allOf": []}]
)
def test_a_schema_that_is_none_or_lies_elsewhere_does_not_load(schema: dict[str, object]):
    with pytest.raises(SchemaError):
        compile_check(closed(a=schema))


def test_no_schema_is_fetched_not_even_one_that_is_there(tmp_path):
    (tmp_path / "s.json").write_text('{"type": "string"}')
    with pytest.raises(SchemaError):
        compile_check(closed(a={"$ref": (tmp_path / "s.json").as_uri()}))


def test_a_text_that_is_not_unicode_is_refused_and_not_a_crash():
    assert violation(closed(a={"type": "string", "pattern": "^x"}), {"a": "\ud800"}).detail
