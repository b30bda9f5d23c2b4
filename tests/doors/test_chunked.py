"""The chunked coding, however it is cut."""

from __future__ import annotations

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.doors.chunked import CHUNK_BYTES_MEAN_MIN, SMALL_CHUNKS_MAX, Chunked
from gateway.errors import Refusal


def decode(raw: bytes, cuts: list[int]) -> tuple[bytes, bytes, bool]:
    decoder, body, rest, at = Chunked(), b"", b"", 0
    for cut in [*sorted(cuts), len(raw)]:
        piece, rest = decoder.feed(rest + raw[at:cut])
        body, at = body + piece, max(at, cut)
    return body, rest, decoder.done


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.lists(st.integers(0, 200), max_size=8), st.booleans())
def test_a_body_is_the_same_wherever_it_is_cut(chunks, cuts, capital):
    sizes = [b"%X" % len(chunk) if capital else b"%x" % len(chunk) for chunk in chunks]
    raw = b"".join(size + b"\r\n" + chunk + b"\r\n" for size, chunk in zip(sizes, chunks, strict=True)) + b"0\r\n\r\n"
    assert decode(raw + b"GET /", cuts) == (b"".join(chunks), b"GET /", True)


PIECES = st.sampled_from(
    [b"0", b"1", b"a", b"5", b"00", b"\r\n", b"\n", b"\r", b"hello", b"x", b";", b" ", b"\r\n\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n"]
)


@given(st.lists(PIECES, max_size=10).map(b"".join), st.lists(st.integers(0, 60), max_size=4))
def test_whole_bodies_read_the_same_to_another_parser_and_cuts_change_no_verdict(raw, cuts):
    try:
        whole = decode(raw, [])
    except Refusal as refusal:
        assert refusal.code == "malformed_request"
        with pytest.raises(Refusal):
            decode(raw, cuts)
        return
    assert decode(raw, cuts) == whole
    body, rest, done = whole
    if done:
        connection = h11.Connection(h11.SERVER)
        connection.receive_data(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + raw)
        theirs = b""
        while not isinstance(event := connection.next_event(), h11.EndOfMessage):
            theirs += bytes(event.data) if isinstance(event, h11.Data) else b""
        assert theirs == body
        assert connection.trailing_data[0] == rest


@pytest.mark.parametrize(
    "raw",
    [b"5;a=b\r\nhello\r\n", b"5;\r\n", b"5\nhello\r\n", b"5 \r\n", b"0\r\nX: 1\r\n\r\n", b"5\r\nhello\n", b"000000005\r\n", b"\r\n", b"5\r\r\n"],
)
def test_nothing_but_sizes_data_and_line_ends_is_taken(raw):
    for cut in range(len(raw)):
        with pytest.raises(Refusal):
            decode(raw, [cut])


def test_many_small_chunks_are_taken_and_endless_ones_are_not():
    assert decode(b"1\r\nx\r\n" * SMALL_CHUNKS_MAX, [])[0] == b"x" * SMALL_CHUNKS_MAX
    with pytest.raises(Refusal):
        decode(b"1\r\nx\r\n" * (SMALL_CHUNKS_MAX + SMALL_CHUNKS_MAX // CHUNK_BYTES_MEAN_MIN + 2), [])
    fair = b"%x\r\n" % CHUNK_BYTES_MEAN_MIN + b"x" * CHUNK_BYTES_MEAN_MIN + b"\r\n"
    assert len(decode(fair * 3 * SMALL_CHUNKS_MAX, [])[0]) == 3 * SMALL_CHUNKS_MAX * CHUNK_BYTES_MEAN_MIN
