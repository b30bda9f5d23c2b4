"""What goes wrong upstream, at the client, in the deployment: each ends in a clear answer and a true record."""

import asyncio
import contextlib

import httpx2
import pytest

from tests.journeys.place import UPSTREAM_KEY, records, running, token_of, verified, write_place
from tests.simulators import upstreams
from tests.simulators.upstreams import answer, echo, pieces, raw, upstream


async def outcome(place) -> dict:
    return (await place.settled("result", 1))[0]


@pytest.mark.parametrize(
    ("behaviour", "status", "code"),
    [
        (upstreams.garbage, 502, "upstream_invalid"),
        (upstreams.status_999, 502, "upstream_invalid"),
        (upstreams.content_length_and_chunked, 502, "upstream_invalid"),
        (upstreams.many_headers, 502, "upstream_invalid"),
        (upstreams.many_interim, 502, "upstream_invalid"),
        (upstreams.resets, 502, "upstream_broken"),
        (upstreams.stalls, 504, "upstream_timeout"),
    ],
    ids=["garbage", "status 999", "two framings", "5000 headers", "200 interim answers", "reset", "stall"],
)
async def test_an_upstream_that_misbehaves_before_its_answer_is_named_and_a_write_is_then_unknown(tmp_path, behaviour, status, code):
    async with upstream(behaviour) as up:
        write_place(tmp_path, up.port, tool="read_timeout_s = 0.3\ntotal_timeout_s = 2\nretries_max = 0")
        async with running(tmp_path) as place:
            read = await place.client.get("/tools/notes/notes/1")
            write = await place.client.post("/tools/notes/notes", json={"text": "x"})
            assert [(a.status_code, a.json()["code"]) for a in (read, write)] == [(status, code)] * 2
            results = await place.settled("result", 2)
    assert results[1]["status"] == "unknown"
    assert results[0]["status"] in {"error", "timeout"}
    assert {r["code"] for r in results} == {code}
    assert len([s for s in up.seen if s.method == "POST"]) == 1, "a write is never sent twice"


async def test_a_tool_that_cannot_be_reached_was_sent_nothing(tmp_path):
    write_place(tmp_path, 1, tool="connect_timeout_s = 0.5\nretries_max = 0")
    async with running(tmp_path) as place:
        reply = await place.client.post("/tools/notes/notes", json={"text": "x"})
        assert (reply.status_code, reply.json()["code"]) == (502, "upstream_unreachable")
        assert (await outcome(place))["status"] == "refused"


async def test_an_answer_that_breaks_in_the_middle_does_not_look_whole(tmp_path):
    async with upstream(upstreams.resets_in_body) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            with pytest.raises(httpx2.HTTPError):
                await place.client.get("/tools/notes/notes/1")
            result = await outcome(place)
    assert (result["status"], result["code"]) == ("error", "upstream_broken")


async def test_a_short_body_does_not_look_whole(tmp_path):
    async with upstream(upstreams.short_body) as up:
        write_place(tmp_path, up.port, tool="retries_max = 0")
        async with running(tmp_path) as place:
            with contextlib.suppress(httpx2.HTTPError):
                assert (await place.client.get("/tools/notes/notes/1")).status_code == 502
            assert (await outcome(place))["status"] == "error"


async def test_an_endless_stream_is_cut_at_its_limit(tmp_path):
    async with upstream(upstreams.endless) as up:
        write_place(tmp_path, up.port, tool="response_bytes_max = 1000000")
        async with running(tmp_path) as place:
            received = 0
            with pytest.raises(httpx2.HTTPError):
                async with place.client.stream("GET", "/tools/notes/notes/1") as reply:
                    async for chunk in reply.aiter_raw():
                        received += len(chunk)
            result = await outcome(place)
    assert received <= 1_000_000
    assert result["status"] == "error"
    assert result["bytes"] <= 1_000_000


async def test_a_redirect_is_not_followed(tmp_path):
    async with upstream(echo) as other, upstream(upstreams.redirect(f"http://127.0.0.1:{other.port}/steal")) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
    assert reply.status_code == 302
    assert "location" not in reply.headers
    assert other.seen == []


