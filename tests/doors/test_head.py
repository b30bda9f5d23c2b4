"""The grammar of heads: limits, and agreement with two parsers that nobody here wrote."""

from __future__ import annotations

from dataclasses import replace

import h11
import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config.model import Limits
from gateway.doors.head import check_beginning, parse
from gateway.errors import Refusal

LIMITS = Limits()


def refuses(raw: bytes, code: str = "malformed_request", limits: Limits = LIMITS) -> Refusal:
    with pytest.raises(Refusal) as refusal:
        parse(raw, limits)
    assert refusal.value.code == code
    return refusal.value


def test_a_head_is_taken_apart():
    head = parse(b"POST /a%2Fb?c=d?e HTTP/1.1\r\nHOST: x:1\r\nX-A:  b c \t\r\nx-a:\r\nContent-Length: 12\r\nConnection: x, Close\r\n\r\n", LIMITS)
    assert (head.method, head.path, head.query) == ("POST", b"/a%2Fb", b"c=d?e")
    assert head.fields == [(b"host", b"x:1"), (b"x-a", b"b c"), (b"x-a", b""), (b"content-length", b"12"), (b"connection", b"x, Close")]
    assert head.length == 12
    assert not head.keep_alive
    assert not head.expects_continue


def test_chunked_has_no_length_and_nothing_has_length_zero():
    assert parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", LIMITS).length == 0
    assert parse(b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: CHUNKED\r\n\r\n", LIMITS).length is None


@pytest.mark.parametrize("name", ["method", "Host-Is", "x.y", "x|y~", "!#$%&'*+-.^`"])
def test_every_name_of_the_rfc_but_those_with_underscores_is_taken(name):
    assert parse(b"GET / HTTP/1.1\r\nHost: x\r\n%b: 1\r\n\r\n" % name.encode(), LIMITS).fields[1] == (name.lower().encode(), b"1")


@pytest.mark.parametrize(
    ("raw", "word"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nA_B: 1\r\n\r\n", "underscore"),
        (b"GET / HTTP/1.1\r\nHost: x\r\n a: 1\r\n\r\n", "folded"),
        (b"GET / HTTP/1.1\r\nHost: x\na: 1\r\n\r\n", "bare"),
        (b"GET / HTTP/1.1\r\nHost: x\r\na: \xff\r\n\r\n", "ASCII"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", "host comes twice"),
        (b"GET / HTTP/1.1\r\nHost: x\r\na\r\n\r\n", "NAME"),
        (b"GET /#a HTTP/1.1\r\nHost: x\r\n\r\n", "fragment"),
        (b"GET / HTTP/1.0\r\nHost: x\r\n\r\n", "only HTTP/1.1"),
        (b"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", "control"),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", "METHOD"),
    ],
)
def test_a_refusal_says_which_rule_was_broken_and_quotes_nothing(raw, word):
    refusal = refuses(raw)
    assert word in refusal.reason
    assert "\xff" not in refusal.detail


def test_each_limit_has_its_code_and_its_exact_place():
    limits = replace(LIMITS, request_line_bytes_max=20, header_bytes_max=30, header_count_max=3)
    line = b"GET /2345 HTTP/1.1\r\n"
    assert parse(b"GET /234567 HTTP/1.1\r\nHost: x\r\n\r\n", limits).path == b"/234567"
    refuses(b"GET /2345678 HTTP/1.1\r\nHost: x\r\n\r\n", "uri_too_long", limits)
    assert parse(line + b"Host: x\r\na: %b\r\n\r\n" % (b"b" * 16), limits)
    refuses(line + b"Host: x\r\na: %b\r\n\r\n" % (b"b" * 17), "headers_too_large", limits)
    assert parse(line + b"Host: x\r\na: b\r\nc: d\r\n\r\n", limits)
    refuses(line + b"Host: x\r\na: b\r\nc: d\r\ne:\r\n\r\n", "headers_too_large", limits)


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\nHost: x\n",
        b"GET / HTTP/1.1\n",
        b"GET / HTTP/1.0\r\n",
        b"GET /\r\n",
        b"\r\n",
        b"\x16\x03",
        b"GET / HTTP/1.1\r\nA: \r ",
        b"G" * 9_000,
        b"GET / HTTP/1.1\r\n" + b"a" * 33_000,
        b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 200,
    ],
)
def test_a_beginning_that_cannot_become_a_head_is_refused_at_once(raw):
    with pytest.raises(Refusal):
        check_beginning(raw, LIMITS)


def test_every_beginning_of_a_good_head_is_waited_for():
    raw = b"POST /a?b HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nX:\r\n\r\n"
    checked = [check_beginning(raw[:end], LIMITS) for end in range(len(raw) - 1)]
    assert checked == [None] * (len(raw) - 1)


PIECES = [
    *(
        b"GET",
        b"POST",
        b"get",
        b" ",
        b"  ",
        b"/",
        b"/a?b=c",
        b"http://x/a",
        b"#",
        b"HTTP/1.1",
        b"HTTP/1.0",
        b"\r\n",
        b"\n",
        b"\r",
        b"\t",
        b":",
        b": ",
    ),
    *(b"Host: x", b"Host: y", b"Content-Length: 3", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"Transfer-Encoding", b"X: 1", b"X_Y: 1"),
    *(b"\x00", b"\xff", b"Connection: close", b"Connection: upgrade", b"Upgrade: h2c", b"Expect: 100-continue", b"a", b",", b";", b"5"),
]
LINES = st.sampled_from([b"GET / HTTP/1.1\r\n", b"POST /a?b HTTP/1.1\r\n", b"GET http://x/ HTTP/1.1\r\n"])
FIELD = st.sampled_from([piece + b"\r\n" for piece in PIECES if b":" in piece])
HEADS = st.one_of(
    st.lists(st.sampled_from(PIECES), max_size=14).map(b"".join),
    st.tuples(LINES, st.lists(FIELD, max_size=5).map(b"".join), st.lists(st.sampled_from(PIECES), max_size=2).map(b"".join)).map(b"".join),
)


class Seen:
    def __init__(self) -> None:
        self.url = b""
        self.fields: list[tuple[bytes, bytes]] = []

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value))


@given(HEADS)
def test_what_passes_reads_the_same_to_two_other_parsers(raw):
    raw += b"\r\n\r\n"
    try:
        head = parse(raw, LIMITS)
    except Refusal:
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(raw)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, [(bytes(n), bytes(v)) for n, v in event.headers]) == (head.method.encode(), head.fields)
    target = head.path + (b"?" + head.query if head.query else b"")
    assert event.target.removeprefix(b"http://x") in (target, target.removeprefix(b"/"))
    seen = Seen()
    parser = httptools.HttpRequestParser(seen)
    try:
        parser.feed_data(raw)
    except httptools.HttpParserUpgrade:
        assert b"upgrade" in dict(head.fields)
    assert (parser.get_method(), seen.url, seen.fields) == (event.method, event.target, head.fields)


@pytest.mark.parametrize("filler", [b" ", b"\t", b"a ", b":", b"a: b\r\n", b"%", b"A-"])
@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nA: 1\r\nB", b"GET /", b"G", b""])
def test_a_hostile_head_costs_linear_time(start, filler):
    limits = replace(LIMITS, header_bytes_max=10**6, header_count_max=10**6, request_line_bytes_max=10**6)
    refuses(start + filler * 100_000 + b"\x80\r\n\r\n", limits=limits)
