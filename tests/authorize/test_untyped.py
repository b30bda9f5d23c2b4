from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authorize.plans import plan
from gateway.authorize.typed import Unrepresentable
from gateway.authorize.untyped import arguments, plain
from gateway.canonical import dumps, loads

from .world import operation

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
SCALARS = {
    "string": ({"type": "string"}, TEXT | st.sampled_from(["__extn", '{"__extn":1}', "1.0", "\0"])),
    "integer": ({"type": "integer"}, st.integers(-(2**63), 2**63 - 1)),
    "number": ({"type": "number"}, st.integers(-(10**12), 10**12).map(lambda n: n / 10_000) | st.integers(-(10**14), 10**14)),
    "boolean": ({"type": "boolean"}, st.booleans()),
    "time": (
        {"type": "string", "format": "date-time"},
        st.datetimes().map(lambda t: f"{t.replace(microsecond=t.microsecond // 1000 * 1000).isoformat(timespec='milliseconds')}Z"),
    ),
}
FREE = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT | st.just("__extn"), inner, max_size=3),
    max_leaves=6,
)


def declared():
    """A JSON Schema of any type that a contract may use, with a strategy for values that keep to it."""
    scalar = st.sampled_from(sorted(SCALARS)).map(SCALARS.get)
    lists = scalar.map(lambda s: ({"type": "array", "items": s[0]}, st.lists(s[1], max_size=4)))
    raws = st.sampled_from([{}, {"type": ["string", "integer", "null"]}, {"type": "object"}, {"type": "array"}]).map(lambda s: (s, values_of(s)))
    nullable = scalar.map(lambda s: ({"anyOf": [s[0], {"type": "null"}]}, s[1] | st.none()))
    leaves = scalar | lists | raws | nullable
    names = TEXT.filter(lambda name: not name.startswith("__"))
    return st.recursive(leaves, lambda inner: st.dictionaries(names, inner, min_size=1, max_size=3).map(record), max_leaves=6)


def values_of(schema):
    kinds = schema.get("type")
    if kinds == "object":
        return st.dictionaries(TEXT, FREE, max_size=3)
    if kinds == "array":
        return st.lists(FREE, max_size=3)
    return FREE if kinds is None else TEXT | st.integers(-(2**63), 2**63 - 1) | st.none()


def record(members, *, closed=True):
    schema = {"type": "object", "properties": {n: s for n, (s, _) in members.items()}, "required": sorted(members)[:1]}
    values = {n: v for n, (_, v) in members.items()}
    kept, rest = {n: values[n] for n in schema["required"]}, {n: v for n, v in values.items() if n not in schema["required"]}
    return {**schema, "additionalProperties": not closed}, st.fixed_dictionaries(kept, optional=rest)


def without_nulls(value):
    if isinstance(value, dict):
        return {n: without_nulls(v) for n, v in value.items() if v is not None}
    return [without_nulls(v) for v in value] if isinstance(value, list) else value


@given(data=st.data(), members=st.dictionaries(TEXT.filter(lambda n: not n.startswith("__")), declared(), min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_arguments_of_every_type_come_back_from_the_typed_context(data, members):
    made = plan(operation("x", {n: s for n, (s, _) in members.items()}))
    given_ = {n: data.draw(v) for n, (_, v) in members.items()}
    try:
        context = loads(dumps(made.typed(given_)))
    except Unrepresentable:
        assert any(_has_null(v) for v in given_.values())  # a required member that was null; nothing else in here has no typed form
        return
    back = arguments(context)
    assert without_nulls(back) == without_nulls(given_)
    assert dumps(made.typed(back)) == dumps(context)


def _has_null(value):
    if isinstance(value, dict):
        return any(v is None or _has_null(v) for v in value.values())
    return isinstance(value, list) and any(v is None or _has_null(v) for v in value)


@pytest.mark.parametrize(
    ("value", "json"),
    [
        ({"__extn": {"fn": "decimal", "arg": "50.0"}}, 50),
        ({"__extn": {"fn": "decimal", "arg": "-0.0001"}}, -0.0001),
        ({"__extn": {"fn": "datetime", "arg": "2026-01-01T00:00:00.000Z"}}, "2026-01-01T00:00:00.000Z"),
        ({"__extn": {"fn": "ip", "arg": "10.0.0.1"}}, "10.0.0.1"),
        ({"__entity": {"type": "User", "id": "alice"}}, "alice"),
        ({"a": [1, {"b": True}]}, {"a": [1, {"b": True}]}),
    ],
)
def test_a_typed_value_is_plain_json_again(value, json):
    assert plain(value) == json
    assert type(plain(value)) is type(json)


def test_an_escape_that_no_conversion_makes_is_no_value():
    with pytest.raises(ValueError, match="unknown"):
        plain({"__extn": {"fn": "unknown", "arg": "a"}})
