"""Several workers as one gateway, in processes of their own: one address, one log, one set of numbers."""

import asyncio
import contextlib
import os
import signal
import socket
from pathlib import Path

import httpx2
import pytest

from gateway.errors import Problems
from gateway.supervisor import Supervisor
from tests.journeys.place import client_of, records, token_of, verified, write_place
from tests.journeys.process import arrived, process
from tests.simulators.upstreams import answer, echo, upstream

pytestmark = pytest.mark.slow


async def post(where, token) -> int:
    """One call on a connection of its own, so that any worker may get it."""
    async with client_of(where["agents"], token) as client:
        return (await client.post("/tools/notes/notes", json={"text": "x"})).status_code


async def counted(admin: str, sample: str) -> float:
    async with client_of(admin, None) as client:
        text = (await client.get("/metrics")).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(sample))


async def ready(admin: str) -> dict:
    async with client_of(admin, None) as client:
        return (await client.get("/readyz")).json()


async def stopped(run) -> int:
    run.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(run.wait(), 40)


def workers_of(folder) -> list[int]:
    return [r["pid"] for r in records(folder, "worker.open")]


async def test_workers_share_the_address_the_log_and_the_numbers_and_the_dead_are_replaced(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path, "--workers", "2") as (run, where):
            assert where["workers"] == 2
            token = token_of(tmp_path)
            assert {await post(where, token) for _ in range(40)} == {200}
            first = workers_of(tmp_path)
            assert len(set(first)) == 2
            assert len({r["w"] for r in records(tmp_path, "call")}) == 2, "both workers served"
            assert await counted(where["admin"], "portreeve_calls_total") == 40
            assert await counted(where["admin"], "portreeve_workers") == 2
            state = await ready(where["admin"])
            assert (state["ready"], state["workers"], state["log"]["origin"]) == (True, 2, "journey.test/log")
            os.kill(first[0], signal.SIGKILL)
            async with asyncio.timeout(40):
                while len(workers_of(tmp_path)) < 3 or not (await ready(where["admin"]))["ready"]:
                    await asyncio.sleep(0.05)
            assert {await post(where, token) for _ in range(20)} == {200}, "connections to the dead one's socket went to its successor"
            assert await counted(where["admin"], "portreeve_calls_total") == 60
            assert await counted(where["admin"], "portreeve_worker_restarts_total") == 1
            assert await stopped(run) == 0
    assert verified(tmp_path).ok
    assert len(records(tmp_path, "result")) == len(records(tmp_path, "call")) == len(up.seen) == 60


async def test_when_the_writer_dies_everything_ends_with_75_and_nothing_was_sent_without_a_record(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path, "--workers", "2") as (run, where):
            token = token_of(tmp_path)

            async def call() -> None:
                with contextlib.suppress(httpx2.HTTPError):
                    while await post(where, token) == 200:
                        pass

            callers = [asyncio.create_task(call()) for _ in range(4)]
            await arrived(up, 20)
            (writer,) = {int(pid) for pid in children_of(run.pid)} - set(workers_of(tmp_path))
            os.kill(writer, signal.SIGKILL)
            assert await asyncio.wait_for(run.wait(), 40) == 75
            await asyncio.gather(*callers)
        async with process(tmp_path, "--workers", "2") as (run, _):
            assert await stopped(run) == 0
    calls = {r["n"] for r in records(tmp_path, "call")}
    assert len(up.seen) <= len(calls)
    assert {r["call"] for r in records(tmp_path, "result")} | {n for r in records(tmp_path, "recover") for n in r["calls"]} == calls
    assert verified(tmp_path).ok


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def runs(pid: str) -> bool:
    """A process that has ended but was not waited for has no command line."""
    with contextlib.suppress(OSError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False


async def test_stopping_lets_calls_in_flight_finish_and_writes_what_came_of_them(tmp_path):
    go_on = asyncio.Event()

    async def waits(_seen, writer):
        await go_on.wait()
        writer.write(answer())

    async with upstream(waits) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path, "--workers", "2") as (run, where):
            call = asyncio.create_task(post(where, token_of(tmp_path)))
            await arrived(up, 1)
            run.send_signal(signal.SIGTERM)
            go_on.set()
            assert await call == 200
            assert await asyncio.wait_for(run.wait(), 40) == 0
    assert [r["status"] for r in records(tmp_path, "result")] == ["ok"]
    assert records(tmp_path)[-1]["k"] == "log.close"
    assert verified(tmp_path).unsigned == 0


async def test_a_supervisor_that_is_killed_takes_its_children_with_it(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path, "--workers", "2") as (run, where):
            assert await post(where, token_of(tmp_path)) == 200
            children = children_of(run.pid)
            assert len(children) == 3
            run.kill()
            await run.wait()
            async with asyncio.timeout(40):
                while any(map(runs, children)):
                    await asyncio.sleep(0.05)
    assert records(tmp_path)[-1]["k"] == "log.close"
    assert verified(tmp_path).ok


async def test_a_hangup_reloads_every_worker(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path, "--workers", "2") as (run, where):
            rule = '@id("pause") forbid (principal, action == Action::"notes/write_note", resource);\n'
            (tmp_path / "policies" / "pause.cedar").write_text(rule)
            run.send_signal(signal.SIGHUP)
            async with asyncio.timeout(40):
                while len(records(tmp_path, "policy.load")) < 4:
                    await asyncio.sleep(0.05)
            token = token_of(tmp_path)
            async with asyncio.timeout(20):
                while {await post(where, token) for _ in range(10)} != {403}:
                    await asyncio.sleep(0.05)
            assert await stopped(run) == 0


async def test_an_address_that_is_taken_is_told_before_anything_is_started(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        write_place(tmp_path, 9)
        text = (tmp_path / "gateway.toml").read_text()
        (tmp_path / "gateway.toml").write_text(text.replace("127.0.0.1:0", f"127.0.0.1:{taken.getsockname()[1]}", 1))
        with pytest.raises(Problems, match="cannot listen"):
            await Supervisor(tmp_path, 2, lambda _: None).run(lambda _: None)
    assert not (tmp_path / "log").exists()


async def test_a_deployment_that_does_not_load_ends_with_its_problem(tmp_path):
    write_place(tmp_path, 9)
    (tmp_path / "policies" / "rules.cedar").write_text("permit (")
    said = []
    assert await Supervisor(tmp_path, 2, said.append).run(said.append) == 1
    assert said == []
