"""One exchange as the application sees it, over a wire that only remembers."""

from __future__ import annotations

import asyncio

import pytest

from gateway.doors.exchange import Exchange
from gateway.doors.flow import FlowControl


class Wire:
    """Remembers what was written and whether it was closed."""

    def __init__(self) -> None:
        self.written = b""
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def exchange(wire: Wire, *, whole: bool = True, method: str = "GET") -> Exchange:
    made = Exchange(
        {"type": "http", "method": method, "headers": []},
        wire,
        FlowControl(wire),
        headers=[(b"date", b"now")],
        expects_continue=False,
        keep_alive=True,
        on_response=lambda: None,
    )
    made.more_body = not whole
    return made


async def answer(made: Exchange) -> None:
    await made.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await made.send({"type": "http.response.body", "body": b"ok"})


async def test_an_answer_to_a_whole_request_keeps_the_connection():
    wire = Wire()
    await answer(exchange(wire))
    assert wire.written == b"HTTP/1.1 200 OK\r\ndate: now\r\ncontent-length: 2\r\n\r\nok"
    assert not wire.closed


async def test_a_head_waits_one_turn_for_its_body_and_no_longer():
    wire = Wire()
    made = exchange(wire)
    await made.send({"type": "http.response.start", "status": 200, "headers": []})
    assert wire.written == b""
    await asyncio.sleep(0)
    assert wire.written == b"HTTP/1.1 200 OK\r\ndate: now\r\ntransfer-encoding: chunked\r\n\r\n"
    await made.send({"type": "http.response.body", "body": b"ok", "more_body": True})
    await made.send({"type": "http.response.body", "body": b""})
    assert wire.written.endswith(b"\r\n\r\n2\r\nok\r\n0\r\n\r\n")


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 204), ("GET", 304)])
async def test_an_answer_that_has_no_body_sends_none(method, status):
    wire = Wire()
    made = exchange(wire, method=method)
    await made.send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"9")] if status != 204 else []})
    await made.send({"type": "http.response.body", "body": b"not sent!"})
    await asyncio.sleep(0)
    assert wire.written.endswith(b"\r\n\r\n")
    assert b"transfer-encoding" not in wire.written


@pytest.mark.parametrize("body", [b"o", b"okk"])
async def test_a_body_of_another_length_than_declared_is_an_error_of_the_application(body):
    made = exchange(Wire())
    await made.send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    with pytest.raises(RuntimeError):
        await made.send({"type": "http.response.body", "body": body})


async def test_an_answer_cannot_have_two_framings():
    fields = [(b"content-length", b"2"), (b"transfer-encoding", b"chunked")]
    with pytest.raises(RuntimeError):
        await exchange(Wire()).send({"type": "http.response.start", "status": 200, "headers": fields})


async def test_an_answer_to_half_a_request_ends_the_connection():
    wire = Wire()
    await answer(exchange(wire, whole=False))
    assert b"connection: close\r\n" in wire.written
    assert wire.closed


async def test_an_application_that_waits_for_the_client_is_told_that_it_left():
    made = exchange(Wire())
    waiting = made.task = asyncio.ensure_future(made.receive())
    await asyncio.sleep(0)
    made.leave()
    assert (await waiting)["type"] == "http.disconnect"


async def test_an_application_that_works_for_a_client_that_left_is_cancelled():
    made = exchange(Wire())
    made.task = asyncio.ensure_future(asyncio.Event().wait())
    await asyncio.sleep(0)
    made.leave()
    with pytest.raises(asyncio.CancelledError):
        await made.task


async def test_nothing_is_sent_to_a_client_that_left():
    wire = Wire()
    made = exchange(wire)
    made.leave()
    with pytest.raises(ConnectionResetError):
        await answer(made)
    assert wire.written == b""


async def test_a_client_that_leaves_after_its_answer_disturbs_nobody():
    made = exchange(Wire())
    await answer(made)
    made.task = asyncio.ensure_future(asyncio.sleep(0, "done"))
    made.leave()
    assert await made.task == "done"


@pytest.mark.parametrize("bad", [(b"x\r\ny", b"1"), (b"x", b"1\r\nset-cookie: a=b"), (b"x", b"1\x00")])
async def test_an_answer_cannot_smuggle_a_header(bad):
    wire = Wire()
    with pytest.raises(RuntimeError):
        await exchange(wire).send({"type": "http.response.start", "status": 200, "headers": [bad]})
    assert wire.written == b""
