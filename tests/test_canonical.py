"""Strict JSON: what two parsers might read differently is refused."""

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import JsonError, digest, dumps, dumps_in_order, embed, loads, loads_exact, loads_trusted

scalars = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False, width=32) | st.text(max_size=20)
)
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4), max_leaves=20)


@given(values)
def test_what_was_dumped_is_read_back_the_same(value):
    assert loads(dumps(value)) == value


@given(values)
def test_the_standard_library_reads_accepted_bytes_the_same_way(value):
    raw = json.dumps(value).encode()
    assert loads(raw) == json.loads(raw)


@given(st.binary(max_size=60))
def test_no_bytes_raise_anything_but_a_json_error(raw):
    try:
        loads(raw)
    except JsonError:
        return
    assert orjson.loads(raw) is not ...


@pytest.mark.parametrize(
    "raw",
    [
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":1}}',
        b'{"a":1,"\\u0061":2}',
        b'[{"x":"y:z","k":1,"k":1}]',
        b'{"a":":","a":":"}',
        b"NaN",
        b"[Infinity]",
        b"-Infinity",
        b"1e999",
        b"[18446744073709551616]",
        b"[9223372036854775808]",
        b"[-9223372036854775809]",
        b'"\\ud800"',
        b'"\xff"',
        b"\xef\xbb\xbf{}",
        b"",
        b"{}{}",
        b"{'a':1}",
        b"[1,]",
        b"01",
        b"[1e40]" + b" " * 3 + b"x",
        b'{"a":1}\x00',
        b"[" * 40 + b"]" * 40,
        b"[" * 5_000 + b"]" * 5_000,
        b"[" + b"0," * 3_000 + b"0]",
    ],
)
def test_ambiguous_or_excessive_json_is_refused(raw):
    with pytest.raises(JsonError):
        loads(raw)


def test_a_colon_inside_a_text_is_no_member():
    assert loads(b'{"time":"12:30:00","n":{"a:b":[1,"::"]}}') == {"time": "12:30:00", "n": {"a:b": [1, "::"]}}


def test_integers_keep_all_64_bits():
    assert loads(b"[9223372036854775807,-9223372036854775808]") == [2**63 - 1, -(2**63)]


def test_a_large_number_written_as_a_float_stays_one():
    assert loads(b"[1e300]") == [1e300]


def test_members_are_sorted_by_code_point_and_a_second_form_keeps_their_order():
    assert dumps({"b": 1, "\U0001f600": 2, "a": 3, "ﬀ": 4}) == '{"a":3,"b":1,"ﬀ":4,"\U0001f600":2}'.encode()
    assert dumps_in_order({"b": 1, "a": 2}) == b'{"b":1,"a":2}'


@pytest.mark.parametrize("value", [{1: 2}, "\ud800", 2**64, object(), {"a": {1, 2}}])
def test_what_has_no_canonical_form_is_refused(value):
    with pytest.raises(JsonError):
        dumps(value)
    with pytest.raises(JsonError):
        dumps_in_order(value)


def test_embedded_bytes_are_not_parsed_again():
    assert dumps_in_order({"a": embed(b'{"z":1}')}) == b'{"a":{"z":1}}'


def test_trusted_bytes_that_are_no_json_are_still_an_error_of_ours():
    with pytest.raises(JsonError):
        loads_trusted(b"{")


def test_a_digest_names_its_algorithm():
    assert digest(b"") == "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(values)
def test_bytes_in_their_one_form_are_read_exactly(value):
    assert loads_exact(dumps_in_order(value)) == value


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"a":1}', b'{"a": 1}', b"[1.0e0]", b'"\\u0041"', b"1 ", b"-0", b"2e400", b"", b"{", b"NaN", b'"\xff"', b"[" * 2_000]
)
def test_bytes_in_any_other_form_are_refused(raw):
    with pytest.raises(JsonError):
        loads_exact(raw)
