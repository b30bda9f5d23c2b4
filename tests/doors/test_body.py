"""A request body: read once, within bytes and time."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from gateway.call import ClientGone
from gateway.config.model import Limits
from gateway.doors.body import RequestBody
from gateway.errors import Refusal

LIMITS = replace(Limits(), body_bytes_max=10, body_timeout_s=0.05, body_rate_min_bytes_s=1_000_000)


class Client:
    """Sends the messages it was given, then nothing for ever."""

    def __init__(self, *messages: dict) -> None:
        self.messages = list(messages)

    async def receive(self) -> dict:
        if not self.messages:
            await asyncio.Event().wait()
        return self.messages.pop(0)


def part(body: bytes, more: bool = True) -> dict:
    return {"type": "http.request", "body": body, "more_body": more}


async def read(body: RequestBody) -> list[bytes]:
    return [piece async for piece in body.chunks()]


async def test_a_body_comes_piece_by_piece_without_empty_ones():
    client = Client(part(b"ab"), part(b""), part(b"cd"), part(b"", more=False))
    assert await read(RequestBody(client.receive, None, LIMITS)) == [b"ab", b"cd"]


async def test_a_request_without_a_body_is_not_waited_for():
    assert await read(RequestBody(Client().receive, 0, LIMITS)) == []


async def test_a_body_is_read_once():
    body = RequestBody(Client().receive, 0, LIMITS)
    await read(body)
    with pytest.raises(RuntimeError):
        await read(body)


@pytest.mark.parametrize("length", [11, None])
async def test_a_body_beyond_the_limit_is_refused(length):
    client = Client(part(b"12345"), part(b"678901", more=False))
    with pytest.raises(Refusal) as refusal:
        await read(RequestBody(client.receive, length, LIMITS))
    assert refusal.value.code == "body_too_large"
    assert len(client.messages) == (2 if length else 0)  # what says that it is too large is not read at all


async def test_a_body_at_the_limit_is_taken():
    assert await read(RequestBody(Client(part(b"1234567890", more=False)).receive, 10, LIMITS)) == [b"1234567890"]


async def test_a_body_that_stops_is_refused_at_its_deadline():
    with pytest.raises(Refusal) as refusal:
        await read(RequestBody(Client(part(b"1")).receive, 5, LIMITS))
    assert refusal.value.code == "request_timeout"


async def test_a_body_that_comes_drop_by_drop_is_refused_when_its_time_is_over():
    async def receive() -> dict:
        await asyncio.sleep(0.01)
        return part(b"")

    async with asyncio.timeout(10):
        with pytest.raises(Refusal) as refusal:
            await read(RequestBody(receive, None, LIMITS))
    assert refusal.value.code == "request_timeout"


async def test_a_body_that_keeps_the_rate_may_take_longer_than_the_deadline():
    async def receive() -> dict:
        await asyncio.sleep(0.01)
        sent.append(1)
        return part(b"x" * 100, more=len(sent) < 20)

    sent: list[int] = []
    limits = replace(LIMITS, body_bytes_max=10_000, body_rate_min_bytes_s=1_000)
    assert len(await read(RequestBody(receive, None, limits))) == 20


async def test_time_in_which_nobody_waits_for_the_client_is_not_the_clients():
    body = RequestBody(Client(part(b"1"), part(b"2", more=False)).receive, 2, LIMITS)
    got = b""
    async for piece in body.chunks():
        got += piece
        await asyncio.sleep(0.1)  # an upstream that is slow to take it: twice the body's deadline
    assert got == b"12"


async def test_a_client_that_leaves_is_reported():
    with pytest.raises(ClientGone):
        await read(RequestBody(Client(part(b"1"), {"type": "http.disconnect"}).receive, 5, LIMITS))
