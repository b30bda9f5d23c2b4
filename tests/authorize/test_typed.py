from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authorize.shapes import RAW, Member, Shape, shape_of
from gateway.authorize.typed import Unrepresentable, converter, instant, moment_us


def typed(schema, value):
    return converter(shape_of(schema))(value)


def decimal_of(value):
    return typed({"type": "number"}, value)["__extn"]["arg"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0.0"),
        (50, "50.0"),
        (50.01, "50.01"),
        (-0.0, "-0.0"),
        (0.0001, "0.0001"),
        (1e3, "1000.0"),
        (-12.5, "-12.5"),
        (922337203685477, "922337203685477.0"),
    ],
)
def test_a_number_becomes_a_decimal_exactly(value, text):
    assert decimal_of(value) == text


@pytest.mark.parametrize(
    "value", [0.00001, 1e-5, 50.00001, 1e300, -1e300, 922337203685478, float("inf"), float("nan"), 10**30, True, "5", None, [5], {}]
)
def test_a_number_that_decimal_cannot_hold_is_refused(value):
    with pytest.raises(Unrepresentable):
        decimal_of(value)


@given(st.integers(-(10**12), 10**12))
@settings(max_examples=200, deadline=None)
def test_every_number_of_four_places_keeps_its_value(units):
    assert float(decimal_of(units / 10_000)) == units / 10_000


@pytest.mark.parametrize(("value", "number"), [(5, 5), (5.0, 5), (-(2**63), -(2**63)), (2**63 - 1, 2**63 - 1)])
def test_an_integer_becomes_a_long(value, number):
    found = typed({"type": "integer"}, value)
    assert found == number
    assert type(found) is int


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1, 1.5, 1e300, 2.0**53 + 2, -1e17, True, "5", None])
def test_an_integer_beyond_64_bits_or_of_another_type_is_refused(value):
    with pytest.raises(Unrepresentable):
        typed({"type": "integer"}, value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("2026-03-01T10:00:00Z", "2026-03-01T10:00:00.000Z"),
        ("2026-03-01t10:00:00z", "2026-03-01T10:00:00.000Z"),
        ("2026-03-01T10:00:00.5+01:00", "2026-03-01T09:00:00.500Z"),
        ("2026-03-01T00:30:00-01:30", "2026-03-01T02:00:00.000Z"),
        ("2026-03-01T10:00:00.123000Z", "2026-03-01T10:00:00.123Z"),
    ],
)
def test_a_date_time_is_normalised_to_utc_milliseconds(value, text):
    assert typed({"type": "string", "format": "date-time"}, value) == {"__extn": {"fn": "datetime", "arg": text}}


@pytest.mark.parametrize(
    "value",
    [
        "2026-03-01",
        "2026-03-01T10:00:00",
        "2026-03-01T10:00:60Z",
        "2026-02-30T10:00:00Z",
        "2026-03-01T10:00:00.1234Z",
        "2026-03-01T10:00:00+25:00",
        "2026-03-01T10:00:00+01:60",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "٢٠٢٦-03-01T10:00:00Z",
        "2026-03-01T10:00:00Z\n",
        5,
    ],
)
def test_a_date_time_that_is_not_exact_is_refused(value):
    with pytest.raises(Unrepresentable):
        typed({"type": "string", "format": "date-time"}, value)


@pytest.mark.parametrize("value", ["\ud800", "a\udfff", 5, None, {"__extn": {"fn": "unknown", "arg": "a"}}, ["a"]])
def test_a_string_is_unicode_text_and_nothing_else(value):
    with pytest.raises(Unrepresentable):
        typed({"type": "string"}, value)


RECORD = {
    "type": "object",
    "properties": {"a": {"type": "string"}, "b": {"type": ["integer", "null"]}},
    "required": ["a"],
    "additionalProperties": False,
}


@pytest.mark.parametrize(
    ("now_us", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_767_268_800_999_999, "2026-01-01T12:00:00.999Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
        (-(6 * 10**16), "0068-09-03T13:20:00.000Z"),
    ],
)
def test_the_clock_is_written_as_the_engine_reads_it(now_us, text):
    assert moment_us(now_us) == {"__extn": {"fn": "datetime", "arg": text}}
    assert moment_us(now_us) == instant(datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=now_us))


def test_null_is_absence():
    assert typed(RECORD, {"a": "x", "b": None}) == {"a": "x"}


@pytest.mark.parametrize("value", [{"b": 1}, {"a": None}, {"a": "x", "c": 1}, {"a": "x", "__extn": {}}, {"a": 1}, "x", []])
def test_a_record_holds_what_is_declared_and_lacks_nothing(value):
    with pytest.raises(Unrepresentable):
        typed(RECORD, value)


def test_a_member_that_has_no_type_must_be_there_too():
    convert = converter(Shape("record", members=(Member("a", shape_of({"type": "string"}), required=True), Member("any", RAW, required=True))))
    assert convert({"a": "x", "any": None}) == {"a": "x"}
    with pytest.raises(Unrepresentable) as caught:
        convert({"a": "x"})
    assert caught.value.pointer == "/any"


def test_a_fault_is_pointed_at():
    schema = {"type": "object", "properties": {"a/b": {"type": "array", "items": RECORD["properties"]["a"]}}, "additionalProperties": False}
    with pytest.raises(Unrepresentable) as caught:
        typed(schema, {"a/b": ["x", 5]})
    assert caught.value.pointer == "/a~1b/-"
