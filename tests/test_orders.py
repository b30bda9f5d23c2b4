"""What a running gateway says and records of what operators and files order; the rest is seen in tests/journeys/test_kill.py."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.config.load import load
from gateway.identify.rotation import compromise, rotate
from tests.journeys.place import Place, records, running, write_place


async def expect_signer(place: Place, kid: str) -> None:
    async with asyncio.timeout(10):
        while place.gateway.pipeline.state.keys.kid != kid:
            await asyncio.sleep(0.001)


async def test_what_is_new_is_said_once(tmp_path: Path):
    write_place(tmp_path, 1)
    async with running(tmp_path) as place:
        orders, board = place.gateway._orders, place.gateway.trust.halts.board
        board.trouble = "gone"
        orders.changed()
        orders.changed()
        board.trouble = ""
        orders.changed()
        assert [line for line in place.said if "served" in line] == ["no call is served: gone", "the state can be read again; calls are served"]


async def test_rights_that_shrank_while_nothing_ran_end_tokens_at_the_start(tmp_path: Path):
    write_place(tmp_path, 1)
    async with running(tmp_path):
        pass
    (tmp_path / "identities" / "agents" / "stranger.toml").unlink()
    async with running(tmp_path) as place:
        assert "agent stranger" in place.gateway.trust.halts.board.epochs
        assert await place.settled("revoke", 1)
    async with running(tmp_path):
        pass
    assert [r["what"] for r in records(tmp_path, "revoke")] == ["agent stranger"]


async def test_a_halt_does_not_make_the_gateway_unready_and_is_shown(tmp_path: Path):
    write_place(tmp_path, 1)
    glass = load(tmp_path).state / "KILL"
    glass.parent.mkdir(parents=True)
    glass.touch()
    async with running(tmp_path) as place:
        ready = place.gateway.readiness()
        assert ready["ready"] is True
        assert [halt["what"] for halt in ready["halts"]] == ["all"]


async def test_keys_that_change_again_while_others_go_into_force_follow_them(tmp_path: Path):
    write_place(tmp_path, 1)
    keys = load(tmp_path).keys
    async with running(tmp_path) as place:
        orders, kids, say = place.gateway._orders, [place.gateway.pipeline.state.keys.kid], place.gateway._orders._report

        def said(line: str) -> None:
            say(line)
            if len(kids) == 2:
                kids.append(compromise(keys, kids[1]).active)
                orders.changed()

        orders._report = said
        kids.append(compromise(keys, kids[0]).active)
        await orders.noticed("keys.change")
        assert place.gateway.pipeline.state.keys.kid == kids[2]
        assert not set(kids[:2]) & set(place.gateway.pipeline.state.keys.public)


async def test_a_command_that_gives_up_waiting_does_not_stop_what_it_ordered(tmp_path: Path):
    write_place(tmp_path, 1)
    async with running(tmp_path) as place:
        orders = place.gateway._orders
        async with place.gateway._reloading:
            kid = compromise(load(tmp_path).keys, place.gateway.pipeline.state.keys.kid).active
            command = asyncio.create_task(orders.noticed("keys.change"))
            async with asyncio.timeout(10):
                while orders._rekeying is None:
                    await asyncio.sleep(0.001)
            command.cancel()
            await asyncio.wait([command])
        await expect_signer(place, kid)


async def test_keys_of_a_command_that_died_before_it_told_anybody_go_into_force(tmp_path: Path):
    write_place(tmp_path, 1)
    async with running(tmp_path) as place:
        rotate(load(tmp_path).keys)
        kid = rotate(load(tmp_path).keys, at_once=True).active
        place.gateway._orders._news.set()  # the next look at the clock, sooner
        await expect_signer(place, kid)


async def test_looking_at_the_clock_begins_anew_when_it_breaks(tmp_path: Path):
    write_place(tmp_path, 1)
    async with running(tmp_path) as place:
        orders, wanted = place.gateway._orders, asyncio.Event()

        def look() -> None:
            if not wanted.is_set():
                wanted.set()
                raise KeyError("a value that nobody is told")

        orders._look_at_keys = look
        first = orders._timing
        orders._news.set()
        async with asyncio.timeout(10):
            while orders._timing is first:
                await asyncio.sleep(0.001)
        assert not orders._timing.done()
        assert [line for line in place.said if "clock" in line] == ["looking at the clock broke, and begins anew: KeyError"]
