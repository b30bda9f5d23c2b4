"""How a tool's name becomes a connection, and what a name server that is dead or lies cannot do."""

from __future__ import annotations

import asyncio
import socket

import pytest

from gateway.dial import Lookup, dial, resolve


class Server:
    """A name server that answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answer: asyncio.Future[list] = asyncio.get_running_loop().create_future()

    async def __call__(self, host: str, port: int) -> list:
        self.asked += 1
        return await self.answer


def found(address: str, port: int) -> list:
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]


async def test_many_callers_ask_a_dead_name_server_once():
    server = Server()
    lookup = Lookup(server)

    async def give_up_soon() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await lookup("tool.test", 80)

    for _ in range(3):
        await asyncio.gather(*(give_up_soon() for _ in range(20)))
    assert server.asked == 1
    server.answer.set_result(found("127.0.0.1", 80))
    await asyncio.sleep(0)


async def test_an_answer_is_for_those_who_wait_and_is_not_kept():
    server = Server()
    lookup = Lookup(server)
    waiting = [asyncio.create_task(lookup("tool.test", 80)) for _ in range(3)]
    await asyncio.sleep(0)
    server.answer.set_result(found("127.0.0.1", 80))
    assert await asyncio.gather(*waiting) == [found("127.0.0.1", 80)] * 3
    assert server.asked == 1
    await lookup("tool.test", 80)
    assert server.asked == 2


async def test_a_name_that_is_not_found_is_an_error_for_all_who_wait():
    server = Server()
    lookup = Lookup(server)
    waiting = [asyncio.create_task(lookup("tool.test", 80)) for _ in range(3)]
    await asyncio.sleep(0)
    server.answer.set_exception(socket.gaierror("no such name"))
    assert [type(e) for e in await asyncio.gather(*waiting, return_exceptions=True)] == [socket.gaierror] * 3


async def test_the_address_that_was_looked_at_is_the_one_that_is_called():
    async def lies(host: str, port: int) -> list:
        return found("169.254.169.254", port)

    with pytest.raises(OSError, match="no address that may be called"):
        await dial("tool.test", 80, lies)


async def test_the_system_knows_itself():
    assert (await resolve("127.0.0.1", 80))[0][4] == ("127.0.0.1", 80)
