"""However a stream ends, its end is told once and truly."""

import asyncio

import pytest

from gateway.errors import Refusal
from gateway.streaming import RecordedStream


class Source:
    """Chunks, then perhaps a failure; remembers whether it was closed."""

    def __init__(self, *chunks, broken=None, waits=False):
        self.chunks, self.broken, self.waits, self.closed = chunks, broken, waits, False

    async def run(self):
        try:
            for chunk in self.chunks:
                yield chunk
            if self.waits:
                await asyncio.Event().wait()
            if self.broken:
                raise self.broken
        finally:
            self.closed = True


def recorded(source):
    ends = []
    return RecordedStream(source.run(), lambda *end: ends.append(end)), ends


async def test_a_stream_that_ends_by_itself_is_whole():
    stream, ends = recorded(Source(b"ab", b"c"))
    assert [chunk async for chunk in stream] == [b"ab", b"c"]
    await stream.aclose()
    assert ends == [(3, None, True)]


async def test_a_stream_that_breaks_tells_the_refusal():
    broken = Refusal("upstream_broken", outcome="error")
    stream, ends = recorded(Source(b"ab", broken=broken))
    with pytest.raises(Refusal):
        [chunk async for chunk in stream]
    await stream.aclose()
    assert ends == [(2, broken, False)]


async def test_a_stream_that_is_closed_between_two_chunks_is_cut():
    source = Source(b"ab", b"c")
    stream, ends = recorded(source)
    assert await anext(stream) == b"ab"
    await stream.aclose()
    assert ends == [(2, None, False)]
    assert source.closed


async def test_a_stream_that_nobody_began_to_read_is_cut_when_it_is_closed():
    stream, ends = recorded(Source(b"ab"))
    await stream.aclose()
    await stream.aclose()
    assert ends == [(0, None, False)]


async def test_a_reader_that_is_cancelled_cuts_the_stream():
    stream, ends = recorded(Source(b"ab", waits=True))

    async def read():
        async for _ in stream:
            pass

    task = asyncio.create_task(read())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    await stream.aclose()
    assert ends == [(2, None, False)]


async def test_an_error_thrown_into_it_cuts_the_stream():
    stream, ends = recorded(Source(b"ab", b"c"))
    await anext(stream)
    with pytest.raises(KeyError):
        await stream.athrow(KeyError("x"))
    assert ends == [(2, None, False)]


async def test_a_stream_that_is_stopped_while_somebody_waits_for_it_is_told_at_once_and_its_reader_cancelled():
    source = Source(b"ab", waits=True)
    stream, ends = recorded(source)

    async def read():
        return [chunk async for chunk in stream]

    reader = asyncio.create_task(read())
    while not stream._bytes_down:
        await asyncio.sleep(0)
    halted = Refusal("halted")
    stream.stop(halted)
    assert ends == [(2, halted, False)]
    with pytest.raises(asyncio.CancelledError):
        await reader
    await stream.aclose()
    assert source.closed


async def test_a_stream_that_is_stopped_before_anybody_reads_it_gives_nothing():
    stream, ends = recorded(Source(b"ab"))
    halted = Refusal("halted")
    stream.stop(halted)
    with pytest.raises(Refusal):
        await anext(stream)
    await stream.aclose()
    assert ends == [(0, halted, False)]
