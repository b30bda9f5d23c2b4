"""A forbid stays a forbid through every front end: the door, the decision API alone and in batches, the listing, and the author's tools."""

from __future__ import annotations

import json

from tests.cli.sample import run
from tests.doors.test_access import MANY, ask, decided, question
from tests.journeys.place import client_of, running, token_of, write_place
from tests.simulators.upstreams import echo, upstream

STOPPED = {"text": "hi", "stars": 6}


async def test_a_forbid_stays_a_forbid_through_every_front_end(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        (tmp_path / "policies/wide.cedar").write_text('@id("wide") permit (principal, action == Action::"notes/write_note", resource);')
        async with running(tmp_path) as place:
            call = await place.client.post("/tools/notes/notes", json=STOPPED)
            assert (call.status_code, call.json()["detail"]) == (403, "At most five stars")
            assert (await decided(place, input=STOPPED))["decision"] is False
            batch = {**question(input=STOPPED), "evaluations": [{}, {"context": {"input": {"text": "hi"}}}]}
            answers = (await ask(place, batch, MANY)).json()["evaluations"]
            assert [answer["decision"] for answer in answers] == [False, True]
            async with client_of(place.gateway.addresses["agents"], token_of(place.folder, "writer")) as client:
                tools = {tool["name"]: tool["operations"] for tool in (await client.get("/v1/tools")).json()["tools"]}
            [write] = [operation for operation in tools["notes"] if operation["name"] == "write_note"]
            assert [found["says"] for found in write["depends_on"] if found["effect"] == "forbid"] == ["At most five stars"]
        words = ("--agent", "writer", "--operation", "notes/write_note", "--arguments", json.dumps(STOPPED), "-C", tmp_path, "--json")
        assert json.loads(run("explain", *words).stdout)["decision"] == "deny"
        asked = json.loads(run("who-can", "notes/write_note", "--arguments", json.dumps(STOPPED), "-C", tmp_path, "--json").stdout)
        assert {answer["answer"] for answer in asked["answers"]} == {"deny"}
