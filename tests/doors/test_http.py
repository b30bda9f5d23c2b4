"""The tool door: requests become calls, replies become responses, and a client that leaves ends both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Self

import pytest

from gateway.call import Refused, Reply, ToolCall
from gateway.canonical import loads
from gateway.config.model import Listener
from gateway.doors.http import HttpDoor, _closed, allowed_hosts
from gateway.errors import Refusal
from tests.doors.site import CLOSE, HOST, LIMITS, RECEIPT, Recorder, connect, get, open_site, read_all, read_head, statuses, talk


async def call_of(raw: bytes) -> ToolCall:
    recorder = Recorder()
    async with open_site(recorder) as server:
        answer = await talk(server, raw)
    assert statuses(answer) == [200], answer
    [(call, _)] = recorder.whole
    return call


async def refused(raw: bytes) -> str:
    recorder = Recorder()
    async with open_site(recorder) as server:
        answer = await talk(server, raw)
    assert recorder.begun == []
    [code] = recorder.refused
    assert loads(answer.partition(b"\r\n\r\n")[2])["code"] == code
    return code


def to(path: str, *fields: bytes, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\n".encode() + HOST + CLOSE + b"".join(fields) + b"\r\n"


async def test_a_request_becomes_a_call():
    call = await call_of(to("/tools/echo/a/%78?q=%20&q=+;c", b"Accept: */*\r\n", b"AUTHORIZATION: bearer tok\r\n", method="PATCH"))
    assert (call.door, call.tool, call.method, call.path, call.query) == ("http", "echo", "PATCH", "/a/x", "q=%20&q=+;c")
    assert call.headers == (("host", "localhost"), ("accept", "*/*"))
    assert call.peer == "127.0.0.1"
    assert len(call.id) == 32


@pytest.mark.parametrize(
    ("path", "rest"), [("/tools/echo", "/"), ("/tools/echo/", "/"), ("/tools/echo/a/", "/a/"), ("/tools/ids/a%2fb;c", "/a%2Fb;c")]
)
async def test_the_path_is_what_follows_the_tool(path, rest):
    assert (await call_of(to(path))).path == rest


async def test_a_tool_nobody_knows_goes_to_the_pipeline_so_that_strangers_do_not_learn_which_there_are():
    assert (await call_of(to("/tools/no-such-tool/a"))).tool == "no-such-tool"


@pytest.mark.parametrize(
    "tool", ["Echo", "echo%2e", "ech%6f", "echo@x", "-echo", "_echo", "e" * 64, "", "echo;x", "..", "échø".encode().hex() + ".", "a.b"]
)
async def test_a_tool_is_its_whole_first_segment(tool):
    assert await refused(to(f"/tools/{tool}/admin")) == "unknown_tool"


@pytest.mark.parametrize("path", ["/tool/echo/a", "/Tools/echo/a", "/", "/tools", "//tools/echo/a"])
async def test_other_paths_are_not_tools(path):
    assert await refused(to(path)) == "not_found"


async def test_other_paths_go_to_the_other_application_if_there_is_one():
    async def other(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["path"].encode()})

    sent = []

    async def send(message):
        sent.append(message)

    door = HttpDoor(Recorder().handle, Recorder().refuse, lambda _: None, frozenset({"x"}), LIMITS, otherwise=other)
    scope = {"method": "GET", "headers": [(b"host", b"x")], "raw_path": b"/jwks", "path": "/jwks"}
    await door(scope, asyncio.Event().wait, send)
    assert sent[-1]["body"] == b"/jwks"
    await door(scope | {"headers": [(b"host", b"evil")]}, asyncio.Event().wait, send)
    assert sent[-2]["status"] == 421


@pytest.mark.parametrize("method", ["TRACE", "CONNECT"])
async def test_methods_that_are_no_calls_are_refused_by_the_door_itself_too(method):
    sent = []

    async def send(message):
        sent.append(message)

    recorder = Recorder()
    door = HttpDoor(recorder.handle, recorder.refuse, lambda _: None, frozenset({"x"}), LIMITS)
    await door({"method": method, "headers": [(b"host", b"x")], "raw_path": b"/tools/a/b"}, asyncio.Event().wait, send)
    assert sent[0]["status"] == 400
    assert recorder.begun == []


# the token


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        (b"", None),
        (b"Authorization: Bearer a.b.c\r\n", "a.b.c"),
        (b"authorization: TOKEN abc\r\n", "abc"),
        (b"Authorization: Bearer   abc\r\n", "abc"),
        (b"Authorization: Bearer \r\n", None),
        (b"Authorization: Basic abc\r\n", None),
        (b"Authorization: abc\r\n", None),
        (b"Authorization: Bearer a b\r\n", "a b"),
        (b"X-Api-Key: abc\r\n", "abc"),
        (b"x-api-key: Bearer abc\r\n", "abc"),
        (b"X-Api-Key: \r\n", None),
        (b"X-Api-Key: abc\r\nAuthorization: Bearer abc\r\n", "abc"),
        (b"X-Api-Key: abc\r\nX-Api-Key: abc\r\n", "abc"),
        (b"X-Api-Key: abc\r\nAuthorization: Basic def\r\n", "abc"),
    ],
)
async def test_the_token_is_taken_out_of_the_fields(fields, token):
    call = await call_of(to("/tools/keyed/a", fields))
    assert (call.token.reveal() if call.token else None) == token
    assert {name for name, _ in call.headers} == {"host"}
    assert "abc" not in repr(call.token)


@pytest.mark.parametrize("fields", [b"X-Api-Key: abc\r\nAuthorization: Bearer def\r\n", b"X-Api-Key: abc\r\nX-Api-Key: def\r\n"])
async def test_two_different_tokens_are_refused(fields):
    assert await refused(to("/tools/keyed/a", fields)) == "ambiguous_token"


async def test_a_field_is_a_token_only_for_the_tool_that_says_so():
    call = await call_of(to("/tools/echo/a", b"X-Api-Key: abc\r\n"))
    assert call.token is None
    assert ("x-api-key", "abc") in call.headers


# hosts


@pytest.mark.parametrize(
    ("host", "served"),
    [
        (*("localhost", True),),
        (*("localhost:9", True),),
        (*("127.0.0.1:80", True),),
        (*("[::1]:80", True),),
        (*("[::1]", True),),
        (*("gate.example:443", True),),
        (*("GATE.example:443", True),),
        (*("gate.example", False),),
        (*("gate.example:80", False),),
        (*("10.0.0.7", True),),
        (*("evil.example", False),),
        (*("localhost.evil.example", False),),
        (*("[::2]", False),),
    ],
)
def test_a_listener_serves_its_address_the_loopback_names_and_what_is_configured(host, served):
    hosts = allowed_hosts(Listener("10.0.0.7", 80, hosts=("gate.example:443",)))
    door = HttpDoor(Recorder().handle, Recorder().refuse, lambda _: None, hosts, LIMITS)
    assert door._serves(host) is served


# replies


def replying(reply: Reply | Refused):
    async def handle(_call: ToolCall) -> Reply | Refused:
        return reply

    return handle


async def answer_to(raw: bytes, reply: Reply | Refused) -> tuple[bytes, bytes]:
    async with open_site(Recorder(), handle=replying(reply)) as server:
        head, _, body = (await talk(server, raw)).partition(b"\r\n\r\n")
    return head, body


async def test_a_reply_carries_its_decision_and_call_numbers():
    head, body = await answer_to(get("/a", CLOSE), Reply(201, (("content-type", "a/b"), ("content-length", "99")), b"made", RECEIPT))
    assert head.startswith(b"HTTP/1.1 201 Created\r\n")
    assert b"\r\nportreeve-decision: test.example/log#7;leaf\r\nportreeve-call: " in head
    assert b"content-length: 4" in head
    assert b"content-length: 99" not in head
    assert body == b"made"


async def test_the_answer_to_head_has_a_length_and_no_body():
    head, body = await answer_to(to("/tools/echo/a", method="HEAD"), Reply(200, (("content-length", "5"),), b"", RECEIPT))
    assert b"content-length: 5" in head
    assert body == b""


@pytest.mark.parametrize("status", [204, 304])
async def test_answers_that_have_no_body_have_none(status):
    head, body = await answer_to(get("/a", CLOSE), Reply(status, (("content-length", "5"),), b"hello", RECEIPT))
    assert b"content-length" not in head
    assert b"chunked" not in head
    assert body == b""


async def test_a_refusal_of_the_pipeline_is_a_problem_with_its_record():
    head, body = await answer_to(get("/a", CLOSE), Refused(Refusal("denied", "No"), "call-1", RECEIPT))
    assert head.startswith(b"HTTP/1.1 403 ")
    assert loads(body)["decision"] == {"log": "test.example/log", "n": 7}
    assert loads(body)["call"] == "call-1"


async def test_a_refusal_of_the_door_has_a_call_number_too():
    async with open_site(Recorder()) as server:
        answer = await talk(server, get("/a/../b", CLOSE))
    assert len(loads(answer.partition(b"\r\n\r\n")[2])["call"]) == 32


MCP = b"Accept: application/json, text/event-stream\r\n"


@pytest.mark.parametrize(
    ("method", "fields", "rpc"),
    [
        ("POST", [MCP], True),
        ("POST", [b"Accept: Text/Event-Stream\r\n", b"Accept: application/json\r\n"], True),
        ("POST", [b"Accept: application/json\r\n"], False),
        ("POST", [b"Accept: */*\r\n"], False),
        ("POST", [b"Accept: text/event-stream\r\n"], False),
        ("POST", [], False),
        ("GET", [MCP], False),
    ],
)
async def test_a_client_of_mcp_is_refused_in_json_rpc_and_every_other_with_a_problem(method, fields, rpc):
    head, body = await answer_to(
        to("/tools/echo/a", *fields, b"Content-Length: 0\r\n", method=method), Refused(Refusal("denied", "No"), "c", RECEIPT)
    )
    assert (b"content-type: application/json\r\n" in head + b"\r\n", "jsonrpc" in loads(body)) == (rpc, rpc)
    said = loads(body)["error"]["data"] if rpc else loads(body)
    assert (said["detail"], said["call"]) == ("No", "c")


class Stream:
    """An answer that comes in pieces, remembers how it ended, and takes its time to say so to the log."""

    def __init__(self, *pieces: bytes | Exception, forever: bool = False) -> None:
        self.pieces = pieces
        self.forever = forever
        self.sent = 0
        self.recorded = asyncio.Event()
        self.begun = asyncio.Event()

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        try:
            for piece in self.pieces:
                self.begun.set()
                if isinstance(piece, Exception):
                    raise piece
                yield piece
                self.sent += 1
            while self.forever:
                await asyncio.sleep(0)
                yield b"x" * 10_000
                self.sent += 1
        finally:
            await asyncio.sleep(0.01)  # the record is written with an await, and must not be cut off
            self.recorded.set()

    def reply(self, *fields: tuple[str, str]) -> Reply:
        return Reply(200, fields, self.chunks(), RECEIPT)


async def test_a_stream_is_sent_chunk_by_chunk_and_closed():
    stream = Stream(b"one", b"two")
    _, body = await answer_to(get("/a", CLOSE), stream.reply())
    assert body == b"3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n"
    assert stream.recorded.is_set()


async def test_a_stream_of_known_length_keeps_it():
    stream = Stream(b"one", b"two")
    head, body = await answer_to(get("/a", CLOSE), stream.reply(("content-length", "6")))
    assert b"content-length: 6" in head
    assert body == b"onetwo"


async def test_a_stream_that_breaks_is_cut_so_that_nobody_takes_it_for_whole():
    stream = Stream(b"one", Refusal("upstream_broken"))
    _, body = await answer_to(get("/a"), stream.reply())
    assert body == b"3\r\none\r\n"  # no last chunk
    assert stream.recorded.is_set()


async def test_a_stream_shorter_than_it_said_is_cut():
    stream = Stream(b"one")
    async with open_site(Recorder(), handle=replying(stream.reply(("content-length", "6")))) as server:
        with Complaints() as complaints:
            answer = await talk(server, get("/a"))
    assert answer.endswith(b"\r\n\r\none")
    assert stream.recorded.is_set()
    assert complaints == ["an application broke"]


class Complaints(list[str]):
    """What the event loop's exception handler is told."""

    def __enter__(self) -> Self:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: self.append(context["message"]))
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.get_running_loop().set_exception_handler(None)


