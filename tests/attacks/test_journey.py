"""What an agent, its tool or a stranger tries against the whole gateway, from the bytes to the log. Each test shows the promise kept."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.call import ToolCall
from gateway.cli.main import app
from gateway.config.addresses import is_refused
from gateway.config.kinds import Fault, tool_url
from gateway.errors import Refusal
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


async def raw_answer(place: Place, data: bytes) -> bytes:
    """What comes back on one connection until the gateway closes it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    writer.write(data)
    try:
        async with asyncio.timeout(10):
            return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


def request(line: str, *fields: str, token: str = "", body: bytes = b"") -> bytes:
    lines = [f"{line} HTTP/1.1", "Host: localhost", *fields]
    lines += [f"Authorization: Bearer {token}"] if token else []
    lines += [f"Content-Length: {len(body)}"] if body else []
    return "\r\n".join([*lines, "", ""]).encode() + body


WRITE = '@id("anything") permit (principal in AgentGroup::"writers", action, resource);\n'


def let_everything(folder: Path) -> None:
    """Policies that allow the agent all that has a name, so that only the gateway itself stands in the way."""
    (folder / "policies" / "rules.cedar").write_text(WRITE)


PATHS = [
    "/notes/..%2fadmin",
    "/notes/%2e%2e/admin",
    "/notes/../admin",
    "/notes/..;/admin",
    "/notes//admin",
    "/notes/%5c..%5cadmin",
    "/notes/%252e%252e/admin",
    "/notes/1%00",
    "/notes/1%0d%0aX:%20y",
    "/notes/%ef%bc%8e%ef%bc%8e/admin",
    "/notes/1%3fadmin=1",
    "/notes/1%23",
    "/notes/1.",
    "/notes/%c0%ae%c0%ae/admin",
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("tool", ["notes", "plain"])
async def test_a_path_with_a_second_reading_goes_nowhere(tmp_path, path, tool):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        let_everything(tmp_path)
        async with running(tmp_path) as place:
            said = await raw_answer(place, request(f"GET /tools/{tool}{path}", "Connection: close", token=token_of(tmp_path)))
    assert said.split(b" ")[1] == b"400"
    assert up.seen == []


@pytest.mark.parametrize(
    ("sent", "arrives"),
    [
        (b'{"text":"a","stars":5}', b'{"text":"a","stars":5}'),
        (b'{ "text" : "\\u0061\\/" , "stars" : 5 }', b'{"text":"a/","stars":5}'),
        (b'{"text":"a","stars":-0}', b'{"text":"a","stars":0}'),
    ],
)
async def test_the_bytes_that_arrive_are_those_of_the_form_that_was_judged(tmp_path, sent, arrives):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            fields = {"content-type": "Application/JSON; Charset=UTF-8"}
            reply = await place.client.post("/tools/notes/notes", content=sent, headers=fields)
    assert (reply.status_code, up.seen[0].body, up.seen[0].header("content-type")) == (200, arrives, "application/json")


@pytest.mark.parametrize(
    "sent",
    [
        b'{"text":"a","stars":5e0}',
        b'{"text":"a","stars":5.0}',
        b'{"text":"a","stars":4.9999999999999999999}',
        b'{"text":"a","stars":1e400}',
        b'{"text":"a","stars":18446744073709551617}',
        b'{"text":"a","stars":"5"}',
        b'{"text":"a","stars":[5]}',
        b'{"text":"a","stars":6,"stars":5}',
        b'{"text":"a","stars":6,"st\\u0061rs":5}',
        b'{"text":"a","Stars":6}',
        b'{"text":"a","st\xc4\xb1rs":6}',
        b'{"text":"a","stars ":6}',
        b'{"text":"a","__proto__":{"stars":6}}',
        b'{"text":"a","stars":5}{"stars":6}',
        b'\xef\xbb\xbf{"text":"a","stars":6}',
        '{"text":"a","stars":6}'.encode("utf-16"),
        b'{"text":"\\ud800","stars":5}',
        b'[{"text":"a","stars":6}]',
    ],
)
async def test_a_body_in_which_the_tool_might_read_another_number_goes_nowhere(tmp_path, sent):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.post("/tools/notes/notes", content=sent, headers={"content-type": "application/json"})
    assert reply.status_code in {400, 403, 422}
    assert up.seen == []


SLY = [
    "X-HTTP-Method-Override: DELETE",
    "X-HTTP-Method: DELETE",
    "X-Method-Override: DELETE",
    "X-Original-URL: /admin",
    "X-Rewrite-URL: /admin",
    "X-Forwarded-For: 127.0.0.1",
    "X-Forwarded-Host: evil.test",
    "X-Forwarded-Prefix: /admin",
    "Forwarded: for=127.0.0.1",
    "X-Real-IP: 127.0.0.1",
    "X-Api-Key: mine",
    "Cookie: session=1",
    "Proxy-Authorization: Basic eDp5",
    "Via: 1.1 x",
    "TE: trailers",
    "Upgrade: h2c",
    "HTTP2-Settings: AAMAAABkAAQAAP__",
    "Expect: 100-continue",
    "Keep-Alive: timeout=9",
    "Accept-Encoding: br",
    "Portreeve-Decision: forged",
    "X-Amz-Security-Token: x",
    "X-Remote-User: root",
    "X-Anything: x",
    "Connection: close, X-Api-Key, Host, Content-Length, Content-Type, Authorization, Accept-Encoding",
]


async def test_no_field_of_an_agent_changes_who_asks_what_of_the_tool(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            said = await raw_answer(place, request("GET /tools/notes/notes/1", *SLY, token=token_of(tmp_path)))
    assert b" 200 " in said.split(b"\r\n")[0] or b"HTTP/1.1 200" in said
    seen = up.seen[0]
    assert (seen.method, seen.target) == ("GET", "/api/notes/1")
    assert dict(seen.headers) == {"host": f"127.0.0.1:{up.port}", "accept-encoding": "identity", "x-api-key": UPSTREAM_KEY}
    assert len(seen.headers) == 3


async def test_two_tokens_are_nobodys_and_no_token_reaches_a_tool(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, tool='token_header = "X-Agent"\nrequest_headers = ["X-Other"]')
        token, other = token_of(tmp_path), token_of(tmp_path, "stranger")
        async with running(tmp_path) as place:
            two = await raw_answer(place, request("GET /tools/notes/notes/1", f"X-Agent: {other}", "Connection: close", token=token))
            twice = await raw_answer(place, request("GET /tools/notes/notes/1", f"Authorization: Bearer {other}", "Connection: close", token=token))
            assert [a.split(b" ")[1] for a in (two, twice)] == [b"400"] * 2
            assert up.seen == []
            for fields in ((f"X-Agent: {token}",), (f"X-Agent: Bearer {token}", f"Authorization: token {token}")):
                said = await raw_answer(place, request("GET /tools/notes/notes/1", *fields, "X-Other: 1", "Connection: close"))
                assert b"HTTP/1.1 200" in said
    for seen in up.seen:
        assert token not in str(seen)
        assert seen.header("x-other") == "1"


async def test_what_a_tool_says_about_logins_protocols_and_cookies_stays_with_the_gateway(tmp_path):
    fields = [
        'WWW-Authenticate: Bearer realm="x"',
        "Set-Cookie: a=b",
        'Alt-Svc: h3=":443"',
        "Strict-Transport-Security: max-age=1",
        "Portreeve-Decision: forged#1;00",
        "Portreeve-Call: forged",
        "Refresh: 0; url=https://elsewhere.test",
        "Content-Location: https://elsewhere.test",
        "Proxy-Authenticate: Basic",
        "Server: tool",
        "Connection: Content-Type, x",
        "Clear-Site-Data: *",
        "Access-Control-Allow-Origin: *",
    ]
    async with upstream(upstreams.raw(upstreams.answer(401, b"no", *fields))) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
    assert (reply.status_code, reply.content) == (401, b"no")
    assert set(reply.headers) == {"date", "content-length", "portreeve-decision", "portreeve-call"}
    assert "forged" not in str(reply.headers)


@pytest.mark.parametrize("method", ["HEAD", "GET"])
@pytest.mark.parametrize("token", [True, False])
async def test_an_answer_without_a_body_leaves_the_connection_in_step(tmp_path, method, token):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        given = token_of(tmp_path) if token else ""
        async with running(tmp_path) as place:
            first = request(f"{method} /tools/notes/notes/1", token=given)
            second = request("GET /tools/nowhere/x", "Connection: close", token=given)
            said = await raw_answer(place, first + second)
    heads = [part for part in said.split(b"\r\n\r\n") if b"HTTP/1.1 " in part]
    assert said.count(b"HTTP/1.1 ") == 2 == len(heads)
    if method == "HEAD":
        assert heads[1].startswith(b"HTTP/1.1 "), "no body stands between the two answers"


@pytest.mark.parametrize("status", [204, 304])
async def test_a_body_where_there_is_none_never_reaches_another_agent(tmp_path, status):
    poisoned = b"HTTP/1.1 %d X\r\nContent-Type: a/b\r\n\r\n" % status + upstreams.POISON
    async with upstream(upstreams.raw(poisoned)) as up:
        write_place(tmp_path, up.port, tool="retries_max = 0")
        async with running(tmp_path) as place:
            replies = [await place.client.get(f"/tools/notes/notes/{n}") for n in range(4)]
    assert b"poison" not in b"".join(r.content for r in replies)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "POST", "PURGE"])
