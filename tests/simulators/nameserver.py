"""A name server of somebody hostile: it speaks DNS over UDP (RFC 1035), and each answer is the next of a list, good for no time at all."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from typing import cast

from gateway.dial import Resolve


class _Rebinding(asyncio.DatagramProtocol):
    def __init__(self, answers: Sequence[Sequence[str]]) -> None:
        self._answers = answers
        self.asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)  # before Python 3.12 no instance of it

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        addresses = self._answers[min(self.asked, len(self._answers) - 1)]
        self.asked += 1
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(addresses), 0, 0)
        records = b"".join(struct.pack(">HHHIH", 0xC00C, 1, 1, 0, 4) + socket.inet_aton(address) for address in addresses)
        self._transport.sendto(head + data[12:] + records, addr)


class _Question(asyncio.DatagramProtocol):
    def __init__(self) -> None:
        self.answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.answer.set_result(data)


@contextlib.asynccontextmanager
async def rebinding(*answers: Sequence[str]) -> AsyncIterator[tuple[_Rebinding, Resolve]]:
    """The server, and a resolver that asks it. The last of `answers` is repeated."""
    loop = asyncio.get_running_loop()
    transport, server = await loop.create_datagram_endpoint(lambda: _Rebinding(answers), local_addr=("127.0.0.1", 0))
    place = transport.get_extra_info("sockname")

    async def ask(host: str, port: int) -> list:
        name = b"".join(bytes([len(label)]) + label.encode("ascii") for label in host.split(".")) + b"\0"
        asking, question = await loop.create_datagram_endpoint(_Question, remote_addr=place)
        try:
            asking.sendto(struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + name + struct.pack(">HH", 1, 1))
            answer = await question.answer
        finally:
            asking.close()
        first, count = 12 + len(name) + 4, struct.unpack(">H", answer[6:8])[0]
        found = [socket.inet_ntoa(answer[first + number * 16 + 12 : first + number * 16 + 16]) for number in range(count)]
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)) for address in found]

    try:
        yield server, ask
    finally:
        transport.close()