async def test_a_stream_that_answers_head_is_closed_unread():
    stream = Stream(b"one")
    _, body = await answer_to(to("/tools/echo/a", method="HEAD"), stream.reply())
    assert body == b""
    assert stream.sent == 0


@pytest.mark.parametrize("piece", [(), (b"one",)])
async def test_a_client_that_leaves_a_waiting_stream_closes_it_and_the_record_is_written(piece):
    class Waiting(Stream):
        async def chunks(self) -> AsyncGenerator[bytes, None]:
            try:
                self.begun.set()
                for one in self.pieces:
                    yield one
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0.01)
                self.recorded.set()

    stream = Waiting(*piece)
    async with open_site(Recorder(), handle=replying(stream.reply())) as server, asyncio.timeout(10):
        async with connect(server) as (reader, writer):
            writer.write(get())
            await read_head(reader)
            await stream.begun.wait()
        await stream.recorded.wait()
    assert stream.recorded.is_set()


async def test_a_client_that_leaves_a_running_stream_closes_it_and_the_record_is_written():
    stream = Stream(forever=True)
    async with open_site(Recorder(), handle=replying(stream.reply())) as server, asyncio.timeout(10):
        async with connect(server) as (reader, writer):
            writer.write(get())
            await read_head(reader)
        await stream.recorded.wait()
    assert stream.recorded.is_set()


