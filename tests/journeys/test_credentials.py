"""Credentials that a service hands out, on whole journeys: fetched after the record, once, anew when a tool will not have them, and harming nobody."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import AsyncIterator, Callable

from gateway.cli.kill import What, kill
from gateway.identities.model import end_of
from tests.journeys.place import AGENT, Clock, Place, client_of, records, running, token_of, write_place
from tests.simulators.token_endpoint import CLIENT_SECRET, TokenEndpoint
from tests.simulators.upstreams import Seen, answer, upstream

MORE = """
[tool.crm]
url = "http://127.0.0.1:{port}/crm"
credential = "crm"
retries_max = 0
in_flight_max = 256
connections_max = 256
[tool.crm.operation.read_note]
method = "GET"
path = "/notes/{{id}}"
effect = "read"
parameters = {{ id = {{ type = "string" }} }}
[tool.crm.operation.write_note]
method = "POST"
path = "/notes"
effect = "write"
body = {{ type = "object", properties = {{ text = {{ type = "string" }} }} }}
[credential.crm]
header = "Authorization"
format = "Bearer {{secret}}"
hosts = ["127.0.0.1:{port}"]
[credential.crm.oauth2]
token_url = "http://127.0.0.1:{tokens}/token"
revocation_url = "http://127.0.0.1:{tokens}/revoke"
client_id = "gateway"
client_secret = "file:client.key"
timeout_s = 10
"""
RULES = '@id("all") permit (principal, action == Action::"crm/read_note", resource);\n@id("writes") permit (principal in AgentGroup::"writers", action == Action::"crm/write_note", resource);\n'


class Tool:
    """Takes the tokens it is told to; answers 401 to others."""

    def __init__(self) -> None:
        self.refused: set[str] = set()
        self.seen: list[str] = []

    async def __call__(self, seen: Seen, writer: asyncio.StreamWriter) -> None:
        given = (seen.header("authorization") or "").removeprefix("Bearer ")
        self.seen.append(given)
        writer.write(answer(401 if given in self.refused else 200))


@contextlib.asynccontextmanager
async def world(
    folder, endpoint: TokenEndpoint, tool: Tool, *, limits: str = "", expires: str = "", now: Callable[[], float] = time.time
) -> AsyncIterator[Place]:
    async with upstream(tool) as up, upstream(endpoint) as tokens:
        write_place(folder, up.port, limits=limits)
        with (folder / "gateway.toml").open("a") as settings:
            settings.write(MORE.format(port=up.port, tokens=tokens.port))
        (folder / "policies" / "crm.cedar").write_text(RULES)
        (folder / "client.key").touch(0o600)
        (folder / "client.key").write_text(CLIENT_SECRET)
        with (folder / "identities" / "agents" / "writer.toml").open("a") as agent:
            agent.write(expires)
        async with running(folder, now) as place:
            yield place


async def test_two_hundred_first_calls_make_one_token_request_after_their_records(tmp_path):
    endpoint, tool = TokenEndpoint(gate=asyncio.Event()), Tool()
    async with world(tmp_path, endpoint, tool, limits="in_flight_per_agent_max = 300") as place:
        async with client_of(place.gateway.addresses["agents"], token_of(tmp_path)) as other:  # a client makes a hundred connections at most
            calls = [asyncio.create_task(client.get(f"/tools/crm/notes/{n}")) for n in range(100) for client in (place.client, other)]
            await place.settled("call", 200)
            assert tool.seen == []
            endpoint.gate.set()
            assert {reply.status_code for reply in await asyncio.gather(*calls)} == {200}
        results = await place.settled("result", 200)
        page = (await asyncio.to_thread(_metrics, place)).decode()
    assert len(endpoint.asked) == 1
    assert set(tool.seen) == {"CANARY-access-token-1"}
    [use] = {str(record["cred"]) for record in results}
    assert "'name': 'crm', 'kind': 'oauth2', 'fp'" in use and "scope" in use
    assert 'portreeve_credential_fetches_total{credential="crm",result="ok"} 1.0' in page


def _metrics(place: Place) -> bytes:
    return place.gateway.pipeline.metrics.text()


async def test_a_call_that_is_denied_fetches_nothing(tmp_path):
    endpoint = TokenEndpoint()
    async with world(tmp_path, endpoint, Tool()) as place, client_of(place.gateway.addresses["agents"], token_of(tmp_path, "stranger")) as stranger:
        assert (await stranger.post("/tools/crm/notes", json={})).status_code == 403
    assert endpoint.asked == []


async def test_a_token_that_the_tool_will_not_have_is_fetched_anew_once_for_what_may_be_repeated(tmp_path):
    endpoint, tool = TokenEndpoint(), Tool()
    tool.refused = {"CANARY-access-token-1"}
    async with world(tmp_path, endpoint, tool) as place:
        assert (await place.client.get("/tools/crm/notes/1")).status_code == 200
        assert tool.seen == ["CANARY-access-token-1", "CANARY-access-token-2"]
        [result] = await place.settled("result", 1)
        assert [attempt["s"] for attempt in result["tries"]] == ["401", "200"]
        tool.refused = {"CANARY-access-token-2"}
        assert (await place.client.get("/tools/crm/notes/1")).status_code == 401, "not for every call"
        assert len(endpoint.asked) == 2


async def test_a_write_is_never_sent_twice_for_a_token(tmp_path):
    endpoint, tool = TokenEndpoint(), Tool()
    tool.refused = {"CANARY-access-token-1"}
    async with world(tmp_path, endpoint, tool) as place:
        assert (await place.client.post("/tools/crm/notes", json={"text": "x"})).status_code == 401
    assert tool.seen == ["CANARY-access-token-1"]


async def test_a_token_endpoint_that_does_not_answer_harms_no_other_tool(tmp_path):
    endpoint, tool = TokenEndpoint(gate=asyncio.Event()), Tool()
    async with world(tmp_path, endpoint, tool) as place:
        waiting = [asyncio.create_task(place.client.get(f"/tools/crm/notes/{n}")) for n in range(100)]
        await place.settled("call", 100)
        async with client_of(place.gateway.addresses["agents"], token_of(tmp_path)) as client:
            others = [await client.get(f"/tools/notes/notes/{n}") for n in range(20)]
        assert {reply.status_code for reply in others} == {200}
        assert not any(call.done() for call in waiting)
        endpoint.status = 503
        endpoint.gate.set()
        assert {reply.status_code for reply in await asyncio.gather(*waiting)} == {503}
        assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
    assert len(endpoint.asked) == 1
    assert {record["code"] for record in records(tmp_path, "result") if record["status"] == "refused"} == {"credential_unavailable"}


async def test_a_reload_keeps_what_was_fetched_and_a_kill_ends_it(tmp_path):
    endpoint, tool = TokenEndpoint(), Tool()
    async with world(tmp_path, endpoint, tool) as place:
        await place.client.get("/tools/crm/notes/1")
        (tmp_path / "policies" / "more.cedar").write_text('@id("more") permit (principal, action == Action::"open/write", resource);\n')
        assert await place.gateway.reload()
        await place.client.get("/tools/crm/notes/1")
        assert len(endpoint.asked) == 1
        await asyncio.to_thread(kill, What.agent, "writer", why="a test", folder=tmp_path)
        assert place.gateway.pipeline.state.credentials.revoke("agent", "writer") == 0, "nothing was left of it when the kill was acknowledged"


async def test_a_kill_is_acknowledged_before_the_agents_token_is_ended_at_its_service(tmp_path):
    endpoint = TokenEndpoint(ending=asyncio.Event())
    async with world(tmp_path, endpoint, Tool()) as place:
        await place.client.get("/tools/crm/notes/1")
        await asyncio.to_thread(kill, What.agent, "writer", why="a test", folder=tmp_path)
        assert endpoint.revoked == []
        assert (await place.client.get("/tools/crm/notes/1")).status_code == 403
        endpoint.ending.set()
        await until(lambda: endpoint.revoked == ["CANARY-access-token-1"])
        assert 'portreeve_credential_revocations_total{credential="crm",result="ok"} 1.0' in _metrics(place).decode()


async def test_a_token_that_cannot_be_ended_is_told_without_it_and_counted(tmp_path):
    endpoint = TokenEndpoint(ends=503)
    async with world(tmp_path, endpoint, Tool()) as place:
        await place.client.get("/tools/crm/notes/1")
        await asyncio.to_thread(kill, What.agent, "writer", why="a test", folder=tmp_path)
        await until(lambda: 'portreeve_credential_revocations_total{credential="crm",result="failed"} 1.0' in _metrics(place).decode())
        [line] = [line for line in place.said if "could not be ended" in line]
        assert "crm" in line and "503" in line and "CANARY" not in line


async def test_the_gateways_end_ends_every_token_that_it_was_given(tmp_path):
    endpoint = TokenEndpoint()
    async with world(tmp_path, endpoint, Tool()) as place:
        await place.client.get("/tools/crm/notes/1")
        assert endpoint.revoked == []
    assert endpoint.revoked == ["CANARY-access-token-1"]


async def test_a_credential_that_a_reload_takes_out_serves_the_calls_on_their_way_and_is_ended_after(tmp_path):
    endpoint, tool = TokenEndpoint(), Tool()
    async with world(tmp_path, endpoint, tool) as place:
        await place.client.get("/tools/crm/notes/1")
        settings = tmp_path / "gateway.toml"
        settings.write_text(settings.read_text().replace('client_id = "gateway"', 'client_id = "gateway"\nscopes = ["crm.read"]'))
        assert await place.gateway.reload()
        assert endpoint.revoked == [], "calls may be on their way with it"
        await place.client.get("/tools/crm/notes/1")
        assert [form.get("scope") for form in endpoint.asked] == [None, "crm.read"]
        await asyncio.to_thread(kill, What.agent, "writer", why="a test", folder=tmp_path)
        await until(lambda: sorted(endpoint.revoked) == ["CANARY-access-token-1", "CANARY-access-token-2"])
    assert len(endpoint.revoked) == 2, "each once"


async def test_what_a_reload_took_out_is_ended_when_the_gateway_ends(tmp_path):
    endpoint = TokenEndpoint()
    async with world(tmp_path, endpoint, Tool()) as place:
        await place.client.get("/tools/crm/notes/1")
        settings = tmp_path / "gateway.toml"
        settings.write_text(settings.read_text().replace('client_id = "gateway"', 'client_id = "gateway"\nscopes = ["crm.read"]'))
        assert await place.gateway.reload()
    assert endpoint.revoked == ["CANARY-access-token-1"]


async def test_the_token_of_an_agent_that_lapses_is_ended(tmp_path):
    day = dt.date(2026, 1, 31)
    clock = Clock(end_of(day) - 0.5)
    endpoint = TokenEndpoint()
    async with world(tmp_path, endpoint, Tool(), expires=f"expires = {day}\n", now=clock) as place:
        assert (await place.client.get("/tools/crm/notes/1")).status_code == 200
        assert endpoint.revoked == []
        clock.go()
        await until(lambda: endpoint.revoked == ["CANARY-access-token-1"])


async def test_the_token_of_an_agent_that_its_file_suspends_is_ended(tmp_path):
    endpoint = TokenEndpoint()
    async with world(tmp_path, endpoint, Tool()) as place:
        await place.client.get("/tools/crm/notes/1")
        (tmp_path / "identities" / "agents" / "writer.toml").write_text(AGENT.format(id="writer", groups="[]") + 'status = "suspended"\n')
        assert await place.gateway.reload()
        await until(lambda: endpoint.revoked == ["CANARY-access-token-1"])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)
