"""The contract of a transport, on both: our direct one, and httpx2's own behind the same seam."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import random
from pathlib import Path

import pytest

from gateway.config.model import ToolSettings
from gateway.forward.client import open_transport
from gateway.forward.exchange import Failed, Outgoing
from tests.forward.world import Chunks, whole
from tests.simulators import upstreams as sim
from tests.simulators.upstreams import upstream


@pytest.fixture(params=["direct", "httpx2"])
def kind(request) -> str:
    return request.param


@contextlib.asynccontextmanager
async def transport(kind: str, url: str, **more):
    tool = ToolSettings("t", url, transport=kind, **{"read_timeout_s": 5.0, **more})
    opened = open_transport(tool)
    try:
        yield opened
    finally:
        await opened.aclose()


def get(target: str = "/a", method: str = "GET", *, body=None, repeatable: bool = True) -> Outgoing:
    framing = ""
    if isinstance(body, bytes):
        framing = f"content-length: {len(body)}\r\n"
    elif body is not None:
        framing = "transfer-encoding: chunked\r\n" if body.length is None else f"content-length: {body.length}\r\n"
    head = f"{method} {target} HTTP/1.1\r\nhost: up.example\r\n{framing}\r\n".encode()
    return Outgoing(head, body, expects_body=method != "HEAD", repeatable=repeatable)


async def fails(opened, outgoing: Outgoing) -> Failed:
    with pytest.raises(Failed) as caught:
        await whole(await opened.send(outgoing))
    return caught.value


async def test_an_answer_comes_with_its_status_its_fields_in_lower_case_and_its_body(kind):
    async with upstream(sim.raw(sim.answer(201, b"made", "X-Some: Thing"))) as up, transport(kind, up.url) as opened:
        incoming = await opened.send(get())
        assert incoming.status == 201
        assert (b"x-some", b"Thing") in incoming.headers
        assert await whole(incoming) == b"made"


async def test_the_target_goes_up_byte_for_byte(kind):
    target = "/a%2Fb/c;d?x=1&x=2&y=%20+%C3%A9;z"
    async with upstream(sim.echo) as up, transport(kind, up.url) as opened:
        await whole(await opened.send(get(target)))
        assert up.seen[0].target == target


async def test_nothing_is_added_to_the_fields(kind):
    async with upstream(sim.echo) as up, transport(kind, up.url) as opened:
        await whole(await opened.send(get()))
        assert up.seen[0].headers == [("host", "up.example")]


@pytest.mark.parametrize("body", [b"", b"hello", b"x" * 200_000])
async def test_a_body_at_hand_goes_up_whole(kind, body):
    async with upstream(sim.echo) as up, transport(kind, up.url) as opened:
        await whole(await opened.send(get(method="POST", body=body)))
        assert up.seen[0].body == body


@pytest.mark.parametrize("length", [11, None])
async def test_a_streamed_body_goes_up_part_by_part(kind, length):
    body = Chunks(b"hello", b"", b" world", length=length)
    async with upstream(sim.echo) as up, transport(kind, up.url) as opened:
        outgoing = get(method="POST", body=body)
        await whole(await opened.send(outgoing))
        assert up.seen[0].body == b"hello world"
        assert (outgoing.sent, outgoing.body_started, outgoing.body_sent, body.iterated) == (True, True, True, 1)


async def test_the_answer_to_a_head_has_no_body(kind):
    async with upstream(sim.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n")) as up, transport(kind, up.url) as opened:
        for _ in range(2):
            incoming = await opened.send(get(method="HEAD"))
            assert (b"content-length", b"500") in incoming.headers
            assert await whole(incoming) == b""


@pytest.mark.parametrize("status", [204, 304])
async def test_statuses_without_a_body_end_with_their_head(kind, status):
    async with upstream(sim.raw(sim.answer(status, b"", framing=False))) as up, transport(kind, up.url) as opened:
        for _ in range(2):
            assert await whole(await opened.send(get())) == b""


async def test_chunked_bodies_come_whole_and_trailers_become_no_headers(kind):
    async with upstream(sim.chunked) as up, transport(kind, up.url) as opened:
        incoming = await opened.send(get())
        assert await whole(incoming) == b"hello world"
        assert b"authorization" not in dict(incoming.headers)


async def test_a_body_that_ends_with_the_connection_comes_whole(kind):
    async with upstream(sim.until_eof) as up, transport(kind, up.url) as opened:
        assert await whole(await opened.send(get())) == b"all of it"


async def test_a_few_interim_answers_are_passed_over(kind):
    async with upstream(sim.some_interim) as up, transport(kind, up.url) as opened:
        assert (await opened.send(get())).status == 200


async def test_a_large_body_streams_whole(kind):
    async with upstream(sim.large_body(3_000_000)) as up, transport(kind, up.url) as opened:
        incoming = await opened.send(get())
        assert not isinstance(incoming.body, bytes)
        assert len(await whole(incoming)) == 3_000_000


async def test_a_redirect_is_an_answer_like_any_other(kind):
    async with upstream(sim.ok) as other, upstream(sim.redirect(other.url + "/next")) as up, transport(kind, up.url) as opened:
        assert (await opened.send(get())).status == 302
        assert (len(up.seen), len(other.seen)) == (1, 0)


async def test_a_cookie_is_not_kept(kind):
    async with upstream(sim.raw(sim.answer(200, b"", "Set-Cookie: a=b"))) as up, transport(kind, up.url) as opened:
        for _ in range(2):
            await whole(await opened.send(get()))
        assert up.seen[1].header("cookie") is None


async def test_a_proxy_of_the_environment_is_not_used(kind, monkeypatch):
    async with upstream(sim.ok) as proxy, upstream(sim.ok) as up:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with transport(kind, up.url) as opened:
            await whole(await opened.send(get()))
        assert (len(up.seen), proxy.connections) == (1, 0)


async def test_a_compressed_body_is_passed_as_it_came(kind):
    data = gzip.compress(b"plain")
    async with upstream(sim.raw(sim.answer(200, data, "Content-Encoding: gzip"))) as up, transport(kind, up.url) as opened:
        assert await whole(await opened.send(get())) == data


@pytest.mark.parametrize(
    "behaviour",
    [
        sim.garbage,
        sim.content_length_and_chunked,
        sim.two_content_lengths,
        sim.bad_content_length,
        sim.status_999,
        sim.many_headers,
        sim.switching,
    ],
    ids=["garbage", "both framings", "two lengths", "bad length", "status 999", "5000 headers", "101"],
)
async def test_what_is_not_unambiguous_http_is_invalid_and_closes_the_connection(kind, behaviour):
    async with upstream(behaviour) as up, transport(kind, up.url) as opened:
        failed = await fails(opened, get())
        assert (failed.kind, failed.sent) == ("invalid", True)
        async with asyncio.timeout(5):
            while up.open:
                await asyncio.sleep(0.001)


async def test_a_body_declared_larger_than_allowed_is_invalid(kind):
    async with upstream(sim.large_body(5000)) as up, transport(kind, up.url, response_bytes_max=4999) as opened:
        assert (await fails(opened, get())).kind == "invalid"


async def test_bytes_after_an_answer_are_never_taken_for_the_next_one(kind):
    async with upstream(sim.poisoned) as up, transport(kind, up.url) as opened:
        for _ in range(3):
            with contextlib.suppress(Failed):
                assert b"poison" not in await whole(await opened.send(get()))
        assert up.connections == 3


async def test_bytes_on_an_idle_connection_are_never_taken_for_the_next_answer(kind):
    wait = asyncio.Event()
    async with upstream(sim.late_poison(wait)) as up, transport(kind, up.url) as opened:
        await whole(await opened.send(get()))
        wait.set()
        await asyncio.sleep(0.02)
        assert b"poison" not in await whole(await opened.send(get("/second")))


async def test_no_connection_means_that_nothing_was_sent(kind):
    async with upstream(sim.ok) as up:
        pass
    async with transport(kind, up.url) as opened:
        outgoing = get()
        failed = await fails(opened, outgoing)
        assert (failed.kind, failed.sent, outgoing.sent) == ("unreachable", False, False)


@pytest.mark.parametrize("behaviour", [sim.short_body, sim.short_chunks, sim.resets, sim.resets_in_body])
async def test_a_connection_that_ends_before_the_answer_does_is_broken(kind, behaviour):
    async with upstream(behaviour) as up, transport(kind, up.url) as opened:
        failed = await fails(opened, get())
        assert (failed.kind, failed.sent) == ("broken", True)


async def test_silence_is_a_timeout(kind):
    async with upstream(sim.stalls) as up, transport(kind, up.url, read_timeout_s=0.05) as opened:
        failed = await fails(opened, get())
        assert (failed.kind, failed.sent) == ("timeout", True)


async def test_a_stream_closed_unread_gives_its_connection_back(kind):
    async with upstream(sim.endless) as up, transport(kind, up.url, connections_max=1) as opened:
        for step in range(4):
            incoming = await opened.send(get())
            if step % 2:
                assert await anext(incoming.body)
            await incoming.body.aclose()
        assert up.connections == 4


async def test_calls_cancelled_at_any_instant_take_no_connection_with_them(kind):
    draw = random.Random(7)
    behaviours = [sim.ok, sim.stalls, sim.slow_drip, sim.large_body(300_000)]

    async def any_of(seen, writer):
        await draw.choice(behaviours)(seen, writer)

    async with upstream(any_of) as up, transport(kind, up.url, connections_max=4, queue_timeout_s=1.0) as opened:
        for _ in range(150):
            task = asyncio.create_task(_read(opened))
            for _ in range(draw.randrange(25)):
                await asyncio.sleep(0)
            if draw.random() < 0.3:
                await asyncio.sleep(draw.random() / 200)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Failed):
                await task
        behaviours[:] = [sim.ok]
        answers = await asyncio.gather(*(opened.send(get()) for _ in range(4)))
        assert [a.status for a in answers] == [200] * 4


async def _read(opened) -> None:
    incoming = await opened.send(get())
    if isinstance(incoming.body, bytes):
        return
    try:
        async for _ in incoming.body:
            pass
    finally:
        await incoming.body.aclose()


async def test_tls_is_verified_against_the_tools_own_authority(kind, tmp_path, make_certificate):
    server, ca = make_certificate("127.0.0.1")
    async with upstream(sim.ok, tls=server) as up:
        async with transport(kind, up.url, ca_file=ca) as opened:
            assert (await opened.send(get())).status == 200
        async with transport(kind, up.url) as opened:
            failed = await fails(opened, get())
            assert (failed.kind, failed.sent) == ("unreachable", False)
        assert len(up.seen) == 1


async def test_a_certificate_for_another_name_is_refused(kind, tmp_path, make_certificate):
    server, ca = make_certificate("other.example")
    async with upstream(sim.ok, tls=server) as up, transport(kind, up.url, ca_file=ca) as opened:
        assert (await fails(opened, get())).kind == "unreachable"
        assert up.seen == []


async def test_session_keys_are_not_logged_to_where_the_environment_says(kind, tmp_path, make_certificate, monkeypatch):
    log = tmp_path / "keys.log"
    server, ca = make_certificate("127.0.0.1")
    monkeypatch.setenv("SSLKEYLOGFILE", str(log))
    async with upstream(sim.ok, tls=server) as up, transport(kind, up.url, ca_file=ca) as opened:
        await whole(await opened.send(get()))
    assert not log.exists() or Path(log).read_text() == ""
