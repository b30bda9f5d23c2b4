"""A candidate policies folder beside a running gateway: it decides nothing, and what it would decide is known."""

import asyncio
import datetime as dt

import pytest

from tests.journeys.place import client_of, records, running, token_of, verified, write_place
from tests.journeys.process import process
from tests.simulators.upstreams import echo, upstream

URL = 'url = "http://gateway.test"\n'
STRICT = '@id("no-reading") @message("Closed")\nforbid (principal, action == Action::"notes/read_note", resource);\n'


def with_candidate(folder, text):
    settings = folder / "gateway.toml"
    settings.write_text(settings.read_text().replace(URL, f'{URL}candidate = "policies-next"\n'))
    if text is not None:
        (folder / "policies-next").mkdir()
        (folder / "policies-next" / "rules.cedar").write_text((folder / "policies" / "rules.cedar").read_text() + text)


async def until(fact, seconds=15):
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.02)


def metric(place, name):
    lines = place.gateway.pipeline.metrics.text().decode().splitlines()
    return [line.rsplit(" ", 1) for line in lines if line.startswith(f"portreeve_policy_candidate_{name}")]


async def test_what_the_candidate_would_deny_is_served_counted_and_recorded(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        with_candidate(tmp_path, STRICT)
        async with running(tmp_path) as place:
            replies = [await place.client.get("/tools/notes/notes/1"), await place.client.post("/tools/notes/notes", json={"text": "x"})]
            shadows = await place.settled("shadow", 1)
            await until(lambda: metric(place, "evaluations_total")[0][1] == "2.0")
            flips = metric(place, "flips_total")
            digest = place.gateway.readiness()["state"]["candidate"]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert flips == [['portreeve_policy_candidate_flips_total{from="allow",to="deny"}', "1.0"]]
    read = records(tmp_path, "call")[0]
    assert [(s["call"], s["candidate"], s["decision"], s["reasons"]) for s in shadows] == [(read["n"], digest, "deny", ["no-reading"])]
    assert [load["candidate"] for load in records(tmp_path, "policy.load")] == [digest]
    assert verified(tmp_path).ok


async def test_what_waits_when_the_gateway_stops_is_still_evaluated(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        with_candidate(tmp_path, STRICT)
        async with running(tmp_path) as place:
            for _ in range(5):
                assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
    assert len(records(tmp_path, "shadow")) == 5


async def test_a_candidate_that_breaks_or_is_missing_is_told_and_harms_nothing(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        with_candidate(tmp_path, None)
        async with running(tmp_path) as place:
            missing = place.gateway.readiness()
            assert metric(place, "failing")[0][1] == "1.0"
            (tmp_path / "policies-next").mkdir()
            (tmp_path / "policies-next" / "rules.cedar").write_text("forbid (principal, action, resource) when { context.nothing };")
            await until(lambda: "rules.cedar" in str(place.gateway.readiness()["candidate"]["problems"]))
            reply = await place.client.get("/tools/notes/notes/1")
            ready = place.gateway.readiness()
            (tmp_path / "policies-next" / "rules.cedar").write_text(STRICT)
            await until(lambda: not place.gateway.readiness()["candidate"]["failing"])
            assert metric(place, "failing")[0][1] == "0.0"
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
            await place.settled("shadow", 1)
    assert missing["ready"] is ready["ready"] is True
    assert "no such folder" in missing["candidate"]["problems"][0]
    assert ready["reload"]["failing"] is False
    assert reply.status_code == 200
    assert any("the candidate policies do not load" in line for line in place.said)


async def test_a_candidate_whose_own_cases_fail_does_not_load(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        with_candidate(tmp_path, STRICT)
        (tmp_path / "policies-next" / "cases").mkdir()
        call = '{"agent": "writer", "tool": "notes", "operation": "read_note", "arguments": {"id": "1"}}'
        (tmp_path / "policies-next" / "cases" / "c.json").write_text(
            f'{{"cases": [{{"name": "reading", "call": {call}, "expect": {{"decision": "allow"}}}}]}}'
        )
        async with running(tmp_path) as place:
            problems = place.gateway.readiness()["candidate"]["problems"]
    assert len(problems) == 1
    assert "reading" in problems[0]


async def test_a_policy_past_its_day_still_applies_and_is_told(tmp_path):
    yesterday = dt.datetime.now(tz=dt.UTC).date() - dt.timedelta(days=2)
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        (tmp_path / "policies" / "old.cedar").write_text(STRICT.replace("@message", f'@expires("{yesterday}") @message'))
        async with running(tmp_path) as place:
            reply = await place.client.get("/tools/notes/notes/1")
            ready = place.gateway.readiness()
            text = place.gateway.pipeline.metrics.text().decode()
    assert (reply.status_code, reply.json()["detail"]) == (403, "Closed")
    assert (ready["ready"], ready["expired"]) == (True, ["no-reading"])
    assert "portreeve_policies_expired 1.0" in text


@pytest.mark.slow
async def test_with_several_workers_each_records_the_flips_of_its_calls(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        with_candidate(tmp_path, STRICT)
        async with process(tmp_path, "--workers", "2") as (run, where):
            for _ in range(4):  # each connection may be another worker's
                async with client_of(where["agents"], token_of(tmp_path)) as client:
                    assert (await client.get("/tools/notes/notes/1")).status_code == 200
            run.terminate()
            assert await asyncio.wait_for(run.wait(), 30) == 0
    assert sorted(r["call"] for r in records(tmp_path, "shadow")) == [r["n"] for r in records(tmp_path, "call")]
    assert verified(tmp_path).ok
