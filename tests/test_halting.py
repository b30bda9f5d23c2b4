"""Who gets leave, and whom a change stops."""

from __future__ import annotations

import pytest

from gateway.call import Identity
from gateway.errors import Refusal
from gateway.halting import Halting
from gateway.stores.ended import Ended
from gateway.stores.halts import Epoch, Halt, HaltBoard
from gateway.stores.revocations import MemoryRevocations

BOT = Identity("bot", "i", "s", "t" * 16, "k", "a", 2_000_000_000)
OTHER = Identity("other", "i", "s", "u" * 16, "k", "a", 2_000_000_000)


def board_halting(kind: str, name: str) -> dict[tuple[str, str], Halt]:
    return {(kind, name): Halt(kind, name, 0, "why", "uid:0")}  # type: ignore[arg-type]


def test_only_calls_that_a_halt_concerns_are_stopped_and_only_once():
    board = HaltBoard()
    halting = Halting(Ended(board, MemoryRevocations()))
    mine, theirs = halting.leave(BOT, "mail"), halting.leave(OTHER, "mail")
    assert halting.sweep() == 0
    board.halts = board_halting("agent", "bot")
    assert (halting.sweep(), halting.sweep()) == (1, 0)
    assert mine.is_taken and not theirs.is_taken
    with pytest.raises(Refusal, match="halted"):
        halting.leave(BOT, "mail")
    halting.release(mine)
    halting.release(mine)
    halting.release(None)
    assert halting.away == 1


async def test_a_revoked_or_dead_token_gets_no_leave_and_loses_what_it_has():
    board, revocations = HaltBoard(), MemoryRevocations()
    halting = Halting(Ended(board, revocations))
    mine, theirs = halting.leave(BOT, "mail"), halting.leave(OTHER, "mail")
    await revocations.revoke(BOT.token_id, 2_000_000_000)
    board.epoch, board.epochs = 1, {"agent other": Epoch(1, 0)}
    assert halting.sweep() == 2
    assert {mine.refusal().code, theirs.refusal().code} == {"invalid_token"}
    for who in (BOT, OTHER):
        with pytest.raises(Refusal, match="invalid_token"):
            halting.leave(who, "mail")


def test_what_has_no_standing_in_a_new_state_is_stopped():
    halting = Halting(Ended(HaltBoard(), MemoryRevocations()))
    mine, theirs = halting.leave(BOT, "mail"), halting.leave(OTHER, "mail")
    assert halting.sweep(lambda identity: "is gone" if identity.agent == "bot" else "") == 1
    assert mine.refusal().reason == "is gone" and not theirs.is_taken


def test_while_the_state_cannot_be_read_all_are_stopped():
    board = HaltBoard()
    told: list[str] = []
    halting = Halting(Ended(board, MemoryRevocations()), told.append)
    mine = halting.leave(BOT, "mail")
    board.trouble = "gone"
    assert (halting.sweep(), halting.sweep()) == (1, 0)
    assert mine.refusal().code == "state_unavailable" and told == ["state_unavailable"]