@pytest.mark.parametrize("fault", [503, 0])
async def test_a_write_without_a_contract_is_sent_once(tmp_path, method, fault):
    async with upstream(upstreams.flaky(1, fault)) as up:
        write_place(tmp_path, up.port)
        let_everything(tmp_path)
        async with running(tmp_path) as place:
            reply = await place.client.request(method, "/tools/plain/x", content=b"1")
            result = (await place.settled("result", 1))[0]
    assert reply.status_code in {502, 503}
    assert len(up.seen) == 1
    assert result["status"] == ("error" if fault else "unknown")


async def test_a_write_on_a_connection_that_the_tool_just_closed_is_sent_once_or_not_at_all(tmp_path):
    async with upstream(upstreams.closes_on_reuse()) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            replies = [await place.client.post("/tools/notes/notes", json={"text": str(n)}) for n in range(4)]
            results = await place.settled("result", 4)
    bodies = [s.body for s in up.seen]
    assert len(bodies) == len(set(bodies)) == 4
    assert [r["status"] for r in results] == ["ok" if reply.status_code == 200 else "unknown" for reply in replies]


async def test_a_method_or_slash_that_the_contract_does_not_know_is_not_the_operation(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            for method, path in [
                ("DELETE", "/notes/1"),
                ("OPTIONS", "/notes/1"),
                ("GET", "/notes/1/"),
                ("GET", "/Notes/1"),
                ("POST", "/notes/"),
                ("PUT", "/notes"),
                ("GET", "/"),
            ]:
                reply = await place.client.request(method, f"/tools/notes{path}")
                assert (reply.status_code, reply.json()["code"]) == (403, "denied")
            for line in ("get /tools/notes/notes/1", "Get /tools/notes/notes/1", "GET\t/tools/notes/notes/1"):
                assert (await raw_answer(place, request(line, token=token_of(tmp_path)))).split(b" ")[1] == b"400"
    assert up.seen == []


@pytest.mark.parametrize("query", ["id=2", "?", "x", "a=1&a=2", "id[]=2", "ID=2", "%69d=2", "a;id=2"])
async def test_a_query_that_the_contract_does_not_know_goes_nowhere(tmp_path, query):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            said = await raw_answer(place, request(f"GET /tools/notes/notes/1?{query}", "Connection: close", token=token_of(tmp_path)))
    assert said.split(b" ")[1] in {b"400", b"422"}
    assert up.seen == []


async def test_what_an_agent_writes_breaks_no_line_of_the_log_and_moves_no_cursor(tmp_path):
    text = 'x\n{"n":0,"k":"call"}\r\n\x1b]0;owned\x07\x1b[2J\u009b2J\u202e\u2028'
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            assert (await place.client.post("/tools/notes/notes", json={"text": text})).status_code == 200
            number = int((await place.settled("call", 1))[0]["n"])
    assert verified(tmp_path).ok
    assert records(tmp_path, "call")[0]["authz"]["ctx"]["input"]["text"] == text
    for arguments in (["show", str(number)], ["explain", str(number)], ["explain", str(number), "--json"], ["tail"]):
        done = CliRunner().invoke(app, ["log", *arguments, "--folder", str(tmp_path)])
        assert done.exit_code == 0
        assert [c for c in done.output if c != "\n" and not c.isprintable()] == [], arguments


async def test_no_reason_that_a_stranger_can_think_of_makes_a_summary_too_long(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, limits="refusals_sampled_per_window = 10000\nrefusal_window_s = 3600")
        async with running(tmp_path) as place:
            summary = place.gateway.pipeline.summary
            for number in range(2_000):
                code = ("invalid_token", "unknown_tool", "malformed_request")[number % 3]
                summary.add(Refusal(code, reason=f"{number}" + "\U0001f600" * 300), peer="2001:db8::" + "f" * 30)
            await summary.close()
            record = (await place.settled("refusals", 1))[0]
    assert record["total"] == sum(record["by"].values()) == 2_000
    assert len(record["by"]) < 100


async def test_a_call_under_way_while_its_tool_moves_takes_no_credential_to_another_host(tmp_path):
    async with upstream(echo) as one, upstream(echo) as other:
        write_place(tmp_path, one.port)
        text = (tmp_path / "gateway.toml").read_text()
        moved = text.replace(f":{one.port}/api", f":{other.port}/v2").replace('credential = "notes-key"', 'credential = "other-key"', 1)
        moved += f'[credential.other-key]\nsecret = "file:other.key"\nheader = "X-Api-Key"\nhosts = ["127.0.0.1:{other.port}"]\n'
        (tmp_path / "other.key").touch(0o600)
        (tmp_path / "other.key").write_text("CANARY-other-key-77aa\n")
        async with running(tmp_path) as place:
            over = asyncio.Event()

            async def calls(number: int) -> set[int]:
                codes = set()
                while not over.is_set():
                    codes.add((await place.client.get(f"/tools/notes/notes/{number}")).status_code)
                return codes

            callers = [asyncio.create_task(calls(n)) for n in range(6)]
            for settings in (moved, text, moved, text):
                (tmp_path / "gateway.toml").write_text(settings)
                await asyncio.sleep(0.05)
                assert await place.gateway.reload()
            over.set()
            codes = set().union(*await asyncio.gather(*callers))
            await quiet(place)
    assert codes <= {200, 503}
    assert one.seen
    assert other.seen
    assert {s.header("x-api-key") for s in one.seen} == {UPSTREAM_KEY}
    assert {s.header("x-api-key") for s in other.seen} == {"CANARY-other-key-77aa"}
    assert all(s.target.startswith("/api/notes/") for s in one.seen)
    assert all(s.target.startswith("/v2/notes/") for s in other.seen)
    assert verified(tmp_path).ok


async def test_a_key_that_others_may_read_is_not_used_and_one_behind_a_link_is_judged_by_its_file(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        (tmp_path / "notes.key").rename(tmp_path / "open.key")
        (tmp_path / "open.key").chmod(0o644)
        (tmp_path / "notes.key").symlink_to("open.key")
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
    assert (reply.status_code, reply.json()["code"]) == (503, "credential_unavailable")
    assert up.seen == []


async def test_agents_do_not_reach_what_is_the_operators(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            for path in ("/metrics", "/readyz", "/healthz", "/access/v1/evaluation", "/tools/../metrics", "//metrics", "/.well-known/../metrics"):
                said = await raw_answer(place, request(f"GET {path}", "Connection: close", token=token_of(tmp_path)))
                assert said.split(b" ")[1] in {b"400", b"404"}, path
                assert b"portreeve_" not in said
            said = await raw_answer(place, request("GET /tools/notes/notes/1", "Connection: close").replace(b"localhost", b"evil.test"))
    assert said.split(b" ")[1] == b"421"
