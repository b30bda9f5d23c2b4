"""What an attacker sends to the door as raw bytes. Nothing of it reaches a tool but whole, clean requests, and each refusal is counted."""

from __future__ import annotations

import asyncio

import pytest
import uvloop

from gateway.canonical import loads
from tests.doors.site import CLOSE, HOST, Recorder, connect, get, open_site, post, read_head, statuses, talk

SMUGGLED = b"GET /tools/echo/smuggled HTTP/1.1\r\n" + HOST + b"\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
END = b"0\r\n\r\n"


def head(line: bytes, *fields: bytes) -> bytes:
    return line + b"\r\n" + b"".join(fields) + b"\r\n"


REFUSED: dict[str, tuple[bytes, int]] = {
    # two framings, or one that is read differently by others (RFC 9112, 6.3 and 11.2)
    "content-length and chunked": (post(b"Content-Length: 5\r\n", CHUNKED, body=END), 400),
    "chunked and content-length": (post(CHUNKED, b"Content-Length: 5\r\n", body=END), 400),
    "content-length zero and chunked": (post(b"Content-Length: 0\r\n", CHUNKED, body=END), 400),
    "two lengths": (post(b"Content-Length: 5\r\n", b"Content-Length: 6\r\n", body=b"hello!"), 400),
    "two equal lengths": (post(b"Content-Length: 5\r\n", b"Content-Length: 5\r\n", body=b"hello"), 400),
    "a list of lengths": (post(b"Content-Length: 5, 5\r\n", body=b"hello"), 400),
    "length with a plus": (post(b"Content-Length: +5\r\n", body=b"hello"), 400),
    "negative length": (post(b"Content-Length: -5\r\n", body=b"hello"), 400),
    "hexadecimal length": (post(b"Content-Length: 0x5\r\n", body=b"hello"), 400),
    "octal length": (post(b"Content-Length: 05\r\n", body=b"hello"), 400),
    "length with an underscore": (post(b"Content-Length: 1_0\r\n", body=b"hello"), 400),
    "fractional length": (post(b"Content-Length: 5.0\r\n", body=b"hello"), 400),
    "empty length": (post(b"Content-Length: \r\n", body=b"hello"), 400),
    "length with an inner space": (post(b"Content-Length: 5 5\r\n", body=b"hello"), 400),
    "a length beyond 64 bits": (post(b"Content-Length: 18446744073709551621\r\n", body=b"hello"), 400),
    "coding identity": (post(b"Transfer-Encoding: identity\r\n", body=END), 400),
    "coding gzip, chunked": (post(b"Transfer-Encoding: gzip, chunked\r\n", body=END), 400),
    "coding chunked, identity": (post(b"Transfer-Encoding: chunked, identity\r\n", body=END), 400),
    "coding chunked, chunked": (post(b"Transfer-Encoding: chunked, chunked\r\n", body=END), 400),
    "coding chunked twice": (post(CHUNKED, CHUNKED, body=END), 400),
    "coding with a vertical tab": (post(b"Transfer-Encoding: \x0bchunked\r\n", body=END), 400),
    "coding with a parameter": (post(b"Transfer-Encoding: chunked;q=1\r\n", body=END), 400),
    "coding in quotes": (post(b'Transfer-Encoding: "chunked"\r\n', body=END), 400),
    "coding misspelt": (post(b"Transfer-Encoding: xchunked\r\n", body=END), 400),
    "empty coding": (post(b"Transfer-Encoding:\r\n", body=END), 400),
    "space before the colon": (post(b"Transfer-Encoding : chunked\r\n", body=END), 400),
    "tab before the colon": (post(b"Transfer-Encoding\t: chunked\r\n", body=END), 400),
    "space before the name": (post(b"X: 1\r\n Transfer-Encoding: chunked\r\n", body=END), 400),
    "coding with underscore": (post(b"Transfer_Encoding: chunked\r\n", body=END), 400),
    "coding after a bare CR": (post(b"X: 1\rTransfer-Encoding: chunked\r\n", body=END), 400),
    "coding after a bare LF": (post(b"X: 1\nTransfer-Encoding: chunked\r\n", body=END), 400),
    # chunks
    "chunk extension": (post(CHUNKED, body=b"5;x=y\r\nhello\r\n" + END), 400),
    "chunk extension with a bare LF": (post(CHUNKED, body=b"5;\nhello\r\n" + END), 400),
    "chunk size with 0x": (post(CHUNKED, body=b"0x5\r\nhello\r\n" + END), 400),
    "chunk size with a plus": (post(CHUNKED, body=b"+5\r\nhello\r\n" + END), 400),
    "chunk size with a minus": (post(CHUNKED, body=b"-5\r\nhello\r\n" + END), 400),
    "chunk size with a space": (post(CHUNKED, body=b"5 \r\nhello\r\n" + END), 400),
    "chunk size beyond 64 bits": (post(CHUNKED, body=b"10000000000000005\r\nhello\r\n" + END), 400),
    "chunk size with many zeros": (post(CHUNKED, body=b"0000000000000005\r\nhello\r\n" + END), 400),
    "chunk size missing": (post(CHUNKED, body=b"\r\nhello\r\n" + END), 400),
    "chunk size ended by LF": (post(CHUNKED, body=b"5\nhello\r\n" + END), 400),
    "chunk longer than it says": (post(CHUNKED, body=b"5\r\nhello!!\r\n" + END), 400),
    "chunk ended by LF": (post(CHUNKED, body=b"5\r\nhello\n" + END), 400),
    "last chunk ended by LF": (post(CHUNKED, body=b"5\r\nhello\r\n0\n\n"), 400),
    "a token as a trailer": (post(CHUNKED, body=b"5\r\nhello\r\n0\r\nAuthorization: Bearer t\r\n\r\n"), 400),
    "any trailer": (post(b"Trailer: X\r\n", CHUNKED, body=b"5\r\nhello\r\n0\r\nX: 1\r\n\r\n"), 400),
    "an obs-fold as a trailer": (post(CHUNKED, body=b"0\r\n folded\r\n\r\n"), 400),
    # lines and bytes
    "bare LF everywhere": (get().replace(b"\r\n", b"\n"), 400),
    "bare LF after the request line": (get().replace(b"\r\n", b"\n", 1), 400),
    "bare LF between fields": (get("/a", b"X: 1\nY: 2\r\n"), 400),
    "bare CR between fields": (get("/a", b"X: 1\rY: 2\r\n"), 400),
    "bare CR in a value": (get("/a", b"X: a\rb\r\n"), 400),
    "CR CR LF": (get("/a", b"X: a\r\r\n"), 400),
    "head ended by LF LF": (get().replace(b"\r\n\r\n", b"\n\n"), 400),
    "folded field": (get("/a", b"X: a\r\n b\r\n"), 400),
    "field folded with a tab": (get("/a", b"X: a\r\n\tb\r\n"), 400),
    "fold before the first field": (head(b"GET /tools/echo/a HTTP/1.1", b" X: 1\r\n", HOST), 400),
    "NUL in a value": (get("/a", b"X: a\x00b\r\n"), 400),
    "NUL in a name": (get("/a", b"X\x00: a\r\n"), 400),
    "DEL in a value": (get("/a", b"X: a\x7f\r\n"), 400),
    "escape character in a value": (get("/a", b"X: \x1b[0m\r\n"), 400),
    "a byte beyond ASCII in a value": (get("/a", b"X: caf\xc3\xa9\r\n"), 400),
    "a byte beyond ASCII in a name": (get("/a", b"X\xe9: 1\r\n"), 400),
    "no-break space as white space": (get("/a", b"X:\xa01\r\n"), 400),
    "underscore in a name": (get("/a", b"X_Agent_Id: admin\r\n"), 400),
    "empty name": (get("/a", b": 1\r\n"), 400),
    "field without a colon": (get("/a", b"X\r\n"), 400),
    "name with a separator": (get("/a", b"X(y): 1\r\n"), 400),
    "name with a space": (get("/a", b"X Y: 1\r\n"), 400),
    # the request line
    "HTTP/0.9": (b"GET /tools/echo/a\r\n\r\n", 400),
    "HTTP/0.9 with fields": (b"GET /tools/echo/a\r\n" + HOST + b"\r\n", 400),
    "HTTP/1.0": (head(b"GET /tools/echo/a HTTP/1.0", HOST), 400),
    "HTTP/1.0 that keeps alive": (head(b"GET /tools/echo/a HTTP/1.0", HOST, b"Connection: keep-alive\r\n"), 400),
    "HTTP/1.0 without a host": (head(b"GET /tools/echo/a HTTP/1.0"), 400),
    "HTTP/1.2": (head(b"GET /tools/echo/a HTTP/1.2", HOST), 400),
    "HTTP/2.0": (head(b"GET /tools/echo/a HTTP/2.0", HOST), 400),
    "HTTP/01.1": (head(b"GET /tools/echo/a HTTP/01.1", HOST), 400),
    "http in lower case": (head(b"GET /tools/echo/a http/1.1", HOST), 400),
    "HTTP/2 preface": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "TLS client hello": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), 400),
    "two spaces": (head(b"GET  /tools/echo/a HTTP/1.1", HOST), 400),
    "a tab for a space": (head(b"GET\t/tools/echo/a HTTP/1.1", HOST), 400),
    "space after the version": (head(b"GET /tools/echo/a HTTP/1.1 ", HOST), 400),
    "space in the target": (head(b"GET /tools/echo/a b HTTP/1.1", HOST), 400),
    "a line before the request": (b"\r\n" + get(), 400),
    "space before the request": (b" " + get(), 400),
    "no method": (head(b" /tools/echo/a HTTP/1.1", HOST), 400),
    "method in lower case": (head(b"get /tools/echo/a HTTP/1.1", HOST), 400),
    "method with a control character": (head(b"GE\x01T /tools/echo/a HTTP/1.1", HOST), 400),
    "an endless method": (head(b"G" * 64 + b" /tools/echo/a HTTP/1.1", HOST), 400),
    "fragment": (head(b"GET /tools/echo/a#/../b HTTP/1.1", HOST), 400),
    "fragment after the query": (head(b"GET /tools/echo/a?b#c HTTP/1.1", HOST), 400),
    "raw UTF-8 in the target": (head("GET /tools/echo/café HTTP/1.1".encode(), HOST), 400),
    "raw UTF-8 in the query": (head("GET /tools/echo/a?é HTTP/1.1".encode(), HOST), 400),
    "NUL in the target": (head(b"GET /tools/echo/a\x00b HTTP/1.1", HOST), 400),
    "DEL in the query": (head(b"GET /tools/echo/a?\x7f HTTP/1.1", HOST), 400),
    "target without a slash": (head(b"GET tools/echo/a HTTP/1.1", HOST), 400),
    "asterisk": (head(b"OPTIONS * HTTP/1.1", HOST), 400),
    "URL of another host": (head(b"GET http://evil.example/tools/echo/a HTTP/1.1", HOST), 400),
    "URL with user information": (head(b"GET http://localhost@evil.example/tools/echo/a HTTP/1.1", HOST), 400),
    "URL of another port": (head(b"GET http://localhost:1/tools/echo/a HTTP/1.1", HOST), 400),
    "URL of another scheme": (head(b"GET ftp://localhost/tools/echo/a HTTP/1.1", HOST), 400),
    "URL without a host": (head(b"GET http:///tools/echo/a HTTP/1.1", HOST), 400),
    "CONNECT": (head(b"CONNECT localhost:22 HTTP/1.1", HOST), 400),
    "CONNECT to a path": (head(b"CONNECT /tools/echo/a HTTP/1.1", HOST), 400),
    "TRACE": (head(b"TRACE /tools/echo/a HTTP/1.1", HOST), 400),
    # singletons
    "no host": (head(b"GET /tools/echo/a HTTP/1.1"), 400),
    "two hosts": (get("/a", b"Host: evil.example\r\n"), 400),
    "two equal hosts": (get("/a", HOST), 400),
    "empty host": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: \r\n"), 400),
    "host with a path": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: localhost/x\r\n"), 400),
    "host with user information": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: a@localhost\r\n"), 400),
    "a list of hosts": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: localhost, evil.example\r\n"), 400),
    "host with a port that is none": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: localhost:x\r\n"), 400),
    "two authorizations": (get("/a", b"Authorization: Bearer a\r\n", b"Authorization: Bearer b\r\n"), 400),
    "two authorizations in two spellings": (get("/a", b"authorization: Bearer a\r\n", b"AUTHORIZATION: Bearer a\r\n"), 400),
    "two content types": (post(b"Content-Type: a/b\r\n", b"Content-Type: c/d\r\n"), 400),
    "two idempotency keys": (post(b"Idempotency-Key: a\r\n", b"Idempotency-Key: b\r\n"), 400),
    "an unknown expectation": (post(b"Expect: 200-ok\r\n", b"Content-Length: 5\r\n", body=b"hello"), 400),
    # limits
    "a request line of 64 KiB": (head(b"GET /tools/echo/" + b"a" * 65_536 + b" HTTP/1.1", HOST), 414),
    "a request line of 64 KiB without an end": (b"GET /tools/echo/" + b"a" * 65_536, 414),
    "a query of 64 KiB": (head(b"GET /tools/echo/a?" + b"a" * 65_536 + b" HTTP/1.1", HOST), 414),
    "a field of 64 KiB": (get("/a", b"X: " + b"a" * 65_536 + b"\r\n"), 431),
    "a field of 64 KiB without an end": (get("/a", b"X: ")[:-2] + b"a" * 65_536, 431),
    "a name of 64 KiB": (get("/a", b"X" * 65_536 + b": 1\r\n"), 431),
    "8,000 fields": (get("/a", b"X: 1\r\n" * 8_000), 431),
    "101 fields": (get("/a", b"X: 1\r\n" * 100), 431),
    # hosts and paths that are refused by the door itself
    "a host that is not served": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: evil.example\r\n", CLOSE), 421),
    "a port that is not served": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: door.example:1\r\n", CLOSE), 421),
    "dot segments": (get("/../b", CLOSE), 400),
    "encoded slash": (get("/a%2fb", CLOSE), 400),
    "a backslash": (get("/a\\b", CLOSE), 400),
    "another tool by an escape": (head(b"GET /tools/ech%6F/a HTTP/1.1", HOST, CLOSE), 404),
    "a tool with an authority": (head(b"GET /tools/echo@127.0.0.1:1/x HTTP/1.1", HOST, CLOSE), 404),
    "the tools' prefix by an escape": (head(b"GET /%74ools/echo/a HTTP/1.1", HOST, CLOSE), 404),
    "two slashes before the prefix": (head(b"GET //tools/echo/a HTTP/1.1", HOST, CLOSE), 404),
    "a URL behind the tool": (get("/http://127.0.0.1:1/x", CLOSE), 400),
}

