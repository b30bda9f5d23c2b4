"""What an agent, its tool or a stranger tries against the whole gateway, from the bytes to the log. Each test shows the promise kept."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.call import ToolCall
from gateway.config.addresses import is_refused
from gateway.config.kinds import Fault, tool_url
from gateway.secret import Secret
from tests.journeys.place import UPSTREAM_KEY, Place, records, running, token_of, verified, write_place
from tests.simulators import upstreams
from tests.simulators.upstreams import echo, upstream


class Whole:
    """A request body that is here already."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.length: int | None = len(data)

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._data:
            yield self._data


def call(folder: Path, method: str, path: str, body: bytes = b"", *, tool: str = "notes", number: int = 0) -> ToolCall:
    headers = (("host", "gateway.test"), ("content-type", "application/json"))
    return ToolCall(f"{number:032x}", "http", tool, method, path, "", headers, Secret(token_of(folder)), Whole(body), "192.0.2.1")


async def quiet(place: Place) -> None:
    """Wait until nothing runs any more; fails when a place in flight stays taken."""
    async with asyncio.timeout(5):
        while place.gateway.pipeline.gatherer.in_flight:
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("tool", "method", "path", "body"),
    [
        ("notes", "GET", "/notes/1", b""),
        ("notes", "POST", "/notes", b'{"text":"x"}'),
        ("notes", "POST", "/notes", b'{"text":"x","stars":9}'),
    ],
    ids=["read", "write", "denied"],
)
async def test_a_client_that_leaves_at_any_moment_keeps_no_place_and_leaves_no_call_open(tmp_path, tool, method, path, body):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            handle = place.gateway.pipeline.handle
            for turns in (*range(0, 60, 3), *range(60, 400, 20)):
                task = asyncio.create_task(handle(call(tmp_path, method, path, body, tool=tool, number=turns)))
                for _ in range(turns):
                    await asyncio.sleep(0)
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    answer = await task
                    if hasattr(answer, "body") and not isinstance(answer.body, bytes):
                        await answer.body.aclose()
            await quiet(place)
    allowed = {r["n"] for r in records(tmp_path, "call") if r["authz"] and r["authz"]["decision"] == "allow"}
    ended = [r["call"] for r in records(tmp_path, "result")]
    assert allowed <= set(ended)
    assert len(ended) == len(set(ended)), "one call, one result"
    assert verified(tmp_path).ok


def with_header_parameter(folder: Path, port: int, rest: str = "") -> None:
    """The deployment with an operation whose header decides: production only for those whom a policy lets."""
    write_place(folder, port)
    text = (folder / "gateway.toml").read_text()
    parameter = 'parameters = { id = { type = "string" }, X-Environment = { type = "string", in = "header" } }'
    (folder / "gateway.toml").write_text(text.replace('parameters = { id = { type = "string" } }', parameter) + rest)
    rules = folder / "policies" / "rules.cedar"
    rules.write_text(
        rules.read_text()
        + '@id("test-only") forbid (principal, action == Action::"notes/read_note", resource)'
        + ' unless { context.input has "X-Environment" && context.input["X-Environment"] == "test" };\n'
    )


async def test_a_header_that_policy_decided_on_is_the_header_that_the_tool_gets(tmp_path):
    async with upstream(echo) as up:
        with_header_parameter(tmp_path, up.port)
        async with running(tmp_path) as place:
            allowed = await place.client.get("/tools/notes/notes/1", headers={"X-Environment": "test"})
            named = await place.client.get("/tools/notes/notes/1", headers={"X-Environment": "test", "Connection": "X-Environment"})
            without = await place.client.get("/tools/notes/notes/1")
    assert (allowed.status_code, up.seen[0].header("x-environment")) == (200, "test")
    assert (named.status_code, without.status_code) == (403, 403), "a field that Connection names goes no further, so policy must not see it"
    assert len(up.seen) == 1


async def test_the_pages_that_a_tool_links_to_stay_behind_the_gateway(tmp_path):
    async def pages(seen: upstreams.Seen, writer: asyncio.StreamWriter) -> None:
        here = f"http://{seen.header('host')}"
        link = {
            "/api/notes/1": f'<{here}/api/notes/2>; rel="next", </api/notes/9>; rel="last"',
            "/api/notes/2": "<https://elsewhere.test/steal>; rel=next",
            "/api/notes/3": f"{here}/api/notes/4; rel=next",
        }[seen.target]
        writer.write(upstreams.answer(200, b"{}", f"Link: {link}"))

    async with upstream(pages) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            first = await place.client.get("/tools/notes/notes/1")
            second = await place.client.get(str(first.url.join(first.links["next"]["url"])))
            third = await place.client.get("/tools/notes/notes/3")
    assert first.headers["link"] == '<../notes/2>; rel="next", <../notes/9>; rel="last"'
    assert (second.status_code, up.seen[1].target) == (200, "/api/notes/2")
    assert "link" not in second.headers
    assert "link" not in third.headers


