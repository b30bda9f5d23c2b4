"""A grant on its way to an upstream that behaves, and to the many that do not."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import tracemalloc
from dataclasses import replace

import pytest

from gateway.config.model import ToolSettings
from gateway.errors import Refusal
from gateway.forward import Upstreams
from tests.forward.world import SECRET, Chunks, forward, grant, no_sleep, whole
from tests.simulators import upstreams as sim
from tests.simulators.upstreams import upstream


@pytest.fixture(params=["direct", "httpx2"])
def kind(request) -> str:
    return request.param


@contextlib.asynccontextmanager
async def reaching(url: str, *, changes: list | None = None, echoes: list | None = None, **more):
    tool = ToolSettings("t", url, **more)
    upstreams = Upstreams.open(
        {"t": tool},
        sleep=no_sleep,
        on_change=lambda *change: changes.append(change) if changes is not None else None,
        on_echo=lambda: echoes.append(1) if echoes is not None else None,
    )
    try:
        yield upstreams, tool
    finally:
        await upstreams.close()


async def refuses(upstreams: Upstreams, granted, **more) -> Refusal:
    with pytest.raises(Refusal) as caught:
        await whole(await forward(upstreams, granted, **more))
    return caught.value


def results(of) -> list[str]:
    return [attempt.result for attempt in of.attempts]


async def test_the_request_goes_up_as_granted_and_the_answer_comes_down(kind):
    async with upstream(sim.echo) as up, reaching(up.url + "/v1", transport=kind) as (upstreams, tool):
        granted = grant(tool, method="POST", effect="write", path="/a%20b", query="x=1&x=2", body=b'{"a":1}', headers=(("accept", "text/plain"),))
        answer = await forward(upstreams, granted)
        told = json.loads(await whole(answer))
        assert (told["method"], told["target"], told["body"]) == ("POST", "/v1/a%20b?x=1&x=2", '{"a":1}')
        assert told["headers"] == [
            ["host", f"127.0.0.1:{up.port}"],
            ["accept", "text/plain"],
            ["content-type", "application/json"],
            ["accept-encoding", "identity"],
            ["content-length", "7"],
        ]
        assert (answer.status, results(answer)) == (200, ["200"])
        assert answer.attempts[0].upstream == f"127.0.0.1:{up.port}"
        assert dict(answer.headers)["content-type"] == "application/json"


async def test_a_body_is_streamed_up_when_the_grant_has_none(kind):
    async with upstream(sim.echo) as up, reaching(up.url, transport=kind) as (upstreams, tool):
        answer = await forward(upstreams, grant(tool, method="POST", effect="write"), body=Chunks(b"ab", b"cd"))
        told = json.loads(await whole(answer))
        assert (told["body"], dict(told["headers"])["transfer-encoding"]) == ("abcd", "chunked")


@pytest.mark.parametrize("length", [3, 5])
async def test_a_body_of_another_length_than_declared_is_refused_and_its_outcome_unknown(length):
    async with upstream(sim.echo) as up, reaching(up.url) as (upstreams, tool):
        refusal = await refuses(upstreams, grant(tool, method="POST", effect="write"), body=Chunks(b"ab", b"cd", length=length))
        assert (refusal.code, refusal.outcome) == ("malformed_request", "unknown")
        assert up.seen == []


async def test_what_the_body_raises_ends_the_call():
    class Broken(Chunks):
        async def chunks(self):
            yield b"a"
            raise Refusal("body_too_large")

    async with upstream(sim.echo) as up, reaching(up.url, connections_max=1) as (upstreams, tool):
        for _ in range(3):
            refusal = await refuses(upstreams, grant(tool, method="POST", effect="write"), body=Broken())
            assert (refusal.code, refusal.outcome) == ("body_too_large", "unknown")


async def test_an_answer_that_comes_before_the_body_is_over_is_passed_down():
    waiting = asyncio.Event()

    class Slow(Chunks):
        async def chunks(self):
            yield b"a"
            await waiting.wait()

    async def at_once(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(sim.answer(413, b"too large"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(at_once, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    async with server, reaching(url) as (upstreams, tool):
        answer = await forward(upstreams, grant(tool, method="POST", effect="write"), body=Slow())
        assert (answer.status, answer.body) == (413, b"too large")
        await asyncio.sleep(0.01)


# failures and what is known of the outcome


@pytest.mark.parametrize(
    ("behaviour", "code", "of_read"),
    [
        (sim.garbage, "upstream_invalid", "error"),
        (sim.content_length_and_chunked, "upstream_invalid", "error"),
        (sim.status_999, "upstream_invalid", "error"),
        (sim.many_headers, "upstream_invalid", "error"),
        (sim.short_body, "upstream_broken", "error"),
        (sim.resets, "upstream_broken", "error"),
        (sim.resets_in_body, "upstream_broken", "error"),
        (sim.stalls, "upstream_timeout", "timeout"),
        (sim.stalls_in_body, "upstream_timeout", "timeout"),
    ],
)
@pytest.mark.parametrize("effect", ["read", "write"])
async def test_a_failure_says_what_is_known_of_the_outcome(kind, behaviour, code, of_read, effect):
    limits = {"read_timeout_s": 0.05, "stream_idle_timeout_s": 0.05, "retries_max": 0}
    async with upstream(behaviour) as up, reaching(up.url, transport=kind, **limits) as (upstreams, tool):
        refusal = await refuses(upstreams, grant(tool, method="POST" if effect == "write" else "GET", effect=effect))
        assert (refusal.code, refusal.outcome) == (code, of_read if effect == "read" else "unknown")
        assert len(refusal.attempts) == 1


async def test_a_call_that_cannot_connect_was_not_sent(kind):
    async with upstream(sim.ok) as up:
        pass
    async with reaching(up.url, transport=kind) as (upstreams, tool):
        refusal = await refuses(upstreams, grant(tool, method="POST", effect="write"))
        assert (refusal.code, refusal.outcome) == ("upstream_unreachable", "refused")
        assert results(refusal) == ["unreachable"] * 3


async def test_the_deadline_ends_a_call_that_waits(kind):
    async with upstream(sim.stalls) as up, reaching(up.url, transport=kind) as (upstreams, tool):
        refusal = await refuses(upstreams, grant(tool, effect="write"), within_s=0.05)
        assert (refusal.code, refusal.outcome, results(refusal)) == ("upstream_timeout", "unknown", ["timeout"])


@pytest.mark.parametrize("kept", [0, 1])
async def test_a_deadline_in_the_past_sends_nothing(kind, kept):
    async with upstream(sim.ok) as up, reaching(up.url, transport=kind) as (upstreams, tool):
        for _ in range(kept):
            await forward(upstreams, grant(tool))
        refusal = await refuses(upstreams, grant(tool, effect="write"), within_s=-1)
        assert (refusal.code, refusal.outcome) == ("upstream_timeout", "refused")
        assert len(up.seen) == kept


# retries


@pytest.mark.parametrize("status", [0, 502, 503, 504])
@pytest.mark.parametrize("effect", ["read", "idempotent_write"])
async def test_what_may_be_repeated_is_repeated_until_it_works(kind, status, effect):
    async with upstream(sim.flaky(2, status)) as up, reaching(up.url, transport=kind) as (upstreams, tool):
        answer = await forward(upstreams, grant(tool, effect=effect))
        assert answer.status == 200
        assert results(answer) == [*[str(status) if status else "broken"] * 2, "200"]


@pytest.mark.parametrize("status", [0, 503])
@pytest.mark.parametrize("effect", ["write", "destructive"])
async def test_a_write_is_never_sent_twice(kind, status, effect):
    async with upstream(sim.flaky(1, status)) as up, reaching(up.url, transport=kind) as (upstreams, tool):
        if status:
            assert (await forward(upstreams, grant(tool, method="POST", effect=effect))).status == status
        else:
            assert (await refuses(upstreams, grant(tool, method="POST", effect=effect))).outcome == "unknown"
        assert len(up.seen) == 1


async def test_a_write_is_not_repeated_even_when_its_kept_connection_was_dropped():
    async with upstream(sim.closes_on_reuse()) as up, reaching(up.url) as (upstreams, tool):
        await forward(upstreams, grant(tool))
        refusal = await refuses(upstreams, grant(tool, method="POST", effect="write", body=b"pay"))
        assert (refusal.code, refusal.outcome) == ("upstream_broken", "unknown")
        assert [seen.body for seen in up.seen].count(b"pay") == 1


async def test_a_read_on_a_kept_connection_that_was_dropped_goes_again_at_once_and_harms_no_ones_standing():
    async with upstream(sim.closes_on_reuse()) as up, reaching(up.url, retries_max=0) as (upstreams, tool):
        for _ in range(30):
            answer = await forward(upstreams, grant(tool))
            assert results(answer) == ["200"]
        assert upstreams.breakers() == {"t": "closed"}


async def test_no_more_retries_than_allowed_and_the_last_answer_comes_down(kind):
    async with upstream(sim.flaky(99)) as up, reaching(up.url, transport=kind, retries_max=1) as (upstreams, tool):
        answer = await forward(upstreams, grant(tool))
        assert (answer.status, await whole(answer), results(answer)) == (503, b"down", ["503", "503"])


async def test_an_ordinary_error_is_an_answer_and_not_repeated(kind):
    async with upstream(sim.raw(sim.answer(500, b"bug"))) as up, reaching(up.url, transport=kind) as (upstreams, tool):
        assert results(await forward(upstreams, grant(tool))) == ["500"]


async def test_retry_after_is_waited_for_and_too_long_a_wait_is_not():
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    for asked, status, expected in (("3", 429, [3.0]), ("3", 503, [3.0]), ("21", 429, []), ("soon", 429, [])):
        slept.clear()
        async with upstream(sim.flaky(1, status, f"Retry-After: {asked}")) as up:
            tool = ToolSettings("t", up.url)
            upstreams = Upstreams.open({"t": tool}, sleep=sleep)
            answer = await forward(upstreams, grant(tool))
            await upstreams.close()
        assert (slept, answer.status) == (expected, 200 if expected else status)


async def test_no_retry_that_would_end_after_the_deadline():
    async with upstream(sim.flaky(1, 503, "Retry-After: 15")) as up, reaching(up.url) as (upstreams, tool):
        assert (await forward(upstreams, grant(tool), within_s=10)).status == 503


async def test_retries_have_a_budget_so_that_they_never_multiply_the_load():
    limits = {"retry_budget_floor_per_s": 0.1, "retry_budget_ratio": 0.0, "breaker_calls_min": 1000}
    async with upstream(sim.raw(sim.answer(503, b""))) as up, reaching(up.url, **limits) as (upstreams, tool):
        for _ in range(20):
            await forward(upstreams, grant(tool))
        assert 20 < len(up.seen) <= 23


async def test_a_streamed_body_is_not_sent_twice():
    body = Chunks(b"a", b"b")
    async with upstream(sim.flaky(1, 503)) as up, reaching(up.url) as (upstreams, tool):
        answer = await forward(upstreams, grant(tool, method="PUT", effect="idempotent_write"), body=body)
        assert (answer.status, body.iterated, len(up.seen)) == (503, 1, 1)


async def test_a_large_body_is_not_sent_twice():
    async with upstream(sim.flaky(1, 503)) as up, reaching(up.url, retry_body_bytes_max=10) as (upstreams, tool):
        assert (await forward(upstreams, grant(tool, method="PUT", effect="idempotent_write", body=b"x" * 11))).status == 503


async def test_nothing_is_repeated_once_bytes_were_handed_down():
    async with upstream(sim.resets_in_body) as up, reaching(up.url) as (upstreams, tool):
        refusal = await refuses(upstreams, grant(tool))
        assert (refusal.code, len(up.seen)) == ("upstream_broken", 1)


# the breaker


async def test_a_dead_upstream_is_left_alone_after_ten_failures():
    changes: list = []
    async with upstream(sim.resets) as up, reaching(up.url, changes=changes, retries_max=0) as (upstreams, tool):
        for _ in range(10):
            assert (await refuses(upstreams, grant(tool))).code == "upstream_broken"
        refusal = await refuses(upstreams, grant(tool))
        assert (refusal.code, refusal.outcome, refusal.attempts) == ("circuit_open", "refused", ())
        assert refusal.retry_after_s in range(8, 13)
        assert len(up.seen) == 10
        assert changes == [("t", f"127.0.0.1:{up.port}", "open")]


async def test_a_breaker_that_opens_between_attempts_ends_them():
    limits = {"retries_max": 2, "breaker_calls_min": 2, "retry_budget_floor_per_s": 10.0}
    async with upstream(sim.resets) as up, reaching(up.url, **limits) as (upstreams, tool):
        refusal = await refuses(upstreams, grant(tool))
        assert (refusal.code, results(refusal)) == ("upstream_broken", ["broken", "broken"])


async def test_refusals_by_the_upstream_and_clients_who_leave_do_not_open_it():
    async with upstream(sim.raw(sim.answer(429, b""))) as up, reaching(up.url) as (upstreams, tool):
        for _ in range(20):
            await forward(upstreams, grant(tool))
        assert upstreams.breakers() == {"t": "closed"}
    async with upstream(sim.stalls) as up, reaching(up.url) as (upstreams, tool):
        tasks = [asyncio.create_task(forward(upstreams, grant(tool))) for _ in range(20)]
        while len(up.seen) < 20:
            await asyncio.sleep(0.001)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert upstreams.breakers() == {"t": "closed"}


async def test_one_dead_tool_harms_no_other():
    async with upstream(sim.stalls) as dead, upstream(sim.ok) as well:
        tools = {"dead": ToolSettings("dead", dead.url, in_flight_max=2, queue_timeout_s=0.01), "well": ToolSettings("well", well.url)}
        upstreams = Upstreams.open(tools, sleep=no_sleep)
        tasks = [asyncio.create_task(forward(upstreams, grant(tools["dead"]))) for _ in range(2)]
        while len(dead.seen) < 2:
            await asyncio.sleep(0.001)
        assert (await refuses(upstreams, grant(tools["dead"]))).code == "overloaded"
        assert (await forward(upstreams, grant(tools["well"]))).status == 200
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await upstreams.close()


# streams


async def test_a_long_answer_streams_and_the_next_call_uses_its_connection_again():
    async with upstream(sim.large_body(2_000_000)) as up, reaching(up.url) as (upstreams, tool):
        for _ in range(3):
            answer = await forward(upstreams, grant(tool))
            assert not isinstance(answer.body, bytes)
            assert len(await whole(answer)) == 2_000_000
        assert up.connections == 1


async def test_a_stream_that_is_not_read_does_not_fill_the_memory():
    async with upstream(sim.endless) as up, reaching(up.url) as (upstreams, tool):
        answer = await forward(upstreams, grant(tool))
        tracemalloc.start()
        for _ in range(200):
            await asyncio.sleep(0.001)
        held = tracemalloc.get_traced_memory()[0]
        tracemalloc.stop()
        await answer.body.aclose()
        assert held < 3_000_000


@pytest.mark.parametrize("behaviour", [sim.endless, sim.slow_drip])
async def test_an_endless_stream_is_cut_at_its_size(kind, behaviour):
    async with upstream(behaviour) as up, reaching(up.url, transport=kind, response_bytes_max=20) as (upstreams, tool):
        refusal = await refuses(upstreams, grant(tool))
        assert (refusal.code, refusal.outcome) == ("upstream_invalid", "error")


async def test_a_stream_is_cut_at_its_age(kind):
    async with upstream(sim.slow_drip) as up, reaching(up.url, transport=kind, stream_age_s_max=0.05) as (upstreams, tool):
        assert (await refuses(upstreams, grant(tool))).code == "upstream_timeout"


@pytest.mark.parametrize("started", [True, False])
async def test_closing_a_stream_gives_its_place_back_even_if_it_was_never_started(kind, started):
    limits = {"in_flight_max": 1, "queue_timeout_s": 0.01}
    async with upstream(sim.endless) as up, reaching(up.url, transport=kind, **limits) as (upstreams, tool):
        for _ in range(3):
            answer = await forward(upstreams, grant(tool))
            assert (await refuses(upstreams, grant(tool))).code == "overloaded"
            if started:
                await anext(answer.body)
            await answer.body.aclose()
            await answer.body.aclose()


async def test_a_stream_that_breaks_again_and_again_opens_the_breaker():
    async with upstream(sim.resets_in_body) as up, reaching(up.url) as (upstreams, tool):
        for _ in range(10):
            await refuses(upstreams, grant(tool))
        assert upstreams.breakers() == {"t": "open"}


async def test_a_gzip_bomb_is_passed_on_as_small_as_it_came(kind):
    async with upstream(sim.gzip_bomb()) as up, reaching(up.url, transport=kind) as (upstreams, tool):
        tracemalloc.start()
        answer = await forward(upstreams, grant(tool, headers=(("accept-encoding", "gzip"),)))
        size = len(await whole(answer))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert size < 100_000
        assert peak < 4_000_000
        assert dict(answer.headers)["content-encoding"] == "gzip"


# the credential


async def test_an_echo_of_the_credential_is_covered_in_headers_and_body(kind, tmp_path):
    echoes: list = []
    async with upstream(sim.raw(sim.answer(200, SECRET.encode(), f"ETag: {SECRET}"))) as up:
        async with reaching(up.url, transport=kind, echoes=echoes, credential="c") as (upstreams, tool):
            answer = await forward(upstreams, grant(tool, tmp_path, secret=SECRET))
            assert up.seen[0].header("x-api-key") == SECRET
            assert await whole(answer) == b"*" * len(SECRET)
            assert dict(answer.headers)["etag"] == "*" * len(SECRET)
            assert echoes


async def test_an_echo_across_the_parts_of_a_stream_is_covered(kind, tmp_path):
    echoes: list = []
    parts = [b"data: " + SECRET[:9].encode(), SECRET[9:].encode() + b"\n\n"]
    async with upstream(sim.pieces(*parts)) as up, reaching(up.url, transport=kind, echoes=echoes, credential="c") as (upstreams, tool):
        answer = await forward(upstreams, grant(tool, tmp_path, secret=SECRET))
        assert await whole(answer) == b"data: " + b"*" * len(SECRET) + b"\n\n"
        assert echoes == [1]


async def test_a_compressed_answer_to_a_call_with_a_credential_is_refused_since_an_echo_could_hide_in_it(kind, tmp_path):
    async with upstream(sim.gzip_bomb()) as up, reaching(up.url, transport=kind, credential="c") as (upstreams, tool):
        assert (await refuses(upstreams, grant(tool, tmp_path, secret=SECRET))).code == "upstream_invalid"
        assert up.seen[0].header("accept-encoding") == "identity"


async def test_a_redirect_is_not_followed_and_the_credential_stays_where_it_is_bound_to(kind, tmp_path):
    async with upstream(sim.echo) as other, upstream(sim.redirect(other.url + "/steal")) as up:
        async with reaching(up.url, transport=kind, credential="c") as (upstreams, tool):
            answer = await forward(upstreams, grant(tool, tmp_path, secret=SECRET))
            assert (answer.status, dict(answer.headers).get("location"), other.connections) == (302, None, 0)


async def test_a_field_that_would_break_out_of_its_line_is_not_sent(tmp_path):
    async with upstream(sim.echo) as up, reaching(up.url) as (upstreams, tool):
        granted = grant(tool)
        for harmful in (
            replace(granted, headers=(*granted.headers, ("x-a", "b\r\nx-evil: 1"))),
            replace(granted, headers=(*granted.headers, ("x-a", "b\nc"))),
            replace(granted, path="/a HTTP/1.1"),
            replace(granted, query="a b"),
            replace(granted, headers=(*granted.headers, ("x-a", "\xe9"))),
        ):
            assert (await refuses(upstreams, harmful)).code == "internal_error"
        assert up.seen == []


# reload and leaks


async def test_a_reload_keeps_what_did_not_change_and_drains_what_did():
    async with upstream(sim.large_body(500_000)) as one, upstream(sim.ok) as two:
        tools = {"a": ToolSettings("a", one.url), "b": ToolSettings("b", two.url)}
        upstreams = Upstreams.open(tools)
        under_way = await forward(upstreams, grant(tools["a"]))
        await forward(upstreams, grant(tools["b"]))
        changed = {"a": replace(tools["a"], total_timeout_s=9.0), "b": tools["b"]}
        await upstreams.replace(changed)
        assert len(await whole(under_way)) == 500_000
        await forward(upstreams, grant(changed["b"]))
        assert two.connections == 1
        assert len(await whole(await forward(upstreams, grant(changed["a"])))) == 500_000
        assert one.connections == 2
        await upstreams.replace({})
        assert (await refuses(upstreams, grant(tools["a"]))).code == "overloaded"
        async with asyncio.timeout(5):
            while one.open or two.open:
                await asyncio.sleep(0.001)


async def test_a_grant_for_a_place_that_is_no_longer_the_tools_is_not_sent():
    async with upstream(sim.ok) as up, reaching(up.url) as (upstreams, tool):
        moved = replace(grant(tool), port=1)
        assert (await refuses(upstreams, moved)).outcome == "refused"
        assert up.seen == []


@pytest.mark.slow
async def test_thousands_of_calls_cancelled_at_random_instants_lose_no_place_and_no_connection():
    draw = random.Random(11)
    behaviours = [sim.ok, sim.ok, sim.stalls, sim.large_body(200_000), sim.slow_drip, sim.resets, sim.short_body]

    async def any_of(seen, writer):
        await draw.choice(behaviours)(seen, writer)

    async def call(upstreams, granted) -> None:
        answer = await forward(upstreams, granted)
        if not isinstance(answer.body, bytes):
            try:
                async for _ in answer.body:
                    pass
            finally:
                await answer.body.aclose()

    limits = {"connections_max": 8, "in_flight_max": 8, "queue_timeout_s": 0.005, "breaker_calls_min": 10**9}
    async with upstream(any_of) as up, reaching(up.url, **limits) as (upstreams, tool):
        granted = grant(tool)
        for _ in range(200):
            tasks = [asyncio.create_task(call(upstreams, granted)) for _ in range(10)]
            for _ in range(draw.randrange(30)):
                await asyncio.sleep(0)
            if draw.random() < 0.1:
                await asyncio.sleep(draw.random() / 200)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        behaviours[:] = [sim.ok]
        answers = await asyncio.gather(*(forward(upstreams, grant(tool)) for _ in range(6)))  # all places that one agent may hold at once
        assert [a.status for a in answers] == [200] * 6
        inner = upstreams._upstreams["t"]
        assert inner.bulkhead.taken == 0
        assert inner.transport.pool.size <= 8