CLEAN: dict[str, tuple[bytes, str, bytes]] = {
    "plain": (get("/a", CLOSE), "/a", b""),
    "length": (post(CLOSE, b"Content-Length: 5\r\n", body=b"hello"), "/a", b"hello"),
    "chunks": (post(CLOSE, CHUNKED, body=b"5\r\nhello\r\n3\r\n...\r\n" + END), "/a", b"hello..."),
    "chunks, capital": (post(CLOSE, b"TRANSFER-ENCODING: Chunked\r\n", body=b"A\r\n0123456789\r\n" + END), "/a", b"0123456789"),
    "white space around a value": (post(CLOSE, b"Content-Length: \t 5 \t\r\n", body=b"hello"), "/a", b"hello"),
    "a URL of this host": (head(b"GET http://LOCALHOST/tools/echo/a HTTP/1.1", HOST, CLOSE), "/a", b""),
    "h2c is offered": (get("/a", b"Connection: Upgrade, HTTP2-Settings, close\r\n", b"Upgrade: h2c\r\n", b"HTTP2-Settings: AAMAAABk\r\n"), "/a", b""),
    "a websocket is offered": (get("/a", b"Connection: Upgrade, close\r\n", b"Upgrade: websocket\r\n"), "/a", b""),
    "a smuggler's body is a body": (post(CLOSE, b"Content-Length: %d\r\n" % len(SMUGGLED), body=SMUGGLED), "/a", SMUGGLED),
    "what follows close is not read": (get("/a", CLOSE) + SMUGGLED, "/a", b""),
    "100 fields": (get("/a", CLOSE, b"X: 1\r\n" * 98), "/a", b""),
    "host with a port": (head(b"GET /tools/echo/a HTTP/1.1", b"Host: door.EXAMPLE:8443\r\n", CLOSE), "/a", b""),
    "an empty value": (get("/a", b"X:\r\n", CLOSE), "/a", b""),
}


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop if request.param == "uvloop" else None) as runner:
        yield runner.run