async def test_a_stream_that_is_being_closed_is_closed_to_the_end_although_nobody_waits_any_more():
    log, recorded = asyncio.Event(), asyncio.Event()

    async def chunks() -> AsyncGenerator[bytes, None]:
        try:
            yield b"one"
        finally:
            await log.wait()
            recorded.set()

    body = chunks()
    assert await anext(body) == b"one"
    closing = asyncio.ensure_future(_closed(body))
    for _ in range(2):
        await asyncio.sleep(0)
        closing.cancel()
    await asyncio.sleep(0)
    log.set()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert recorded.is_set()


async def test_a_client_that_does_not_read_holds_the_stream_back_and_is_dropped_at_the_deadline():
    stream = Stream(forever=True)
    async with open_site(Recorder(), handle=replying(stream.reply()), write_timeout_s=0.3) as server, asyncio.timeout(20):
        async with connect(server) as (reader, writer):
            writer.transport.pause_reading()
            writer.write(get())
            await stream.recorded.wait()
            writer.transport.resume_reading()
            taken = await read_all(reader)
    assert stream.sent * 10_000 < len(taken) + 10_000_000  # what is not taken stays in the upstream, but for the kernel's buffers
    assert not taken.endswith(b"0\r\n\r\n")


async def test_a_client_that_leaves_while_its_call_is_handled_cancels_the_handling():
    begun, ended = asyncio.Event(), asyncio.Event()

    async def handle(_call: ToolCall) -> Reply:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.set()
            raise
        raise AssertionError

    async with open_site(Recorder(), handle=handle) as server, asyncio.timeout(10):
        async with connect(server) as (_, writer):
            writer.write(get())
            await begun.wait()
        await ended.wait()
    assert ended.is_set()


async def test_a_client_that_leaves_in_its_body_is_reported_to_whoever_reads_it():
    recorder = Recorder()
    async with open_site(recorder) as server, asyncio.timeout(10):
        async with connect(server) as (reader, writer):
            writer.write(b"POST /tools/echo/a HTTP/1.1\r\n" + HOST + b"Expect: 100-continue\r\nContent-Length: 9\r\n\r\n")
            assert (await read_head(reader)).startswith(b"HTTP/1.1 100 Continue")
            writer.write(b"half")
            await writer.drain()
        while not recorder.gone:
            await asyncio.sleep(0.001)
    assert recorder.gone == ["/a"]
    assert recorder.whole == []