async def echoes_in_ranges(seen: upstreams.Seen, writer: asyncio.StreamWriter) -> None:
    """A debug endpoint that tells the request, behind a server that serves ranges of anything."""
    body = repr(seen.headers).encode()
    asked = seen.header("range")
    if asked is None:
        writer.write(upstreams.answer(200, body))
        return
    first, last = map(int, asked.removeprefix("bytes=").split("-"))
    writer.write(upstreams.answer(206, body[first : last + 1], f"Content-Range: bytes {first}-{last}/{len(body)}"))


async def test_a_credential_cannot_be_read_from_an_echo_in_ranges(tmp_path):
    async with upstream(echoes_in_ranges) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            got = b""
            for at in range(0, 400, 4):
                part = await place.client.get("/tools/notes/notes/1", headers={"range": f"bytes={at}-{at + 3}"})
                got += part.content if part.status_code == 206 else b""
                assert UPSTREAM_KEY not in part.text
            free = await place.client.get("/tools/open/notes/1", headers={"range": "bytes=0-3"})
    assert UPSTREAM_KEY.encode() not in got
    assert free.status_code == 206, "where no credential goes along there is nothing to hide"


async def test_a_second_content_encoding_does_not_hide_the_credential(tmp_path):
    packed = gzip.compress(UPSTREAM_KEY.encode())
    async with upstream(upstreams.raw(upstreams.answer(200, packed, "Content-Encoding: identity", "Content-Encoding: gzip"))) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
    assert (reply.status_code, reply.json()["code"]) == (502, "upstream_invalid")


@pytest.mark.parametrize("escape", ["%2e%2e", ".%2E", "%2E.", "..%2f..%2f", "%5c..%5c"])
async def test_a_redirect_cannot_lead_an_agent_from_one_tool_into_another(tmp_path, escape):
    async with upstream(upstreams.redirect(f"/api/{escape}/{escape}/plain/x")) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
    assert reply.status_code == 302
    assert "location" not in reply.headers


async def test_the_body_of_an_answer_to_head_is_not_the_answer_to_the_next_call(tmp_path):
    stolen = asyncio.Event()

    async def answers_head_with_a_body(seen: upstreams.Seen, writer: asyncio.StreamWriter) -> None:
        if seen.method == "HEAD":
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(upstreams.POISON))
            await writer.drain()
            asyncio.get_running_loop().call_later(0.1, lambda: (writer.write(upstreams.POISON), stolen.set()))
        else:
            await stolen.wait()
            await echo(seen, writer)

    async with upstream(answers_head_with_a_body) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            head = await place.client.head("/tools/notes/notes/1")
            reply = await place.client.get("/tools/notes/notes/2")
    assert head.status_code == 200
    assert reply.json()["target"] == "/api/notes/2"


async def test_a_comment_in_the_settings_does_not_close_a_breaker_or_a_connection(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            await place.client.get("/tools/notes/notes/1")
            upstreams_before = dict(place.gateway.pipeline.upstreams._upstreams)
            text = (tmp_path / "gateway.toml").read_text()
            (tmp_path / "gateway.toml").write_text("# a comment moves every line\n" + text.replace('name = "journey"', 'name = "renamed"'))
            assert await place.gateway.reload()
            await place.client.get("/tools/notes/notes/1")
            assert place.gateway.pipeline.upstreams._upstreams == upstreams_before
    assert up.connections == 1


async def test_a_flood_of_refusals_is_summed_up_however_many_samples_were_asked_for(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, limits="refusals_sampled_per_window = 10000\nrefusal_window_s = 3600")
        async with running(tmp_path) as place:
            for _ in range(300):
                await place.client.get("/tools/" + "n" * 60 + "/x", headers={"authorization": "Bearer x.y.z"})
            await place.gateway.pipeline.summary.close()
            summary = (await place.settled("refusals", 1))[0]
    assert summary["total"] == 300


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "fe80::1",
        "fd00:ec2::254",
        "64:ff9b::a9fe:a9fe",
        "::ffff:169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
    ],
)
def test_a_tools_name_that_is_pointed_at_a_metadata_service_is_not_called(address):
    assert is_refused(address)  # the rule alone: a test that dials would call it on the day the rule breaks
    with pytest.raises(Fault):
        tool_url(f"http://[{address}]" if ":" in address else f"http://{address}")
