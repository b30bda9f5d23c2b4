"""Who answers for a tool's name points it at a neighbour, at this machine, at a metadata service: between settings and call, and between calls."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

import pytest

from gateway.config.addresses import may_call
from gateway.config.model import ToolSettings
from gateway.forward.client import open_transport
from gateway.forward.exchange import Failed, Transport
from tests.contracts.test_transport import get
from tests.forward.world import whole
from tests.simulators import upstreams as sim
from tests.simulators.nameserver import rebinding
from tests.simulators.upstreams import upstream

LOOPBACK = ("127.0.0.0/8",)
METADATA = "169.254.169.254"


@pytest.fixture(params=["direct", "httpx2"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@contextlib.asynccontextmanager
async def tool(kind: str, port: int, ask: object, allow_private: tuple[str, ...]) -> AsyncIterator[Transport]:
    opened = open_transport(ToolSettings("t", f"http://tool.example:{port}", transport=kind, allow_private=allow_private), ask)  # type: ignore[arg-type]
    try:
        yield opened
    finally:
        await opened.aclose()


async def failed(opened: Transport) -> Failed:
    with pytest.raises(Failed) as caught:
        await opened.send(get(repeatable=False))
    assert (caught.value.kind, caught.value.sent) == ("unreachable", False)
    return caught.value


async def test_a_name_that_leads_to_this_machine_is_not_called_where_its_settings_do_not_say_so(kind: str):
    async with upstream(sim.raw(sim.answer(200, b"secret of a neighbour"))) as up, rebinding(["127.0.0.1"]) as (server, ask):
        async with tool(kind, up.port, ask, ()) as opened:
            assert "no address that may be called" in (await failed(opened)).reason
        async with tool(kind, up.port, ask, ("10.0.0.0/8", "fd00::/8")) as opened:
            await failed(opened)
        assert server.asked == 2 and up.seen == []


async def test_where_they_say_so_it_is(kind: str):
    async with upstream(sim.raw(sim.answer(200, b"fine"))) as up, rebinding(["127.0.0.1"]) as (_, ask), tool(kind, up.port, ask, LOOPBACK) as opened:
        assert await whole(await opened.send(get())) == b"fine"
    assert up.seen[0].header("host") == "up.example"


async def test_a_name_that_changes_between_two_calls_is_looked_at_again(kind: str):
    async with (
        upstream(sim.raw(sim.answer(200, b"fine", "Connection: close"))) as up,
        rebinding(["127.0.0.1"], [METADATA]) as (server, ask),
        tool(kind, up.port, ask, LOOPBACK) as opened,
    ):
        assert await whole(await opened.send(get())) == b"fine"
        await failed(opened)
        assert server.asked == 2


async def test_of_several_addresses_only_those_that_may_be_called_are(kind: str):
    async with (
        upstream(sim.raw(sim.answer(200, b"fine"))) as up,
        rebinding([METADATA, "10.1.2.3", "0.0.0.0", "127.0.0.1"]) as (_, ask),
        tool(kind, up.port, ask, LOOPBACK) as opened,
    ):
        assert await whole(await opened.send(get())) == b"fine"


PRIVATE = (
    "127.0.0.1",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "198.18.0.1",
    "240.0.0.1",
    "::1",
    "fd12:3456::1",
    "fc00::1",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
)
NEVER = (
    METADATA,
    "fe80::1",
    "fe80::1%eth0",
    "224.0.0.1",
    "ff02::1",
    "0.0.0.0",
    "::",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "100.100.100.200",
    "fd00:ec2::254",
)


def test_a_name_may_lead_to_public_addresses_and_to_the_networks_that_are_named():
    public = may_call("tool.example", ())
    assert public("93.184.215.14") and public("2606:2800:21f:cb07::1") and public("64:ff9b::5db8:d70e")
    assert not any(public(address) for address in (*PRIVATE, *NEVER))
    wide = may_call("tool.example", ("0.0.0.0/1", "128.0.0.0/1", "::/1", "8000::/1"))
    assert all(wide(address) for address in PRIVATE) and not any(wide(address) for address in NEVER)
    one = may_call("tool.example", ("10.1.2.0/24",))
    assert one("10.1.2.9") and one("::ffff:10.1.2.9") and not one("10.1.3.9")


def test_an_address_in_the_url_means_itself_and_localhost_this_machine():
    assert may_call("10.1.2.3", ())("10.1.2.3") and not may_call("10.1.2.3", ())("10.1.2.4")
    assert may_call("::1", ())("::1") and may_call("::ffff:10.1.2.3", ())("10.1.2.3")
    local = may_call("localhost", ())
    assert local("127.0.0.1") and local("::1") and not local("10.0.0.1") and not local("93.184.215.14")
    assert not may_call(METADATA, ())(METADATA)
