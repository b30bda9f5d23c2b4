import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.canonical import JsonError
from gateway.record.line import LINE_BYTES_MAX, REST_BYTES_MAX, BrokenLine, LineTooLong, genesis, line_of, parse, record_of, rest_of

PREV = genesis("gw.example/test")
numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
names = st.text().filter(lambda name: name not in {"n", "prev", "t", "k"})


@given(st.dictionaries(names, values, max_size=6), st.integers(0, 2**63 - 1), st.integers(0, 2**60))
def test_whatever_is_written_reads_back_the_same_and_in_one_form(body, n, t):
    line = line_of(n, PREV, t, rest_of("call", body))
    members = parse(line, n, PREV, t)
    assert list(members)[:4] == ["n", "prev", "t", "k"]
    record = record_of(line)
    assert (record.n, record.prev, record.t, record.kind, dict(record.body)) == (n, PREV.hex(), t, "call", body)
    assert b"\n" not in line


def test_a_record_without_members_is_a_record():
    line = line_of(3, PREV, 1, rest_of("log.close", {}))
    assert line == b'{"n":3,"prev":"%b","t":1,"k":"log.close"}' % PREV.hex().encode()
    assert parse(line, 3, PREV)["k"] == "log.close"


def test_the_longest_line_is_written_and_one_byte_more_is_not():
    overhead = len(rest_of("call", {"x": ""}))
    rest = rest_of("call", {"x": "a" * (REST_BYTES_MAX - overhead)})
    line = line_of(10**19, PREV, 10**18, rest)
    assert LINE_BYTES_MAX - 2 <= len(line) <= LINE_BYTES_MAX
    assert parse(line, 10**19, PREV)["x"]
    with pytest.raises(LineTooLong):
        rest_of("call", {"x": "a" * (REST_BYTES_MAX - overhead + 1)})


@pytest.mark.parametrize("body", [{"n": 1}, {"prev": "x"}, {"t": 0}, {"k": "result"}])
def test_a_body_cannot_bring_members_of_the_head(body):
    with pytest.raises(ValueError):
        rest_of("call", body)


@pytest.mark.parametrize("kind", ["", "Call", 'call"', "call\n", "a" * 33, ".call", "c all"])
def test_a_kind_is_a_plain_word(kind):
    with pytest.raises(ValueError):
        rest_of(kind, {})


@pytest.mark.parametrize("body", [{"x": "\ud800"}, {"x": 2**64}, {"x": object()}, {1: 2}])
def test_a_body_that_has_no_json_form_is_refused(body):
    with pytest.raises(JsonError):
        rest_of("call", body)


HEAD = '{"n":5,"prev":"' + PREV.hex() + '","t":9,"k":"call"'


@pytest.mark.parametrize(
    "line",
    [
        HEAD + ',"a":1,"a":2}',  # the last of two members would win, or the first, depending on who reads
        HEAD + ', "a":1}',
        HEAD + ',"a":1} ',
        HEAD + ',"a":"\\u0041"}',
        HEAD + ',"a":"\\/"}',
        HEAD + ',"a":1.00}',
        HEAD + ',"a":1e2}',
        HEAD + ',"a":18446744073709551616}',
        HEAD + ',"a":NaN}',
        HEAD + ',"n":6}',
        HEAD.replace('"n":5', '"n":05') + "}",
        HEAD.replace('"n":5', '"n":6') + "}",
        HEAD.replace('"t":9', '"t":9.0') + "}",
        HEAD.replace('"t":9', '"t":"9"') + "}",
        HEAD.replace('"t":9', '"t":true') + "}",
        HEAD.replace('"t":9', '"t":8') + "}",
        HEAD.replace('"k":"call"', '"k":7') + "}",
        HEAD.replace('"t":9,"k":"call"', '"k":"call","t":9') + "}",
        '{"prev":"' + PREV.hex() + '","n":5,"t":9,"k":"call"}',
        HEAD.replace(PREV.hex(), PREV.hex().upper()) + "}",
        HEAD,
        HEAD + "}" + "}",
        "[]",
        "7",
        "null",
        "",
        "\ufeff" + HEAD + "}",
    ],
)
def test_a_line_in_any_other_form_is_broken(line):
    assert parse((HEAD + "}").encode(), 5, PREV, 9)
    with pytest.raises(BrokenLine):
        parse(line.encode(), 5, PREV, 9)


@given(st.binary(max_size=300))
def test_no_bytes_crash_the_reader(data):
    for read in (lambda: parse(data, 0, PREV), lambda: record_of(data)):
        with pytest.raises(BrokenLine):
            read()


def test_lines_longer_than_the_limit_are_broken_even_when_they_parse():
    line = line_of(5, PREV, 9, b',"k":"call","a":"%b"}' % (b"a" * LINE_BYTES_MAX))
    for read in (lambda: parse(line, 5, PREV), lambda: record_of(line)):
        with pytest.raises(BrokenLine, match="longer"):
            read()
