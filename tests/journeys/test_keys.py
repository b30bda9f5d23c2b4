"""Signing keys move on under a running gateway."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.keys import compromise_key, rotate_keys
from gateway.config.load import load
from gateway.errors import Refusal
from gateway.identify import SigningKeys
from tests.journeys.place import client_of, records, running, token_of, write_place
from tests.journeys.process import process
from tests.journeys.test_kill import LIMITS, fresh
from tests.simulators.upstreams import echo, upstream


class Callers:
    """Agents that each get a new token for every few calls, all the while."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url
        self.statuses: list[int] = []

    async def go(self) -> None:
        while True:
            async with client_of(self.url, token_of(self.folder)) as client:
                for _ in range(5):
                    self.statuses.append((await client.get("/tools/notes/notes/7")).status_code)
                    await asyncio.sleep(0.001)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self.go()) for _ in range(8)]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def more(self, count: int) -> None:
        aim = len(self.statuses) + count
        async with asyncio.timeout(30):
            while len(self.statuses) < aim:
                await asyncio.sleep(0.01)


async def rotations(folder: Path, url: str) -> tuple[set[int], list[str]]:
    """What the callers were answered while the keys were rotated twice, and the keys that signed."""
    kids = [SigningKeys.open(load(folder).keys).kid]
    callers = Callers(folder, url)
    async with callers.running():
        await callers.more(50)
        for _ in range(2):
            await asyncio.to_thread(rotate_keys, now=True, folder=folder)
            kids.append(SigningKeys.open(load(folder).keys).kid)
            await callers.more(100)
    assert {r["who"]["kid"] for r in records(folder, "call")} == set(kids)
    return set(callers.statuses), kids


async def test_two_rotations_under_load_refuse_no_token(tmp_path: Path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, limits=LIMITS)
        async with running(tmp_path) as place:
            statuses, kids = await rotations(tmp_path, place.gateway.addresses["agents"])
            assert (statuses, len(set(kids))) == ({200}, 3)
            assert len((await place.client.get("/.well-known/jwks.json")).json()["keys"]) == 4
            assert (await place.client.get("/tools/notes/notes/7")).status_code == 200, "a token of the first key"
            assert place.gateway.pipeline.state.digest == [r["state"] for r in records(tmp_path, "policy.load")][-1]


@pytest.mark.slow
async def test_two_rotations_under_load_refuse_no_token_with_several_workers(tmp_path: Path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, limits=LIMITS)
        async with process(tmp_path, "--workers", "2") as (_, where):
            statuses, kids = await rotations(tmp_path, where["agents"])
            assert (statuses, len(set(kids))) == ({200}, 3)


async def test_a_compromised_key_is_out_of_the_set_and_every_token_dead_when_the_command_returns(tmp_path: Path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            kid = place.gateway.pipeline.state.keys.kid
            await asyncio.to_thread(rotate_keys, folder=tmp_path)
            async with client_of(place.gateway.addresses["agents"], fresh(tmp_path)) as client:
                assert (await client.get("/tools/notes/notes/7")).status_code == 200
                await asyncio.to_thread(compromise_key, kid, why="a test", folder=tmp_path)
                assert (await client.get("/tools/notes/notes/7")).status_code == 401
            assert kid not in [key["kid"] for key in (await place.client.get("/.well-known/jwks.json")).json()["keys"]]
            async with client_of(place.gateway.addresses["agents"], fresh(tmp_path)) as client:
                assert (await client.get("/tools/notes/notes/7")).status_code == 200
            async with client_of(place.gateway.addresses["agents"], token_of(tmp_path)) as client:
                assert (await client.get("/tools/notes/notes/7")).status_code == 401, "an epoch from before, though signed by the new key"


async def test_keys_that_cannot_be_used_leave_the_last_good_ones_in_force(tmp_path: Path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port)
        async with running(tmp_path) as place:
            bad = load(tmp_path).keys / "next-open.pem"
            bad.touch(0o644)
            bad.chmod(0o644)
            for _ in range(2):
                with pytest.raises(Refusal, match="state_unavailable") as caught:
                    await place.gateway._orders.noticed("keys.change")
                assert "chmod 600" in caught.value.reason, "the command is told that its keys are not in force"
            assert len([line for line in place.said if "do not go into force" in line and "chmod 600" in line]) == 1
            assert (await place.client.get("/tools/notes/notes/7")).status_code == 200
            bad.unlink()
            await place.gateway._orders.noticed("keys.change")
