"""Client certificates against a real TLS server that asks for them: the right one passes, and no connection carries the calls of two."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.call import Grant
from gateway.config.model import ToolSettings
from gateway.credential import ClientCertificate
from gateway.errors import Refusal
from gateway.forward import Upstreams
from gateway.forward.certified import KEPT_MAX
from gateway.secret import Secret
from tests.forward.world import forward, grant, whole
from tests.simulators.authority import ClientAuthority, Shown, make_certificate
from tests.simulators.upstreams import Seen, Upstream, answer, upstream


@pytest.fixture(params=["direct", "httpx2"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> ClientAuthority:
    return ClientAuthority(tmp_path_factory.mktemp("clients"))


def shown_by(authority: ClientAuthority, name: str, credential: str = "c") -> ClientCertificate:
    certificate, key, fingerprint = authority.issue(name)
    return ClientCertificate(credential, fingerprint, 4e9, Secret((key + certificate).decode()))


@contextlib.asynccontextmanager
async def reaching(
    folder: Path, clients: ClientAuthority, behaviour, kind: str, *, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> AsyncIterator[tuple[Upstreams, Grant, Upstream]]:
    server, ca = make_certificate(folder, "127.0.0.1")
    server.maximum_version = version
    async with upstream(behaviour, tls=clients.trusted(server)) as up:
        tool = ToolSettings("t", up.url, transport=kind, ca_file=ca, retries_max=0)
        upstreams = Upstreams.open({"t": tool})
        try:
            yield upstreams, grant(tool), up
        finally:
            await upstreams.close()


async def test_a_tool_sees_the_certificate_of_its_calls(tmp_path, clients, kind):
    mine = shown_by(clients, "mine")
    async with reaching(tmp_path, clients, Shown(), kind) as (upstreams, plain, _):
        for _ in range(2):
            assert await whole(await forward(upstreams, replace(plain, certificate=mine))) == mine.fingerprint.encode()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_tool_that_asks_for_a_certificate_answers_nobody_else(tmp_path, clients, kind, version):
    behaviour = Shown()
    foreign = shown_by(ClientAuthority(tmp_path, "strangers"), "mine")
    async with reaching(tmp_path, clients, behaviour, kind, version=version) as (upstreams, plain, _):
        for certificate in (None, foreign):
            with pytest.raises(Refusal) as caught:
                await forward(upstreams, replace(plain, certificate=certificate))
            assert caught.value.code in ("upstream_unreachable", "upstream_broken")
            assert "PRIVATE" not in caught.value.reason
    assert behaviour.requests == []


async def test_no_connection_carries_the_calls_of_two_certificates(tmp_path, clients, kind):
    behaviour = Shown()
    certificates = [shown_by(clients, "a"), shown_by(clients, "b"), shown_by(clients, "c", "another")]
    async with reaching(tmp_path, clients, behaviour, kind) as (upstreams, plain, up):

        async def call(number: int) -> None:
            certificate = certificates[number % 3]
            answered = await forward(upstreams, replace(plain, certificate=certificate, path=f"/{number}"))
            assert await whole(answered) == certificate.fingerprint.encode()

        await asyncio.gather(*map(call, range(30)))
        for number in range(30, 60):
            await call(number)
    assert len(behaviour.requests) == 60
    assert all(len(certificates) == 1 for certificates in behaviour.by_connection().values())
    assert {shown for _, _, shown in behaviour.requests} == {certificate.fingerprint for certificate in certificates}
    assert kind == "httpx2" or up.connections < 40, "connections are used again"


async def test_another_certificate_closes_what_is_idle_and_lets_calls_under_way_end(tmp_path, clients, kind):
    old, new = shown_by(clients, "old"), shown_by(clients, "new")
    go_on = asyncio.Event()

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        if seen.target == "/streams":
            writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbegin\r\n")
            await writer.drain()
            await go_on.wait()
            writer.write(b"3\r\nend\r\n0\r\n\r\n")
        else:
            writer.write(answer(200, b"short"))

    async with reaching(tmp_path, clients, behave, kind) as (upstreams, plain, up):
        streaming = await forward(upstreams, replace(plain, certificate=old, path="/streams"))
        await whole(await forward(upstreams, replace(plain, certificate=old)))
        await whole(await forward(upstreams, replace(plain, certificate=new)))
        async with asyncio.timeout(10):
            while up.open > (2 if kind == "direct" else 1):  # the stream's, and the new one's if it is kept
                await asyncio.sleep(0)
        go_on.set()
        assert await whole(streaming) == b"beginend"
        late = await forward(upstreams, replace(plain, certificate=old))  # decided before the change, sent after it
        assert await whole(late) == b"short"


async def test_many_certificates_one_after_the_other_leave_few_behind(tmp_path, clients):
    async with reaching(tmp_path, clients, Shown(), "direct") as (upstreams, plain, up):
        for number in range(KEPT_MAX + 2):
            certificate = shown_by(clients, str(number))
            assert await whole(await forward(upstreams, replace(plain, certificate=certificate))) == certificate.fingerprint.encode()
        async with asyncio.timeout(10):
            while up.open > 1:
                await asyncio.sleep(0)
        assert up.connections == KEPT_MAX + 2


async def test_a_pair_that_tls_does_not_take_is_refused_and_nothing_leaves(tmp_path, clients, kind):
    certificate, _, fingerprint = clients.issue("mine")
    _, key, _ = clients.issue("other")
    apart = ClientCertificate("c", fingerprint, 4e9, Secret((key + certificate).decode()))
    async with reaching(tmp_path, clients, Shown(), kind) as (upstreams, plain, up):
        with pytest.raises(Refusal) as caught:
            await forward(upstreams, replace(plain, certificate=apart))
        assert (caught.value.code, caught.value.outcome, "PRIVATE" in caught.value.reason) == ("credential_unavailable", "refused", False)
        assert up.connections == 0


async def test_the_key_is_in_no_file_and_no_descriptor_afterwards(tmp_path, clients):
    mine = shown_by(clients, "mine")
    assert "PRIVATE" not in repr(mine) + repr(grant(ToolSettings("t", "https://up.example"))) + str(mine)
    async with reaching(tmp_path, clients, Shown(), "direct") as (upstreams, plain, _):
        await whole(await forward(upstreams, replace(plain, certificate=mine)))
        links = [os.readlink(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd") if os.path.lexists(f"/proc/self/fd/{name}")]
    assert not any("memfd:certificate" in link for link in links)
