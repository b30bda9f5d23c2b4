"""Attacks on the places of a gateway and its tools, and on the truth of what is written when a client leaves."""

import asyncio
import contextlib

import pytest

from tests.attacks.test_journey import call, let_everything, quiet, request
from tests.journeys.place import client_of, running, token_of, write_place
from tests.simulators import upstreams
from tests.simulators.upstreams import echo, upstream


@pytest.mark.parametrize(
    ("tool", "method", "path", "body"),
    [("notes", "POST", "/notes", b'{"txt":"x"}'), ("notes", "POST", "/notes", b"{"), ("nowhere", "GET", "/x", b"")],
    ids=["contract broken", "not JSON", "unknown tool"],
)
async def test_a_client_that_leaves_at_any_moment_keeps_no_place(tmp_path, tool, method, path, body):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            for turns in (*range(0, 60, 3), *range(60, 400, 20)):
                task = asyncio.create_task(place.gateway.pipeline.handle(call(tmp_path, method, path, body, tool=tool, number=turns)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
            await quiet(place)
            assert place.gateway.pipeline.gatherer.in_flight == 0


async def test_one_agent_cannot_take_all_places_of_a_tool(tmp_path):
    async def slow_for_the_writer(seen, writer):
        if "slow" in seen.target:
            await asyncio.Event().wait()
        await echo(seen, writer)

    async with upstream(slow_for_the_writer) as up:
        write_place(tmp_path, up.port, tool="read_timeout_s = 5")
        let_everything(tmp_path)
        rules = tmp_path / "policies" / "rules.cedar"
        rules.write_text(rules.read_text() + '@id("other") permit (principal, action, resource);')
        async with running(tmp_path) as place, client_of(place.gateway.addresses["agents"], token_of(tmp_path, "stranger")) as other:
            hogs = [asyncio.create_task(place.client.get("/tools/plain/slow")) for _ in range(90)]
            while len(up.seen) < 60 and not any(h.done() for h in hogs):
                await asyncio.sleep(0.02)
            await asyncio.sleep(0.3)
            reply = await other.get("/tools/plain/fast")
            for h in hogs:
                h.cancel()
            await asyncio.gather(*hogs, return_exceptions=True)
    assert reply.status_code == 200


async def test_an_agent_that_is_slow_to_send_cannot_keep_a_breaker_half_open(tmp_path):
    async with upstream(upstreams.flaky(3)) as up:
        write_place(tmp_path, up.port, tool="breaker_calls_min = 3\nbreaker_open_s = 0.2\nretries_max = 0")
        (tmp_path / "policies" / "rules.cedar").write_text('@id("other") permit (principal, action, resource);')
        async with running(tmp_path) as place, client_of(place.gateway.addresses["agents"], token_of(tmp_path, "stranger")) as other:
            for _ in range(3):
                await place.client.post("/tools/plain/x")
            await asyncio.sleep(0.4)
            slow = []
            for _ in range(3):
                _reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
                writer.write(request("POST /tools/plain/x", "Content-Length: 100", token=token_of(tmp_path)))
                slow.append(writer)
            await asyncio.sleep(0.3)
            reply = await other.get("/tools/plain/fine")
            for w in slow:
                w.close()
                await w.wait_closed()
    assert reply.status_code == 200, reply.json()


async def test_a_client_that_leaves_in_the_answer_to_a_write_leaves_it_unknown_not_cancelled(tmp_path):
    async with upstream(upstreams.slow_drip) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            async with place.client.stream("POST", "/tools/notes/notes", json={"text": "x"}) as reply:
                async for _ in reply.aiter_raw():
                    break
            result = (await place.settled("result", 1))[0]
    assert (result["status"], result["http"], result["code"]) == ("unknown", 200, "client_gone")