def bytewise(raw: bytes) -> list[bytes]:
    return [raw[at : at + 1] for at in range(min(len(raw), 600))] + [raw[600:]]


@pytest.mark.parametrize("name", REFUSED)
def test_an_unclean_request_is_refused_and_nothing_reaches_a_tool(run, name):
    raw, status = REFUSED[name]

    async def scenario():
        recorder = Recorder()
        async with open_site(recorder) as server:
            answer = await talk(server, raw + SMUGGLED)
        assert statuses(answer) == [status]
        assert b"content-type: application/problem+json\r\n" in answer
        assert loads(answer.partition(b"\r\n\r\n")[2])["status"] == status
        assert b"connection: close\r\n" in answer
        assert recorder.begun == []
        assert len(recorder.counted) + len(recorder.refused) == 1

    run(scenario())


@pytest.mark.parametrize("name", REFUSED)
async def test_an_unclean_request_is_refused_however_it_is_cut(name):
    raw, status = REFUSED[name]
    recorder = Recorder()
    async with open_site(recorder) as server:
        answer = await talk(server, bytewise(raw))
    assert statuses(answer) == [status]
    assert recorder.whole == []
    assert len(recorder.counted) + len(recorder.refused) == 1


@pytest.mark.parametrize("cut", [lambda raw: [raw], bytewise], ids=["at once", "byte by byte"])
@pytest.mark.parametrize("name", CLEAN)
def test_a_clean_request_reaches_the_tool_once_and_as_it_was_sent(run, name, cut):
    raw, path, body = CLEAN[name]

    async def scenario():
        recorder = Recorder()
        async with open_site(recorder) as server:
            answer = await talk(server, cut(raw))
        assert statuses(answer) == [200]
        assert [(call.path, data) for call, data in recorder.whole] == [(path, body)]
        assert recorder.counted == recorder.refused == []

    run(scenario())


