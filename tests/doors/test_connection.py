"""One connection: keep-alive, deadlines, back-pressure, and an end that does not destroy the last answer."""

from __future__ import annotations

import asyncio

from gateway.call import Reply, ToolCall
from gateway.doors.connection import AHEAD_BYTES_MAX, Connection
from tests.doors.site import CLOSE, RECEIPT, Recorder, connect, get, open_site, post, read_head, statuses, talk


async def test_a_connection_serves_one_request_after_the_other():
    recorder = Recorder()
    async with open_site(recorder) as server, connect(server) as (reader, writer):
        for path in ("/a", "/b", "/c"):
            writer.write(get(path))
            assert statuses(await read_head(reader)) == [200]
            assert await reader.readexactly(2) == path.encode()
        assert server.connections == 1
    assert recorder.paths == ["/a", "/b", "/c"]


async def test_an_idle_connection_is_closed_without_a_word():
    recorder = Recorder()
    async with open_site(recorder, idle_timeout_s=0.05) as server, connect(server) as (reader, writer), asyncio.timeout(10):
        writer.write(get())
        await read_head(reader)
        assert await reader.read() == b"/a"
    assert recorder.counted == []


async def test_the_next_head_has_the_head_deadline_not_the_idle_one():
    recorder = Recorder()
    async with open_site(recorder, idle_timeout_s=60, header_timeout_s=0.05) as server, connect(server) as (reader, writer), asyncio.timeout(10):
        writer.write(get() + b"GET /")
        assert statuses(await reader.read()) == [200, 408]


async def test_a_slow_answer_is_not_cut_by_the_deadlines_of_heads_and_idleness():
    async def handle(call: ToolCall) -> Reply:
        await asyncio.sleep(0.2)
        return Reply(200, (), b"slow", RECEIPT)

    async with open_site(Recorder(), handle=handle, idle_timeout_s=0.05, header_timeout_s=0.05) as server:
        assert (await talk(server, get("/a", CLOSE))).endswith(b"slow")


async def test_requests_sent_ahead_wait_in_the_socket_and_not_in_memory():
    release, held = asyncio.Event(), []

    async def handle(call: ToolCall) -> Reply:
        await release.wait()
        held.append(call.path)
        return Reply(200, (), b"", RECEIPT)

    request = get("/a", b"X: " + b"x" * 8_000 + b"\r\n")
    async with open_site(Recorder(), handle=handle) as server, connect(server) as (reader, writer), asyncio.timeout(20):
        writer.write(request * 2_000 + get("/z", CLOSE))
        for _ in range(50):
            await asyncio.sleep(0.001)
        [connection] = server._connections
        assert len(connection._buffer) < AHEAD_BYTES_MAX + 300_000
        assert writer.transport.get_write_buffer_size() > 0
        release.set()
        assert len(statuses(await reader.read())) == 2_001
    assert held == ["/a"] * 2_000 + ["/z"]


async def test_a_body_nobody_reads_yet_waits_in_the_socket():
    release = asyncio.Event()

    async def handle(call: ToolCall) -> Reply:
        await release.wait()
        size = sum([len(piece) async for piece in call.body.chunks()])
        return Reply(200, (), b"%d" % size, RECEIPT)

    async with open_site(Recorder(), handle=handle) as server, connect(server) as (reader, writer), asyncio.timeout(20):
        writer.write(post(CLOSE, b"Content-Length: 20000000\r\n", body=b"x" * 20_000_000))
        for _ in range(50):
            await asyncio.sleep(0.001)
        [connection] = server._connections
        assert len(connection._exchange.body) < 1_000_000
        release.set()
        assert (await reader.read()).endswith(b"20000000")


async def test_a_refusal_arrives_although_the_client_is_still_sending():
    recorder = Recorder()
    async with open_site(recorder) as server:
        answer = await talk(server, [get("/a", b"X_Y: 1\r\n"), *[b"x" * 100_000] * 50])
    assert statuses(answer) == [400]


async def test_a_client_that_never_stops_sending_after_its_answer_is_cut():
    recorder = Recorder()
    async with open_site(recorder, body_bytes_max=1) as server, connect(server) as (reader, writer), asyncio.timeout(20):
        writer.write(post(b"Content-Length: 1000000000\r\n"))
        assert statuses(await read_head(reader)) == [413]
        while server.connections:
            writer.write(b"x" * 1000)
            await asyncio.sleep(0.01)
    assert recorder.refused == ["body_too_large"]


class Stuck:
    """A transport whose peer takes nothing."""

    def __init__(self) -> None:
        self.aborted = asyncio.Event()

    def get_extra_info(self, _name: str) -> None:
        return None

    def abort(self) -> None:
        self.aborted.set()


async def test_a_peer_that_takes_nothing_is_cut_even_where_the_kernel_would_wait():
    async with open_site(Recorder(), write_timeout_s=0.05) as server, asyncio.timeout(10):
        transport = Stuck()
        connection = Connection(server)
        connection.connection_made(transport)
        connection.pause_writing()
        connection.resume_writing()
        await asyncio.sleep(0.1)
        assert not transport.aborted.is_set()  # it took it in time
        connection.pause_writing()
        await transport.aborted.wait()
        connection.connection_lost(None)
    assert transport.aborted.is_set()


async def test_far_too_many_connections_are_dropped_without_a_word():
    recorder = Recorder()
    async with open_site(recorder, connections_max=1) as server, connect(server), connect(server):
        while server.connections < 2:
            await asyncio.sleep(0.001)
        assert await talk(server, get()) == b""
