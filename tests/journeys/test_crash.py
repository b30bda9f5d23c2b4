"""The gateway as a process of its own: killed in mid-call, out of disk, told to stop."""

import asyncio
import contextlib
import os
import resource
import signal

import pytest

from tests.journeys.place import client_of, records, token_of, verified, write_place
from tests.journeys.process import arrived, process
from tests.simulators import upstreams
from tests.simulators.upstreams import echo, upstream

pytestmark = pytest.mark.slow


async def test_after_a_kill_in_mid_call_the_log_verifies_and_the_open_call_reads_unknown(tmp_path):
    async with upstream(upstreams.stalls) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path) as (run, where):
            async with client_of(where["agents"], token_of(tmp_path)) as client:
                call = asyncio.create_task(client.post("/tools/notes/notes", json={"text": "x"}))
                await arrived(up, 1)
                run.kill()
                await run.wait()
                with contextlib.suppress(Exception):
                    await call
        open_call = records(tmp_path, "call")[-1]["n"]
        async with process(tmp_path) as (run, _):
            run.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(run.wait(), 30) == 0
    recovered = records(tmp_path, "recover")
    assert [(r["status"], r["calls"]) for r in recovered] == [("unknown", [open_call])]
    report = verified(tmp_path)
    assert report.ok, report.message
    assert len(up.seen) == 1


async def test_every_effect_upstream_has_a_record_however_often_the_gateway_is_killed(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        for _ in range(3):
            async with process(tmp_path) as (run, where):
                async with client_of(where["agents"], token_of(tmp_path)) as client:

                    async def call(client=client) -> None:
                        with contextlib.suppress(Exception):
                            while True:
                                await client.post("/tools/notes/notes", json={"text": "x"})

                    callers = [asyncio.create_task(call()) for _ in range(4)]
                    await arrived(up, len(up.seen) + 20)
                    run.kill()
                    await run.wait()
                    await asyncio.gather(*callers)
        async with process(tmp_path) as (run, _):
            run.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(run.wait(), 30) == 0
    calls = {r["n"] for r in records(tmp_path, "call")}
    ended = {r["call"] for r in records(tmp_path, "result")} | {n for r in records(tmp_path, "recover") for n in r["calls"]}
    assert len(up.seen) <= len(calls)
    assert ended == calls
    assert verified(tmp_path).ok


async def test_with_a_full_disk_no_call_leaves_and_when_space_returns_calls_do(tmp_path):
    limit = 400_000

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    async with upstream(echo) as up:
        write_place(tmp_path, up.port, log="reserve_bytes = 65536\nlow_water_bytes = 65536")
        async with process(tmp_path, before=small_files) as (run, where):
            async with client_of(where["agents"], token_of(tmp_path)) as client, client_of(where["admin"], None) as admin:
                refused = None
                for _ in range(600):
                    reply = await client.post("/tools/notes/notes", json={"text": "x" * 2000})
                    if reply.status_code != 200:
                        refused = reply
                        break
                assert refused is not None
                assert (refused.status_code, refused.json()["code"]) == (503, "log_unavailable")
                sent = len(up.seen)
                for _ in range(5):
                    assert (await client.post("/tools/notes/notes", json={"text": "y"})).status_code == 503
                assert len(up.seen) == sent, "no call left without a record"
                ready = await admin.get("/readyz")
                assert (ready.status_code, ready.json()["problems"]) == (503, ["the decision log is full"])
                resource.prlimit(run.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                async with asyncio.timeout(20):
                    while (await client.post("/tools/notes/notes", json={"text": "z"})).status_code != 200:
                        await asyncio.sleep(0.1)
                assert (await admin.get("/readyz")).status_code == 200
            run.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(run.wait(), 30) == 0
    assert verified(tmp_path).ok
    assert {r["n"] for r in records(tmp_path, "call") if not r["code"]} == {r["call"] for r in records(tmp_path, "result")}


async def test_a_hangup_signal_reloads(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path) as (run, where):
            async with client_of(where["agents"], token_of(tmp_path)) as client:
                assert (await client.get("/tools/notes/notes/1")).status_code == 200
                rule = '@id("pause") forbid (principal, action == Action::"notes/read_note", resource);\n'
                (tmp_path / "policies" / "pause.cedar").write_text(rule)
                os.kill(run.pid, signal.SIGHUP)
                async with asyncio.timeout(20):
                    while (await client.get("/tools/notes/notes/1")).status_code != 403:
                        await asyncio.sleep(0.05)
    assert len(records(tmp_path, "policy.load")) == 2