def test_pipelined_requests_are_answered_in_order_and_apart(run):
    async def scenario():
        recorder = Recorder()
        first = post(b"Content-Length: 5\r\n", body=b"hello")
        second = post(CHUNKED, body=b"5\r\nworld\r\n" + END)
        async with open_site(recorder) as server:
            answer = await talk(server, first + second + get("/c", CLOSE))
        assert statuses(answer) == [200, 200, 200]
        assert [(call.path, body) for call, body in recorder.whole] == [("/a", b"hello"), ("/a", b"world"), ("/c", b"")]
        assert answer.endswith(b"/c")

    run(scenario())


async def test_a_bad_request_behind_a_good_one_is_refused_after_the_good_answer():
    recorder = Recorder()
    async with open_site(recorder) as server:
        answer = await talk(server, get("/a") + get("/b", b"X_Y: 1\r\n") + SMUGGLED)
    assert statuses(answer) == [200, 400]
    assert recorder.paths == ["/a"]


async def test_a_body_that_breaks_while_it_is_read_is_answered_and_its_reader_told():
    recorder = Recorder()
    async with open_site(recorder) as server, connect(server) as (reader, writer):
        writer.write(post(b"Expect: 100-continue\r\n", CHUNKED))
        assert (await read_head(reader)).startswith(b"HTTP/1.1 100 ")  # so it is being read
        writer.write(b"5\r\nhello\r\n0\r\nAuthorization: Bearer t\r\n\r\n" + SMUGGLED)
        assert statuses(await read_head(reader)) == [400]
        await reader.read()
    assert recorder.gone == ["/a"]
    assert recorder.whole == []
    assert recorder.counted == ["malformed_request"]


