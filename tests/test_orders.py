"""What a running gateway says and records of what operators and files order; the rest is seen in tests/journeys/test_kill.py."""

from __future__ import annotations

from pathlib import Path

from gateway.config.load import load
from tests.journeys.place import records, running, write_place


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
