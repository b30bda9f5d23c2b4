"""The direct transport as an httpx2 transport, and its pool's own rules."""

from __future__ import annotations

import asyncio

import httpx2
import pytest

from gateway.config.model import ToolSettings
from gateway.forward.client import DirectTransport
from gateway.forward.exchange import Failed, Outgoing
from tests.simulators import upstreams as sim
from tests.simulators.upstreams import upstream


def outgoing(*, repeatable: bool = True) -> Outgoing:
    return Outgoing(b"GET / HTTP/1.1\r\nhost: up\r\n\r\n", None, expects_body=True, repeatable=repeatable)


async def test_code_that_speaks_httpx2_can_use_it():
    async with upstream(sim.echo) as up, httpx2.AsyncClient(transport=DirectTransport(ToolSettings("t", up.url))) as client:
        answer = await client.post(up.url + "/a?b=c", content=b"hello", headers={"x-a": "b"})
        assert (answer.json()["target"], answer.json()["body"]) == ("/a?b=c", "hello")


async def test_it_streams_through_httpx2_as_well():
    async with upstream(sim.large_body(1_000_000)) as up, httpx2.AsyncClient(transport=DirectTransport(ToolSettings("t", up.url))) as client:
        async with client.stream("GET", up.url) as answer:
            assert sum([len(chunk) async for chunk in answer.aiter_raw()]) == 1_000_000


async def test_it_is_bound_to_its_origin():
    async with upstream(sim.ok) as up, upstream(sim.ok) as other:
        async with httpx2.AsyncClient(transport=DirectTransport(ToolSettings("t", up.url))) as client:
            with pytest.raises(httpx2.UnsupportedProtocol):
                await client.get(other.url)
        assert other.connections == 0


@pytest.mark.parametrize(
    ("behaviour", "error"),
    [
        (sim.garbage, httpx2.RemoteProtocolError),
        (sim.resets, httpx2.ReadError),
        (sim.stalls, httpx2.ReadTimeout),
        (sim.resets_in_body, httpx2.ReadError),
    ],
)
async def test_failures_are_httpx2s_own(behaviour, error):
    tool = {"read_timeout_s": 0.05}
    async with upstream(behaviour) as up, httpx2.AsyncClient(transport=DirectTransport(ToolSettings("t", up.url, **tool))) as client:
        with pytest.raises(error):
            await client.get(up.url)


async def test_connections_are_used_again_and_the_newest_first():
    async with upstream(sim.ok) as up:
        transport = DirectTransport(ToolSettings("t", up.url))
        for _ in range(5):
            await transport.send(outgoing())
        assert up.connections == 1
        await transport.aclose()


async def test_there_are_never_more_connections_than_allowed():
    async with upstream(sim.stalls) as up:
        transport = DirectTransport(ToolSettings("t", up.url, connections_max=2))
        tasks = [asyncio.create_task(transport.send(outgoing())) for _ in range(2)]
        while len(up.seen) < 2:
            await asyncio.sleep(0.001)
        with pytest.raises(Failed) as caught:
            await transport.send(outgoing())
        assert (caught.value.kind, caught.value.sent) == ("overloaded", False)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert transport.pool.size == 0


async def test_a_write_takes_no_connection_that_was_idle_for_long():
    async with upstream(sim.ok) as up:
        transport = DirectTransport(ToolSettings("t", up.url))
        await transport.send(outgoing())
        [kept] = transport.pool._idle
        kept.idle_since_s -= 3
        await transport.send(outgoing())
        assert up.connections == 1
        kept.idle_since_s -= 3
        await transport.send(outgoing(repeatable=False))
        assert up.connections == 2
        await transport.aclose()


async def test_a_connection_idle_for_too_long_is_closed():
    async with upstream(sim.ok) as up:
        transport = DirectTransport(ToolSettings("t", up.url))
        await transport.send(outgoing())
        [kept] = transport.pool._idle
        kept.idle_since_s -= 16
        transport.pool._sweep_idle()
        assert transport.pool.size == 0
        async with asyncio.timeout(5):
            while up.open:
                await asyncio.sleep(0.001)


@pytest.mark.parametrize("host", ["169.254.169.254", "[fe80::1]", "0.0.0.0", "[::ffff:169.254.169.254]", "224.0.0.1"])
async def test_addresses_of_metadata_services_are_never_called_whatever_a_name_resolves_to(host):
    transport = DirectTransport(ToolSettings("t", f"http://{host}:80"))
    with pytest.raises(Failed) as caught:
        await transport.send(outgoing())
    assert (caught.value.kind, caught.value.sent) == ("unreachable", False)
    assert "cannot connect" in caught.value.reason