async def test_hop_by_hop_fields_and_those_that_connection_names_stay_at_the_door():
    recorder = Recorder()
    fields = b"Connection: close, X-Secret, authorization\r\nKeep-Alive: 5\r\nTE: trailers\r\nUpgrade: h2c\r\nProxy-Authorization: Basic x\r\nX-Secret: 1\r\n"
    async with open_site(recorder) as server:
        await talk(server, get("/a", fields, b"Authorization: Bearer t\r\n", b"Accept: */*\r\n"))
    [(call, _)] = recorder.whole
    assert call.headers == (("host", "localhost"), ("accept", "*/*"))
    assert call.token is not None
    assert call.token.reveal() == "t"


@pytest.mark.parametrize("sent", [b"", b"GET /tools/echo/a HTTP/1.1\r\nHost: loc"])
def test_a_head_that_does_not_come_is_not_waited_for(run, sent):
    async def scenario():
        recorder = Recorder()
        async with open_site(recorder, header_timeout_s=0.1) as server:
            answer = await talk(server, sent)
        assert statuses(answer) == ([408] if sent else [])
        assert recorder.counted == (["request_timeout"] if sent else [])

    run(scenario())


async def test_a_head_that_trickles_is_refused_at_the_deadline_too():
    recorder = Recorder()
    async with open_site(recorder, header_timeout_s=0.3) as server, connect(server) as (reader, writer):
        answer = asyncio.ensure_future(reader.read())
        for byte in get("/a", b"X: " + b"a" * 8_000 + b"\r\n"):
            writer.write(bytes((byte,)))
            await asyncio.wait([answer], timeout=0.01)
            if answer.done():
                break
        assert statuses(await answer) == [408]
    assert recorder.begun == []


