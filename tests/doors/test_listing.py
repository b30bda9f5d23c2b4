"""`GET /v1/tools`: each agent sees what it may hope for, by the state in force, and nothing without a valid token."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from gateway.call import Identity
from gateway.doors.listing import Listing
from tests.authorize.world import identity as identity_of
from tests.journeys.place import client_of, records, running, token_of, write_place

PATH = "/v1/tools"


@pytest.fixture
async def place(tmp_path):
    write_place(tmp_path, 1)
    async with running(tmp_path) as found:
        yield found


async def seen(place, agent="writer"):
    async with client_of(place.gateway.addresses["agents"], token_of(place.folder, agent)) as client:
        reply = await client.get(PATH)
    assert reply.status_code == 200
    return reply.json()


async def test_an_agent_sees_its_operations_with_what_they_depend_on(place):
    found = await seen(place)
    assert (found["agent"], found["state"]) == ("writer", place.gateway.pipeline.state.digest)
    assert {tool["name"]: [operation["name"] for operation in tool["operations"]] for tool in found["tools"]} == {
        "notes": ["read_note", "write_note"],
        "open": ["read"],
        "plain": ["read", "write"],
    }
    read, write = found["tools"][0]["operations"]
    assert read == {"name": "read_note", "method": "GET", "path": "/tools/notes/notes/{id}", "effect": "read", "answer": "allow"}
    assert write["answer"] == "depends"
    assert write["depends_on"] == [
        {"effect": "forbid", "says": "At most five stars", "conditions": ["when context.input has stars", "when context.input.stars > 5"]}
    ]


async def test_an_agent_without_permits_sees_nothing(place):
    assert (await seen(place, "stranger"))["tools"] == []


async def test_each_agent_gets_its_own_answer_at_once_and_again(place):
    for _ in range(2):
        one, other = await asyncio.gather(seen(place), seen(place, "stranger"))
        assert (one["agent"], len(one["tools"])) == ("writer", 3)
        assert (other["agent"], len(other["tools"])) == ("stranger", 0)


async def test_an_answer_is_remembered_for_its_caller_not_for_its_agent(place):
    (place.folder / "policies/deep.cedar").write_text('@id("deep") forbid (principal, action, resource) when { context.delegation_depth > 0 };')
    assert await place.gateway.reload()
    state, listing = place.gateway.pipeline.state, Listing()
    plain = Identity("writer", state.settings.url, "agent:writer", "", "", "", 0)
    for identity, tools in ((plain, 3), (replace(plain, actors=("stranger",)), 0), (plain, 3)):
        assert len(json.loads(await listing.answer(state, identity))["tools"]) == tools


async def test_a_new_policy_shows_at_once(place):
    assert len((await seen(place))["tools"]) == 3
    (place.folder / "policies/stop.cedar").write_text('@id("stop") forbid (principal, action, resource == Tool::"notes");')
    assert await place.gateway.reload()
    found = await seen(place)
    assert [tool["name"] for tool in found["tools"]] == ["open", "plain"]
    assert found["state"] == place.gateway.pipeline.state.digest


async def test_who_is_halted_sees_nothing(place):
    place.gateway.trust.halts.halt("agent", "writer", "a test", "uid:0")
    async with client_of(place.gateway.addresses["agents"], token_of(place.folder)) as client:
        reply = await client.get(PATH)
    assert (reply.status_code, reply.json()["code"]) == (403, "halted")
    assert (await seen(place, "stranger"))["tools"] == []


async def test_a_listing_is_no_call(place):
    await seen(place)
    assert records(place.folder, "call") == []
    assert place.gateway.pipeline.gatherer.look(identity_of("writer"), "notes").calls_last_minute == 0
    assert (await place.client.post(PATH)).status_code == 404


async def test_without_a_valid_token_the_answer_is_that_of_a_call_and_is_in_the_summary(place):
    late = token_of(place.folder, age_s=100_000)
    url = place.gateway.addresses["agents"]
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": f"Bearer {late}"}, {"authorization": f"Basic {token_of(place.folder)}"}):
        async with client_of(url, None) as client:
            listing = await client.get(PATH, headers=headers)
            call = await client.get("/tools/notes/notes/1", headers=headers)
        assert listing.status_code == call.status_code == 401
        assert listing.json() | {"call": ""} == call.json() | {"call": ""}
        assert listing.headers["www-authenticate"] == call.headers["www-authenticate"]
    async with asyncio.timeout(10):
        while sum(record["total"] for record in records(place.folder, "refusals")) < 8:
            await asyncio.sleep(0.05)


async def test_a_host_of_somebody_else_is_not_served(place):
    reply = await place.client.get(PATH, headers={"host": "evil.example"})
    assert reply.status_code == 421
