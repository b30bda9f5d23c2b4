"""The gateway with its log in a process of its own."""

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path

import httpx2
import pytest

from tests.journeys.place import client_of, records, token_of, verified, write_place
from tests.journeys.process import arrived, command, process
from tests.simulators import upstreams
from tests.simulators.upstreams import echo, upstream

pytestmark = pytest.mark.slow


@pytest.fixture
def socket():
    with tempfile.TemporaryDirectory(prefix="portreeve-") as folder:
        yield Path(folder) / "log.sock"


async def test_the_writer_alone_holds_the_key_and_calls_go_through_it(tmp_path, socket):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, log=f'socket = "{socket}"')
        async with command("log", "writer", "-C", tmp_path, "--keys", tmp_path / "elsewhere") as (writer, told):
            assert told["socket"] == str(socket)
            async with process(tmp_path) as (run, where):
                async with client_of(where["agents"], token_of(tmp_path)) as client:
                    for _ in range(20):
                        assert (await client.post("/tools/notes/notes", json={"text": "x"})).status_code == 200
                run.send_signal(signal.SIGTERM)
                assert await asyncio.wait_for(run.wait(), 30) == 0
            writer.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(writer.wait(), 30) == 0
    assert not socket.exists()
    assert not (tmp_path / "var" / "keys" / "log.key").exists()
    (tmp_path / "elsewhere" / "log.vkey").rename(tmp_path / "var" / "keys" / "log.vkey")
    report = verified(tmp_path)
    assert report.ok, report.message
    assert report.unsigned == 0
    (opened,) = records(tmp_path, "worker.open")
    assert opened["pid"] == run.pid
    assert {r["w"] for r in records(tmp_path, "call")} == {opened["n"]}
    assert len(records(tmp_path, "result")) == 20


async def test_when_the_writer_dies_no_call_leaves_and_the_gateway_ends_with_75(tmp_path, socket):
    async with upstream(upstreams.stalls) as up:
        write_place(tmp_path, up.port, log=f'socket = "{socket}"')
        async with command("log", "writer", "-C", tmp_path) as (writer, _):
            async with process(tmp_path) as (run, where):
                async with client_of(where["agents"], token_of(tmp_path)) as client:
                    call = asyncio.create_task(client.post("/tools/notes/notes", json={"text": "x"}))
                    await arrived(up, 1)
                    writer.kill()
                    await writer.wait()
                    with contextlib.suppress(httpx2.HTTPError):
                        assert (await client.post("/tools/notes/notes", json={"text": "y"})).status_code == 503
                    assert await asyncio.wait_for(run.wait(), 30) == 75
                    call.cancel()
        (open_call,) = [r["n"] for r in records(tmp_path, "call")]
        async with command("log", "writer", "-C", tmp_path) as (writer, _):
            writer.send_signal(signal.SIGINT)
            assert await asyncio.wait_for(writer.wait(), 30) == 0
    assert len(up.seen) == 1
    assert [(r["status"], r["calls"]) for r in records(tmp_path, "recover")] == [("unknown", [open_call])]
    assert verified(tmp_path).ok


async def test_a_gateway_that_was_killed_leaves_its_calls_unknown_while_the_writer_goes_on(tmp_path, socket):
    async with upstream(upstreams.stalls) as up:
        write_place(tmp_path, up.port, log=f'socket = "{socket}"')
        async with command("log", "writer", "-C", tmp_path) as (writer, _):
            async with process(tmp_path) as (run, where):
                async with client_of(where["agents"], token_of(tmp_path)) as client:
                    call = asyncio.create_task(client.post("/tools/notes/notes", json={"text": "x"}))
                    await arrived(up, 1)
                    run.kill()
                    await run.wait()
                    with contextlib.suppress(httpx2.HTTPError):
                        await call
            async with asyncio.timeout(20):
                while not records(tmp_path, "recover"):
                    await asyncio.sleep(0.01)
            async with process(tmp_path):
                pass
            writer.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(writer.wait(), 30) == 0
    (told,) = records(tmp_path, "recover")
    (made,) = records(tmp_path, "call")
    assert (told["status"], told["calls"], told["worker"]) == ("unknown", [made["n"]], made["w"])
    assert verified(tmp_path).ok