@pytest.mark.parametrize("fields", [b"Content-Length: 10\r\n", CHUNKED])
async def test_a_body_that_does_not_come_is_refused_at_the_deadline(fields):
    recorder = Recorder()
    async with open_site(recorder, body_timeout_s=0.1) as server:
        answer = await talk(server, post(fields, body=b"5\r\n"))
    assert statuses(answer) == [408]
    assert recorder.refused == ["request_timeout"]


async def test_a_body_that_trickles_below_the_rate_is_refused():
    recorder = Recorder()
    async with open_site(recorder, body_timeout_s=0.2, body_rate_min_bytes_s=1_000) as server, connect(server) as (reader, writer):
        answer = asyncio.ensure_future(reader.read())
        writer.write(post(b"Content-Length: 100000\r\n"))
        while not answer.done():
            writer.write(b"x")
            await asyncio.wait([answer], timeout=0.01)
        assert statuses(await answer) == [408]


@pytest.mark.parametrize("declared", [True, False])
async def test_a_body_beyond_the_limit_is_refused_and_the_client_hears_it_while_it_sends(declared):
    recorder = Recorder()
    framing = b"Content-Length: 3000000\r\n" if declared else CHUNKED
    body = b"x" * 3_000_000 if declared else b"%x\r\n" % 3_000_000 + b"x" * 3_000_000 + b"\r\n" + END
    async with open_site(recorder, body_bytes_max=1_000_000) as server:
        answer = await talk(server, post(framing, body=body))
    assert statuses(answer) == [413]
    assert recorder.refused == ["body_too_large"]


async def test_tiny_chunks_are_refused_before_they_cost_much():
    recorder = Recorder()
    async with open_site(recorder) as server:
        answer = await talk(server, post(CHUNKED, body=b"1\r\nx\r\n" * 5_000 + END))
    assert statuses(answer) == [400]
    assert recorder.whole == []


async def test_connections_beyond_the_limit_are_told_so():
    recorder = Recorder()
    async with open_site(recorder, connections_max=1) as server, connect(server) as (reader, writer):
        writer.write(get())
        await read_head(reader)
        answer = await talk(server, get())
        assert statuses(answer) == [503]
        assert b"retry-after: 1\r\n" in answer
    assert recorder.counted == ["overloaded"]