async def test_a_gzip_bomb_is_handed_down_as_it_is_and_never_expanded(tmp_path):
    async with upstream(upstreams.gzip_bomb()) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            async with place.client.stream("GET", "/tools/open/bomb", headers={"accept-encoding": "gzip"}) as reply:
                received = sum([len(chunk) async for chunk in reply.aiter_raw()])
            result = await outcome(place)
    assert reply.headers["content-encoding"] == "gzip"
    assert received < 200_000
    assert result["bytes"] == received


async def test_a_coded_answer_that_nobody_asked_for_cannot_hide_the_credential(tmp_path):
    async with upstream(upstreams.gzip_bomb(1000)) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/plain/bomb", headers={"accept-encoding": "gzip"})
    assert (reply.status_code, reply.json()["code"]) == (502, "upstream_invalid")
    assert up.seen[0].header("accept-encoding") == "identity"


async def test_a_credential_that_the_tool_echoes_is_redacted(tmp_path):
    said = f'{{"you sent":"{UPSTREAM_KEY}"}}'.encode()
    async with upstream(raw(answer(200, said, f"X-Debug: {UPSTREAM_KEY}"))) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
    assert UPSTREAM_KEY not in reply.text
    assert UPSTREAM_KEY not in str(reply.headers)
    assert len(reply.content) == len(said)


async def test_a_stream_is_handed_down_as_it_comes_and_its_result_tells_the_bytes(tmp_path):
    async with upstream(pieces(b"one,", b"two,", b"three")) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
            result = await outcome(place)
    assert reply.content == b"one,two,three"
    assert (result["status"], result["bytes"]) == ("ok", 13)


async def test_a_client_that_leaves_in_mid_stream_is_recorded_as_cancelled(tmp_path):
    async with upstream(upstreams.slow_drip) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            async with place.client.stream("GET", "/tools/notes/notes/1") as reply:
                async for _ in reply.aiter_raw():
                    break
            result = await outcome(place)
            async with asyncio.timeout(5):
                while up.open:
                    await asyncio.sleep(0.01)
            assert place.gateway.pipeline.gatherer.in_flight == 0
    assert (result["status"], result["code"]) == ("cancelled", "client_gone")


@pytest.mark.parametrize(("method", "status"), [("GET", "cancelled"), ("POST", "unknown")])
async def test_a_client_that_leaves_before_the_answer_leaves_a_true_record(tmp_path, method, status):
    async with upstream(upstreams.stalls) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            path, body = ("/tools/notes/notes/1", None) if method == "GET" else ("/tools/notes/notes", {"text": "x"})
            with pytest.raises(httpx2.TimeoutException):
                await place.client.request(method, path, json=body, timeout=0.5)
            result = await outcome(place)
            assert place.gateway.pipeline.gatherer.in_flight == 0
    assert (result["status"], result["code"]) == (status, "client_gone")


async def test_a_flaky_read_is_retried_and_every_try_is_in_the_record(tmp_path):
    async with upstream(upstreams.flaky(2)) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
            result = await outcome(place)
    assert reply.status_code == 200
    assert [t["s"] for t in result["tries"]] == ["503", "503", "200"]


async def test_a_write_is_not_retried_once_it_was_sent(tmp_path):
    async with upstream(upstreams.flaky(2)) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.post("/tools/notes/notes", json={"text": "x"})
    assert reply.status_code == 503
    assert "portreeve-decision" in reply.headers
    assert len(up.seen) == 1


async def test_a_dead_tool_opens_its_breaker_and_harms_no_other(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, tool="breaker_calls_min = 3\nretries_max = 0")
        text = (tmp_path / "gateway.toml").read_text()
        dead = '[tool.dead]\nurl = "http://127.0.0.1:1"\nbreaker_calls_min = 3\nretries_max = 0\n'
        (tmp_path / "gateway.toml").write_text(text + dead)
        rules = tmp_path / "policies" / "rules.cedar"
        rules.write_text(rules.read_text() + '@id("dead") permit (principal, action == Action::"dead/read", resource);\n')
        async with running(tmp_path) as place:
            codes = [(await place.client.get("/tools/dead/x")).json()["code"] for _ in range(4)]
            reply = await place.client.get("/tools/dead/x")
            good = await place.client.get("/tools/notes/notes/1")
            ready = place.gateway.readiness()
    assert codes[:3] == ["upstream_unreachable"] * 3
    assert reply.json()["code"] == "circuit_open"
    assert int(reply.headers["retry-after"]) >= 1
    assert good.status_code == 200
    assert ready["breakers"]["dead"] == "open"


