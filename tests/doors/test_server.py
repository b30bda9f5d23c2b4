"""The server: it starts, stops, drains, and keeps a broken application from harming its client."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace

import pytest
import uvloop
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route

from gateway.canonical import loads
from gateway.doors.server import Server, serve
from tests.doors.site import CLOSE, HOST, LIMITS, Recorder, connect, get, open_site, post, read_all, read_head, statuses, talk
from tests.doors.test_http import Complaints


class Gate:
    """An application that begins to answer when it is told to."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.open = asyncio.Event()
        self.cancelled = asyncio.Event()

    async def __call__(self, scope, receive, send) -> None:
        self.begun.set()
        try:
            await self.open.wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.01)  # its last record
            self.cancelled.set()
            raise
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"done"})


async def start(app, **limits: float) -> Server:
    return await serve(app, ("127.0.0.1", 0), replace(LIMITS, **limits), on_refusal=lambda *_: None)


async def test_two_servers_live_in_one_loop_each_on_its_port():
    one, two = Recorder(), Recorder()
    async with open_site(one) as first, open_site(two) as second:
        assert first.port != second.port
        assert statuses(await talk(first, get("/a", CLOSE))) == [200]
        assert statuses(await talk(second, get("/b", CLOSE))) == [200]
    assert (one.paths, two.paths) == (["/a"], ["/b"])


async def test_a_stopped_server_accepts_nobody():
    server = await start(Gate())
    await server.stop(1)
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection("127.0.0.1", server.port)


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_a_call_under_way_finishes_while_the_server_drains_and_idle_connections_close(loop):
    async def scenario() -> None:
        gate = Gate()
        server = await start(gate)
        async with connect(server) as (busy, writer), connect(server) as (idle, _), asyncio.timeout(10):
            writer.write(get())
            await gate.begun.wait()
            stopping = asyncio.ensure_future(server.stop(10))
            assert await idle.read() == b""
            gate.open.set()
            answer = await busy.read()
            assert answer.endswith(b"connection: close\r\n\r\ndone")
            await stopping
        assert server.connections == 0

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(scenario())


async def test_a_call_that_outlasts_the_drain_is_cancelled_and_its_end_waited_for():
    gate = Gate()
    server = await start(gate)
    async with connect(server) as (reader, writer):
        writer.write(get())
        await gate.begun.wait()
        await server.stop(0.01)
        assert gate.cancelled.is_set()
        assert await read_all(reader) == b""


async def test_of_a_call_that_something_else_cancels_nothing_is_said():
    async def app(scope, receive, send):
        asyncio.current_task().cancel()
        await asyncio.sleep(0)

    counted = []
    server = await serve(app, ("127.0.0.1", 0), LIMITS, on_refusal=lambda *refusal: counted.append(refusal))
    assert await talk(server, get()) == b""
    await server.stop(1)
    assert counted == []


async def test_an_application_that_breaks_is_answered_for_with_a_problem_that_tells_nothing():
    async def app(scope, receive, send):
        raise KeyError("a secret")

    counted = []
    server = await serve(app, ("127.0.0.1", 0), LIMITS, on_refusal=lambda *refusal: counted.append(refusal))
    with Complaints() as complaints:
        answer = await talk(server, get())
    await server.stop(1)
    assert statuses(answer) == [500]
    assert loads(answer.partition(b"\r\n\r\n")[2])["code"] == "internal_error"
    assert b"secret" not in answer
    assert complaints == ["an application broke"]
    assert [(code, peer) for code, _, peer in counted] == [("internal_error", "127.0.0.1")]


async def test_an_application_that_answers_nothing_is_answered_for():
    async def app(scope, receive, send):
        return

    server = await start(app)
    assert statuses(await talk(server, get())) == [500]
    await server.stop(1)


@pytest.mark.parametrize("broken", [True, False])
async def test_half_an_answer_is_cut_off(broken):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        if broken:
            raise KeyError

    server = await start(app)
    with Complaints():
        answer = await talk(server, get())
    await server.stop(1)
    assert b"0\r\n\r\n" not in answer
    assert statuses(answer) in ([200], [])


async def test_an_answer_before_the_body_was_read_ends_the_connection():
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})

    server = await start(app)
    answer = await talk(server, post(b"Content-Length: 100000\r\n", body=b"GET /smuggled HTTP/1.1\r\n" + HOST))
    await server.stop(1)
    assert statuses(answer) == [200]
    assert b"connection: close\r\n" in answer


async def test_starlette_is_served_with_its_streams_and_bodies():
    async def echo(request):
        return PlainTextResponse(request.url.path.encode() + b" " + await request.body())

    async def stream(_request):
        async def pieces():
            yield "a"
            yield "b"

        return StreamingResponse(pieces())

    server = await start(Starlette(routes=[Route("/a/echo", echo, methods=["POST"]), Route("/stream", stream)]))
    answer = await talk(server, b"POST /a/echo HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 2\r\n\r\nhi")
    assert answer.endswith(b"/a/echo hi")
    for other in (b"/a%2Fecho", b"/a/ech%6F", b"/%61/echo"):
        assert statuses(await talk(server, b"POST " + other + b" HTTP/1.1\r\n" + HOST + CLOSE + b"Content-Length: 2\r\n\r\nhi")) == [404]
    assert (await talk(server, b"GET /stream HTTP/1.1\r\n" + HOST + CLOSE + b"\r\n")).endswith(b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
    await server.stop(1)


async def test_a_starlette_stream_ends_when_its_client_leaves():
    ended = asyncio.Event()

    async def stream(_request):
        async def pieces():
            try:
                while True:
                    yield "a" * 1000
                    await asyncio.sleep(0)
            finally:
                ended.set()

        return StreamingResponse(pieces())

    server = await start(Starlette(routes=[Route("/", stream)]))
    async with connect(server) as (reader, writer):
        writer.write(b"GET / HTTP/1.1\r\n" + HOST + b"\r\n")
        await read_head(reader)
    async with asyncio.timeout(10):
        await ended.wait()
    await server.stop(1)
    assert ended.is_set()


async def test_answers_have_a_date_and_do_not_name_the_server():
    async with open_site(Recorder()) as server:
        answer = await talk(server, get("/a", CLOSE))
    assert b"\r\ndate: " in answer
    assert b"\r\nserver:" not in answer.lower()


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_the_kernel_gives_up_peers_that_vanish(loop):
    seen = []

    async def app(scope, receive, send):
        await receive()

    class Watched(Server):
        def arrived(self, connection):
            accepted = connection._transport.get_extra_info("socket")
            seen.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT))
            return super().arrived(connection)

    async def scenario() -> None:
        server = Watched(app, replace(LIMITS, write_timeout_s=7.5), lambda *_: None)
        await server.listen(("127.0.0.1", 0))
        await talk(server, b"\n")
        await server.stop(0)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop if loop == "uvloop" else None) as runner:
        runner.run(scenario())
    assert seen == [7_500]
