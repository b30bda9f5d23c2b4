"""What an operator stops is stopped: calls to come, calls on their way, and streams that are open."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from gateway.cli.kill import What, halts, kill, unkill
from gateway.config.load import load
from gateway.identify import SigningKeys, Wish, mint
from gateway.identities import load_identities
from gateway.identities.model import end_of
from gateway.stores.database import Database
from gateway.stores.halts import HaltStore
from tests.journeys.place import AGENT, Clock, Place, client_of, records, running, token_of, verified, write_place
from tests.journeys.process import process
from tests.simulators.upstreams import Seen, Upstream, answer, endless, flaky, stalls, upstream

DEADLINE_S = 20.0
"""Generous, because others use the machine: a halt that never comes fails here, and how long it took is printed."""


async def stop(folder: Path, what: str = "agent", name: str = "writer") -> None:
    await asyncio.to_thread(kill, What(what), name, why="a test", folder=folder)


async def lift(folder: Path, what: str = "agent", name: str = "writer") -> None:
    await asyncio.to_thread(unkill, What(what), name, why="a test", folder=folder)


def fresh(folder: Path, agent: str = "writer", **wish: Any) -> str:
    """A token of the epoch that holds now."""
    settings = load(folder)
    found = load_identities(settings.identities).agents[agent]
    database = Database.open(settings.state)
    epoch = HaltStore(database).board.epoch
    database.close()
    keys = SigningKeys.open(settings.keys)
    wished = Wish(epoch=epoch, **wish)
    return mint(keys, found, wished, issuer=settings.url, audience=settings.url + "/tools", now=time.time()).reveal()


async def eventually(holds: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            found = holds()
            if await found if isinstance(found, Awaitable) else found:
                return
            await asyncio.sleep(0.01)


async def mixed(seen: Seen, writer: asyncio.StreamWriter) -> None:
    """Streams without end below /api/notes/stream, a chunk every few milliseconds; a small answer for everything else."""
    if "stream" in seen.target:
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"5\r\ndata\n\r\n")
            await writer.drain()
            await asyncio.sleep(0.005)
    else:
        writer.write(answer())


@contextlib.asynccontextmanager
async def place_on(folder: Path, behaviour: Callable[..., Any], **more: str) -> AsyncIterator[tuple[Place, Upstream]]:
    async with upstream(behaviour) as up:
        write_place(folder, up.port, **more)
        async with running(folder) as place:
            yield place, up


class Load:
    """Fifty callers that never stop, and ten that each read a stream."""

    def __init__(self, client: httpx2.AsyncClient) -> None:
        self.client = client
        self.statuses: list[tuple[float, int, str]] = []
        self.reading = 0
        self.closed_at: list[float] = []

    async def call(self) -> None:
        while True:
            found = await self.client.get("/tools/notes/notes/7")
            code = "" if found.status_code == 200 else found.json()["code"]
            self.statuses.append((time.perf_counter(), found.status_code, code))
            await asyncio.sleep(0.005)

    async def read(self) -> None:
        try:
            async with self.client.stream("GET", "/tools/notes/notes/stream") as found:
                assert found.status_code == 200
                self.reading += 1
                async for _ in found.aiter_raw():
                    pass
        except httpx2.TransportError:
            pass
        self.closed_at.append(time.perf_counter())

    @contextlib.asynccontextmanager
    async def running(self, *, calls: int = 50, streams: int = 10) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.call()) for _ in range(calls)]
        readers = [asyncio.create_task(self.read()) for _ in range(streams)]
        try:
            await eventually(lambda: self.reading == streams and len(self.statuses) >= 2 * calls)
            yield
        finally:
            for task in (*tasks, *readers):
                task.cancel()
            await asyncio.gather(*tasks, *readers, return_exceptions=True)


LIMITS = "calls_per_minute_per_agent = 100000\nin_flight_per_agent_max = 500"


async def test_a_killed_agent_is_stopped_in_every_call_and_every_stream(tmp_path: Path, record_property: Callable[[str, object], None]):
    async with place_on(tmp_path, mixed, limits=LIMITS) as (place, up):
        load = Load(place.client)
        async with load.running():
            assert {status for _, status, _ in load.statuses} == {200}
            await stop(tmp_path)
            at = time.perf_counter()
            await eventually(lambda: len(load.closed_at) == 10)
            seen = len(up.seen)
            begun = len(load.statuses)
            await eventually(lambda: len(load.statuses) > begun + 100)
            late = [(when, code) for when, status, code in load.statuses if when > at and status == 200]
            took = {"last call let through, ms": max((when - at for when, _ in late), default=0) * 1000}
            took["last stream closed, ms"] = (max(load.closed_at) - at) * 1000
            assert {(status, code) for _, status, code in load.statuses[begun + 50 :]} == {(403, "halted")}
            assert len(up.seen) == seen, "nothing reaches the upstream any more"
        record_property("kill", took)
        print(took)
        results = await place.settled("result", 10)
        assert sum(record["code"] == "halted" and record["status"] == "cancelled" for record in results) >= 10
        (order,) = records(tmp_path, "kill")
        assert (order["what"], order["on"], order["why"], order["by"]) == ("agent writer", True, "a test", f"uid:{os.geteuid()}")
        denied = [r for r in records(tmp_path, "call") if r["authz"] and "gateway:halted" in r["authz"]["reasons"]]
        assert denied, "a halted call has a record of its own"
    assert verified(tmp_path).ok


async def test_a_call_that_waits_for_its_answer_is_cut_and_nobody_else_is(tmp_path: Path):
    async with place_on(tmp_path, stalls) as (place, up):
        (tmp_path / "identities" / "agents" / "other.toml").write_text(AGENT.format(id="other", groups='["writers"]'))
        assert await place.gateway.reload()
        async with client_of(place.gateway.addresses["agents"], token_of(tmp_path, "other")) as other:
            mine = asyncio.create_task(place.client.post("/tools/notes/notes", json={"text": "x"}))
            reading = asyncio.create_task(place.client.get("/tools/notes/notes/7"))
            theirs = asyncio.create_task(other.get("/tools/notes/notes/7"))
            await eventually(lambda: len(up.seen) == 3)
            await stop(tmp_path)
            for answered in (await mine, await reading):
                assert (answered.status_code, answered.json()["code"]) == (403, "halted")
            assert not theirs.done()
            results = {r["status"] for r in await place.settled("result", 2)}
            assert results == {"unknown", "cancelled"}, "what was sent may have been done"
            theirs.cancel()


async def test_the_streams_of_an_agent_whose_registration_lapses_are_cut_in_that_second_and_nobody_elses(tmp_path: Path):
    day = dt.date(2026, 1, 31)
    clock = Clock(end_of(day) - 0.5)
    async with upstream(mixed) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path, clock) as place, contextlib.AsyncExitStack() as clients:
            loads = []
            for name, expires in (("brief", day), ("lasting", day + dt.timedelta(days=1))):
                text = AGENT.format(id=name, groups='["writers"]') + f"expires = {expires}\n"
                (tmp_path / "identities" / "agents" / f"{name}.toml").write_text(text)
            assert await place.gateway.reload(), "a registration that a reload brings lapses as well"
            for name in ("brief", "lasting"):
                token = token_of(tmp_path, name, age_s=clock.behind_s)
                loads.append(Load(await clients.enter_async_context(client_of(place.gateway.addresses["agents"], token))))
            brief, lasting = loads
            async with brief.running(calls=0, streams=2), lasting.running(calls=0, streams=1):
                clock.go()
                await eventually(lambda: len(brief.closed_at) == 2)
                assert (await brief.client.get("/tools/notes/notes/7")).status_code == 401
                assert lasting.closed_at == [] and place.gateway.pipeline.halting.away == 1
            assert len([r for r in await place.settled("result", 2) if r["code"] == "invalid_token"]) == 2
            assert 'portreeve_calls_stopped_total{code="invalid_token"} 2.0' in place.gateway.pipeline.metrics.text().decode()
            assert "stopped 2 calls on their way" in place.said


async def test_a_stream_outlives_the_token_it_began_with(tmp_path: Path):
    clock = Clock(1_800_000_000)
    async with upstream(mixed) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path, clock) as place:
            async with client_of(place.gateway.addresses["agents"], token_of(tmp_path, age_s=clock.behind_s + 299)) as client:
                load = Load(client)
                async with load.running(calls=0, streams=1):
                    clock.go()
                    await eventually(lambda: _is_refused(client))
                    place.gateway._orders.changed()
                    assert load.closed_at == [] and place.gateway.pipeline.halting.away == 1


async def _is_refused(client: httpx2.AsyncClient) -> bool:
    return (await client.get("/tools/notes/notes/7")).status_code == 401


async def test_a_stream_whose_client_takes_nothing_is_cut_as_well(tmp_path: Path):
    async with place_on(tmp_path, endless) as (place, _):
        _, writer = await asyncio.open_connection("127.0.0.1", place.port, limit=1)
        writer.write(f"GET /tools/notes/notes/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token_of(tmp_path)}\r\n\r\n".encode())
        await eventually(lambda: place.gateway.pipeline.halting.away == 1)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(0.2)  # the door fills the sockets' buffers and waits; when it does not yet, the test still holds
        await stop(tmp_path)
        await eventually(lambda: place.gateway.pipeline.halting.away == 0 and place.gateway._agents is not None and not place.gateway._agents._tasks)
        (result,) = await place.settled("result", 1)
        assert (result["status"], result["code"]) == ("cancelled", "halted")
        writer.close()


async def test_a_call_that_was_allowed_and_is_being_recorded_is_not_sent(tmp_path: Path):
    async with place_on(tmp_path, mixed) as (place, up):
        await place.client.get("/tools/notes/notes/7")
        waiting = asyncio.create_task(place.client.get("/tools/notes/notes/7"))
        while place.gateway.pipeline.gatherer.in_flight == 0:
            await asyncio.sleep(0)
        place.gateway.trust.halts.board.glass_broken = True
        answered = await waiting
        assert (answered.status_code, answered.json()["code"]) == (403, "halted")
        assert len(up.seen) == 1
        result = (await place.settled("result", 2))[-1]
        assert (result["status"], result["code"]) == ("refused", "halted")
        assert not records(tmp_path, "call")[-1].get("code")


async def test_between_two_attempts_a_halt_stops_the_second(tmp_path: Path):
    async with place_on(tmp_path, flaky(1, 503, "Retry-After: 1")) as (place, up):
        waiting = asyncio.create_task(place.client.get("/tools/notes/notes/7"))
        await eventually(lambda: len(up.seen) == 1)
        await stop(tmp_path)
        answered = await waiting
        assert (answered.status_code, answered.json()["code"]) == (403, "halted")
        assert len(up.seen) == 1


async def test_tokens_from_before_a_kill_stay_dead_and_new_ones_count_again(tmp_path: Path):
    async with place_on(tmp_path, mixed) as (place, _):
        await stop(tmp_path)
        answered = await place.client.get("/tools/notes/notes/7")
        assert (answered.status_code, answered.json()["code"]) == (403, "halted")
        assert "agent writer" in answered.json()["detail"]
        await lift(tmp_path)
        await eventually(lambda: not place.gateway.trust.halts.board.halts)
        assert (await place.client.get("/tools/notes/notes/7")).status_code == 401
        async with client_of(place.gateway.addresses["agents"], fresh(tmp_path)) as client:
            assert (await client.get("/tools/notes/notes/7")).status_code == 200
        assert [r["on"] for r in records(tmp_path, "kill")] == [True, False]


@pytest.mark.parametrize(("what", "name"), [("tool", "notes"), ("run", "run-1"), ("user", "idp:alice"), ("all", "")])
async def test_a_tool_a_run_a_user_or_everything_can_be_halted_and_lifted(tmp_path: Path, what: str, name: str):
    more = "[delegation]\nmay_act_for_users = true\n"
    async with upstream(mixed) as up:
        write_place(tmp_path, up.port)
        with (tmp_path / "identities" / "agents" / "writer.toml").open("a") as file:
            file.write(more)
        async with running(tmp_path) as place:
            wish = {"run": "run-1", "user": "idp:alice"}
            async with (
                client_of(place.gateway.addresses["agents"], fresh(tmp_path, **wish)) as client,
                client.stream("GET", "/tools/notes/notes/stream") as found,
            ):
                await stop(tmp_path, what, name)
                with pytest.raises(httpx2.TransportError):
                    async with asyncio.timeout(DEADLINE_S):
                        async for _ in found.aiter_raw():
                            pass
            other = (await place.client.get("/tools/open/x")).status_code
            assert other == (403 if what == "all" else 200)
            async with client_of(place.gateway.addresses["agents"], fresh(tmp_path, **wish)) as client:
                answered = await client.get("/tools/notes/notes/7")
                assert (answered.status_code, answered.json()["code"]) == (403, "halted")
                await lift(tmp_path, what, name)
                await eventually(lambda: not place.gateway.trust.halts.board.halts)
                assert (await client.get("/tools/notes/notes/7")).status_code == 200


async def test_an_agent_that_is_suspended_while_it_reads_a_stream_is_cut_and_its_tokens_stay_dead(tmp_path: Path):
    async with place_on(tmp_path, mixed) as (place, _):
        file = tmp_path / "identities" / "agents" / "writer.toml"
        text = file.read_text()
        async with place.client.stream("GET", "/tools/notes/notes/stream") as found:
            file.write_text(text.replace("[agent]", '[agent]\nstatus = "suspended"'))
            with pytest.raises(httpx2.TransportError):
                async with asyncio.timeout(DEADLINE_S):
                    async for _ in found.aiter_raw():
                        pass
        (result,) = await place.settled("result", 1)
        assert (result["status"], result["code"]) == ("cancelled", "invalid_token")
        file.write_text(text)
        assert await place.gateway.reload()
        assert (await place.client.get("/tools/notes/notes/7")).status_code == 401, "from before it was suspended"
        async with client_of(place.gateway.addresses["agents"], fresh(tmp_path)) as client:
            assert (await client.get("/tools/notes/notes/7")).status_code == 200
        assert [r["what"] for r in records(tmp_path, "revoke")] == ["agent writer"]


async def test_the_broken_glass_halts_everything_without_a_command(tmp_path: Path):
    async with place_on(tmp_path, mixed) as (place, _):
        glass = load(tmp_path).state / "KILL"
        glass.touch()

        async def refused() -> bool:
            return (await place.client.get("/tools/notes/notes/7")).status_code == 403

        await eventually(refused)
        glass.unlink()

        async def served() -> bool:
            return (await place.client.get("/tools/notes/notes/7")).status_code == 200

        await eventually(served)
        assert [(r["what"], r["on"], r["by"]) for r in records(tmp_path, "kill")] == [("all", True, "file"), ("all", False, "file")]


@pytest.mark.parametrize("spoil", ["replaced", "removed", "garbled"])
async def test_while_nobody_can_tell_what_is_halted_no_call_goes(tmp_path: Path, spoil: str):
    async with place_on(tmp_path, mixed) as (place, up):
        file = load(tmp_path).state / "state.db"
        async with place.client.stream("GET", "/tools/notes/notes/stream") as found:
            if spoil == "garbled":
                database = Database.open(file.parent)
                database.now(lambda connection: connection.execute("drop table halt"))
                database.close()
            else:
                file.rename(file.with_suffix(".gone"))
                if spoil == "replaced":
                    file.write_bytes(b"")
            with pytest.raises(httpx2.TransportError):
                async with asyncio.timeout(DEADLINE_S):
                    async for _ in found.aiter_raw():
                        pass
        count = len(up.seen)
        answered = await place.client.get("/tools/notes/notes/7")
        assert (answered.status_code, answered.json()["code"]) == (503, "state_unavailable")
        assert len(up.seen) == count
        async with client_of(place.admin, None) as admin:
            ready = await admin.get("/readyz")
        assert ready.status_code == 503
        assert any("nobody can tell what is halted" in problem for problem in ready.json()["problems"])


@pytest.mark.slow
async def test_a_halt_survives_kill_9_of_the_gateway_right_after_it_was_acknowledged(tmp_path: Path):
    async with upstream(mixed) as up:
        write_place(tmp_path, up.port)
        async with process(tmp_path) as (run, where), client_of(where["agents"], token_of(tmp_path)) as client:
            assert (await client.get("/tools/notes/notes/7")).status_code == 200
            await stop(tmp_path, "agent", "writer")
            run.send_signal(signal.SIGKILL)
            await run.wait()
        async with process(tmp_path) as (run, where), client_of(where["agents"], token_of(tmp_path)) as client:
            assert (await client.get("/tools/notes/notes/7")).json()["code"] == "halted"
            async with client_of(where["admin"], None) as admin:
                assert (await admin.get("/readyz")).json()["halts"][0]["what"] == "agent writer"
        assert len(up.seen) == 1


@pytest.mark.slow
async def test_every_worker_obeys(tmp_path: Path):
    async with upstream(mixed) as up:
        write_place(tmp_path, up.port, limits=LIMITS)
        async with process(tmp_path, "--workers", "2") as (_, where):
            async with contextlib.AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(client_of(where["agents"], token_of(tmp_path))) for _ in range(12)]
                streams = [await stack.enter_async_context(client.stream("GET", "/tools/notes/notes/stream")) for client in clients]
                await stop(tmp_path)

                async def ended(stream: httpx2.Response) -> bool:
                    with contextlib.suppress(httpx2.TransportError):
                        async for _ in stream.aiter_raw():
                            pass
                    return True

                async with asyncio.timeout(DEADLINE_S):
                    assert all(await asyncio.gather(*map(ended, streams)))
            served = set()
            for _ in range(12):
                async with client_of(where["agents"], token_of(tmp_path)) as client:
                    served.add((await client.get("/tools/notes/notes/7")).json()["code"])
            assert served == {"halted"}
        workers = {record["w"] for record in records(tmp_path, "result") if record["code"] == "halted"}
        assert len(workers) == 2, "the streams were spread over both"


def test_without_a_gateway_the_command_writes_store_and_record_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    write_place(tmp_path, 1)
    kill(What.all, why="before the start", folder=tmp_path)
    halts(folder=tmp_path, as_json=True)
    shown = capsys.readouterr().out
    (found,) = json.loads(shown[shown.index("[") :])
    assert (found["what"], found["why"], found["by"]) == ("all", "before the start", f"uid:{os.geteuid()}")
    assert [r["what"] for r in records(tmp_path, "kill")] == ["all"]
