"""Nothing has to be restarted: what changes on disk goes live, what does not load changes nothing, and no call notices."""

import asyncio
import shutil
import sys

from tests.journeys.place import client_of, records, running, token_of, verified, write_place
from tests.simulators.upstreams import echo, upstream

PAUSE = '@id("pause")\n@message("Paused")\nforbid (principal, action == Action::"notes/read_note", resource);\n'


async def until(fact, seconds=15):
    async with asyncio.timeout(seconds):
        while not fact():
            await asyncio.sleep(0.02)


async def test_an_edited_policy_file_goes_live_by_itself_and_is_in_the_log(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            before = place.gateway.pipeline.state.digest
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
            (tmp_path / "policies" / "pause.cedar").write_text(PAUSE)
            await until(lambda: place.gateway.pipeline.state.digest != before)
            reply = await place.client.get("/tools/notes/notes/1")
    assert (reply.status_code, reply.json()["detail"]) == (403, "Paused")
    loads = records(tmp_path, "policy.load")
    assert [r["state"] == before for r in loads] == [True, False]
    assert records(tmp_path, "call")[-1]["state"] == loads[-1]["state"]


async def test_a_broken_policy_file_keeps_the_last_good_state_and_says_so_everywhere(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            rules = tmp_path / "policies" / "rules.cedar"
            good = rules.read_text()
            rules.write_text(good.replace("few-stars", "few stars (").replace("context.input.stars", "context.input.starz"))
            await until(lambda: place.gateway.failing)
            still = await place.client.get("/tools/notes/notes/1")
            ready = place.gateway.readiness()
            assert "portreeve_reload_failing 1.0" in place.gateway.pipeline.metrics.text().decode()
            rules.write_text(good)
            await until(lambda: not place.gateway.failing)
    assert still.status_code == 200
    assert ready["ready"] is True
    assert ready["reload"]["failing"] is True
    assert any("rules.cedar" in problem for problem in ready["reload"]["problems"])
    assert any("last good state" in line for line in place.said)


async def test_a_suspended_agent_is_stopped_although_its_token_is_good(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
            agent = tmp_path / "identities" / "agents" / "writer.toml"
            agent.write_text(agent.read_text() + 'status = "suspended"\n')
            assert await place.gateway.reload()
            reply = await place.client.get("/tools/notes/notes/1")
    assert (reply.status_code, reply.json()["code"]) == (401, "invalid_token")


async def test_a_new_tool_is_served_without_a_restart(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            settings = tmp_path / "gateway.toml"
            settings.write_text(settings.read_text() + f'[tool.second]\nurl = "http://127.0.0.1:{up.port}/second"\n')
            (tmp_path / "policies" / "second.cedar").write_text('@id("second") permit (principal, action == Action::"second/read", resource);\n')
            assert await place.gateway.reload()
            reply = await place.client.get("/tools/second/x")
    assert reply.json()["target"] == "/second/x"


async def test_a_folder_swapped_by_a_symlink_as_kubernetes_does_goes_live(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        shutil.move(tmp_path / "policies", tmp_path / "first")
        shutil.copytree(tmp_path / "first", tmp_path / "second")
        (tmp_path / "second" / "pause.cedar").write_text(PAUSE)
        (tmp_path / "policies").symlink_to("first")
        async with running(tmp_path) as place:
            before = place.gateway.pipeline.state.digest
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
            (tmp_path / "next").symlink_to("second")
            (tmp_path / "next").rename(tmp_path / "policies")
            await until(lambda: place.gateway.pipeline.state.digest != before)  # later than the record, which comes before the swap
            reply = await place.client.get("/tools/notes/notes/1")
    assert reply.status_code == 403


async def test_reloads_under_load_drop_no_call_and_mix_no_decision(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            statuses: list[int] = []
            stop = asyncio.Event()

            async def call() -> None:
                async with client_of(place.gateway.addresses["agents"], token_of(tmp_path)) as client:
                    while not stop.is_set():
                        statuses.append((await client.get("/tools/notes/notes/1")).status_code)

            callers = [asyncio.create_task(call()) for _ in range(4)]
            pause = tmp_path / "policies" / "pause.cedar"
            for _ in range(2):
                pause.write_text(PAUSE)
                assert await place.gateway.reload()
                pause.unlink()
                assert await place.gateway.reload()
            stop.set()
            await asyncio.gather(*callers)
    assert set(statuses) <= {200, 403}
    states = {r["state"]: r["policies"] for r in records(tmp_path, "policy.load")}
    for call_record in records(tmp_path, "call"):
        assert call_record["authz"]["policies"] == states[call_record["state"]]
    assert verified(tmp_path).ok


async def test_a_reload_reads_the_signing_keys_again(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            keys = tmp_path / "var" / "keys"
            (keys / "active.pem").rename(keys / "retired-old.pem")
            assert await place.gateway.reload()
            jwks = (await place.client.get("/.well-known/jwks.json")).json()
            still = await place.client.get("/tools/notes/notes/1")
            (keys / "retired-old.pem").unlink()
            assert await place.gateway.reload()
            gone = await place.client.get("/tools/notes/notes/1")
            async with client_of(place.gateway.addresses["agents"], token_of(tmp_path)) as renewed:
                fresh = await renewed.get("/tools/notes/notes/1")
    assert len(jwks["keys"]) == 2
    assert [still.status_code, gone.status_code, fresh.status_code] == [200, 401, 200]


SHADOW = '@id("would-pause")\n@mode("shadow")\nforbid (principal, action == Action::"notes/read_note", resource);\n'


async def test_shadow_policies_are_counted_and_every_reload_is_told_in_the_metrics(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            place.gateway._watcher.cancel()
            shadow = tmp_path / "policies" / "shadow.cedar"
            shadow.write_text(SHADOW)
            assert await place.gateway.reload()
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
            assert await place.gateway.reload()
            shadow.write_text(SHADOW.replace("forbid", "forbidden"))
            assert not await place.gateway.reload()
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
            text = place.gateway.pipeline.metrics.text().decode()
            digest = place.gateway.pipeline.state.bundle.digest
    assert 'portreeve_policy_shadow_flips_total{policy="would-pause",would="deny"} 2.0' in text
    for result, times in (("ok", 2), ("unchanged", 1), ("failed", 1)):
        assert f'portreeve_policy_reload_total{{result="{result}"}} {times}.0' in text
    assert "portreeve_policy_reload_seconds_count 4.0" in text
    assert f'policies="{digest}"' in text
    assert [r["authz"]["shadow"] for r in records(tmp_path, "call")] == [["would-pause"]] * 2


async def test_what_was_decided_lately_is_ready_before_a_reload_goes_live(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 200
            assert place.gateway.pipeline.state.bundle.hot == (("writer", "notes/read_note"),)
            (tmp_path / "policies" / "pause.cedar").write_text(PAUSE)
            assert await place.gateway.reload()
            assert place.gateway.pipeline.state.bundle.hot == (("writer", "notes/read_note"),)
            assert (await place.client.get("/tools/notes/notes/1")).status_code == 403


async def test_a_reload_gives_the_interpreter_back_as_it_was(tmp_path):
    before = sys.getswitchinterval()
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            for text in (PAUSE, "permit ("):
                (tmp_path / "policies" / "pause.cedar").write_text(text)
                await place.gateway.reload()
                assert sys.getswitchinterval() == before