async def test_a_missing_credential_is_a_refusal_that_says_nothing_of_it(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            (tmp_path / "notes.key").unlink()
            await asyncio.sleep(1.1)  # the file is looked at once a second
            reply = await place.client.get("/tools/notes/notes/1")
            result = await outcome(place)
    assert (reply.status_code, reply.json()["code"]) == (503, "credential_unavailable")
    assert "notes.key" not in reply.text
    assert result["status"] == "refused"
    assert up.seen == []


async def test_too_large_a_body_is_refused_before_it_is_read(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, limits="json_body_bytes_max = 1000\nbody_bytes_max = 2000")
        async with running(tmp_path) as place:
            parsed = await place.client.post("/tools/notes/notes", json={"text": "x" * 1500})
            streamed = await place.client.post("/tools/plain/up", content=b"x" * 3000)
    assert [(a.status_code, a.json()["code"]) for a in (parsed, streamed)] == [(413, "body_too_large")] * 2
    assert all(s.body == b"" for s in up.seen)


async def test_one_agent_past_its_rate_is_told_when_to_come_back(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, limits="calls_per_minute_per_agent = 2")
        async with running(tmp_path) as place:
            statuses = [(await place.client.get("/tools/notes/notes/1")).status_code for _ in range(3)]
            last = await place.client.get("/tools/notes/notes/1")
    assert statuses == [200, 200, 429]
    assert int(last.headers["retry-after"]) >= 1
    assert len(up.seen) == 2


async def test_a_stop_lets_calls_in_flight_finish_and_closes_the_log(tmp_path):
    async with upstream(pieces(*[b"part"] * 20)) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            call = asyncio.create_task(place.client.get("/tools/notes/notes/1"))
            async with asyncio.timeout(5):
                while not up.seen:
                    await asyncio.sleep(0.005)
            await place.gateway.stop()
            reply = await call
    assert reply.content == b"part" * 20
    assert records(tmp_path)[-1]["k"] == "log.close"
    assert records(tmp_path, "result")[0]["status"] == "ok"
    assert verified(tmp_path).ok


async def test_no_call_keeps_its_place_after_any_of_this(tmp_path):
    async with upstream(upstreams.stalls_in_body) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:

            async def leave() -> None:
                with pytest.raises((httpx2.TimeoutException, httpx2.RemoteProtocolError)):
                    await place.client.get("/tools/notes/notes/1", timeout=0.3)

            await asyncio.gather(*[leave() for _ in range(20)])
            results = await place.settled("result", 20)
            assert place.gateway.pipeline.gatherer.in_flight == 0
    assert {r["status"] for r in results} == {"cancelled"}
    assert token_of(tmp_path) not in str(records(tmp_path))


@pytest.mark.parametrize(("path", "status"), [("/tools/notes/notes", None), ("/tools/plain/up", "unknown")])
async def test_a_client_that_leaves_in_mid_body_leaves_a_true_record(tmp_path, path, status):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            _reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
            head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token_of(tmp_path)}\r\n"
            writer.write(f"{head}Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{".encode())
            await writer.drain()
            async with asyncio.timeout(5):
                while not place.gateway.pipeline.gatherer.in_flight or (status and not records(tmp_path, "call")):
                    await asyncio.sleep(0.01)
                writer.close()
                await writer.wait_closed()
                while place.gateway.pipeline.gatherer.in_flight:
                    await asyncio.sleep(0.01)
            if status:
                assert (await outcome(place))["status"] == status
            assert "internal_error" not in str(records(tmp_path))
    assert all(seen.body == b"" for seen in up.seen)
