"""Framing of answers, byte by byte: what is read, and what is refused."""

from __future__ import annotations

import pytest

from gateway.forward.framing import HEADERS_MAX, Framing, Malformed

OK = b"HTTP/1.1 200 OK\r\n"


def read(*parts: bytes, expects_body: bool = True, head_max: int = 65536, body_max: int = 1 << 20) -> Framing:
    framing = Framing(head_max, body_max)
    framing.expect(expects_body=expects_body)
    for part in parts:
        framing.feed(part)
    return framing


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        OK + b"X: a\nContent-Length: 0\r\n\r\n",
        OK + b"X: a\rb\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n",
        OK + b"X: a\0b\r\nContent-Length: 0\r\n\r\n",
        OK + b"X : a\r\nContent-Length: 0\r\n\r\n",
        OK + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\na",
        OK + b"Content-Length: 1, 1\r\n\r\na",
        OK + b"Content-Length: 0x1\r\n\r\na",
        OK + b"Content-Length: -1\r\n\r\na",
        OK + b"Content-Length:\r\n\r\na",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: identity\r\n\r\nabc",
        OK + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n",
        OK + b"Transfer-Encoding: chunked\r\n\r\n2\nhi\n0\n\n",
        b"HTTP/2.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/0.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"RTSP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 099 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 600 No\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 101 No\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        b"HTTP/1.1 103 E\r\n\r\n" * 17 + OK + b"Content-Length: 0\r\n\r\n",
        OK + b"Content-Length: 2\r\n\r\nhiHTTP/1.1 200 OK\r\n",
        OK + b"Content-Length: 2\r\n\r\nhiXX",
        OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nhiXX",
        b"HTTP/1.1 204 No\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        OK + b"".join(b"X: y\r\n" for _ in range(HEADERS_MAX + 1)) + b"\r\n",
    ],
)
def test_an_answer_that_two_readers_could_read_differently_is_refused(data):
    with pytest.raises(Malformed):
        read(data)


@pytest.mark.parametrize("data", [OK + b"Content-Length: 5\r\n\r\n", OK + b"Transfer-Encoding: chunked\r\n\r\n"])
def test_a_body_in_the_answer_to_a_head_is_refused(data):
    assert read(data, expects_body=False).done
    with pytest.raises(Malformed):
        read(data + b"5\r\nhello\r\n", expects_body=False)


def test_a_head_without_end_is_refused_before_it_fills_the_memory():
    with pytest.raises(Malformed, match="too large"):
        read(OK, *[b"X: " + b"y" * 1000] * 10, head_max=4096)


def test_a_field_larger_than_the_head_may_be_is_refused():
    with pytest.raises(Malformed, match="too many or too large"):
        read(OK + b"X: " + b"y" * 5000 + b"\r\n\r\n", head_max=4096)


def test_trailers_are_counted_and_dropped():
    framing = read(OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nAuthorization: x\r\n\r\n")
    assert framing.done
    assert framing.headers == [(b"transfer-encoding", b"chunked")]


def test_a_body_beyond_its_limit_is_refused_even_when_it_was_not_declared():
    with pytest.raises(Malformed, match="larger"):
        read(OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", body_max=4)


def test_an_answer_in_single_bytes_is_the_same_answer():
    data = b"HTTP/1.1 103 E\r\nA: b\r\n\r\n" + OK + b"X: y \r\nContent-Length: 2\r\n\r\nhi"
    framing = read(*[bytes([b]) for b in data])
    assert (framing.status, framing.headers, b"".join(framing.chunks), framing.done) == (200, [(b"x", b"y"), (b"content-length", b"2")], b"hi", True)


@pytest.mark.parametrize(("field", "kept"), [(b"", True), (b"Connection: close\r\n", False), (b"Connection: Keep-Alive, Close\r\n", False)])
def test_a_connection_is_kept_only_when_both_ends_want_it(field, kept):
    assert read(OK + field + b"Content-Length: 0\r\n\r\n").keep_alive is kept


def test_only_the_end_of_the_connection_ends_a_body_without_length():
    framing = read(OK + b"\r\nabc")
    assert (framing.done, framing.end(), framing.keep_alive) == (False, True, False)
    assert not read(OK + b"Content-Length: 5\r\n\r\nabc").end()
