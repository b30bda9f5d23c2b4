"""What is halted is known to every process before anybody is told, and what it ended stays ended."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.call import Identity
from gateway.errors import Refusal
from gateway.stores.database import Database
from gateway.stores.ended import Ended
from gateway.stores.halts import EVERYBODY, HaltBoard, HaltStore
from gateway.stores.revocations import MemoryRevocations
from tests.identify.forge import NOW, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    found = Database.open(tmp_path)
    yield found
    found.close()


@pytest.fixture
def store(database: Database, clock: Clock) -> HaltStore:
    return HaltStore(database, clock)


def identity(epoch: int = 0, **more: object) -> Identity:
    facts = {"agent": "child", "actors": ("bot",), "user": "idp:alice", "run": "run-1", **more}
    return Identity(issuer="i", subject="s", token_id="t" * 16, key_id="k", audience="a", expires_at=NOW + 60, epoch=epoch, **facts)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name", "hits"),
    [
        ("all", "", True),
        ("agent", "child", True),
        ("agent", "bot", True),
        ("agent", "other", False),
        ("tool", "mail", True),
        ("tool", "files", False),
        ("run", "run-1", True),
        ("run", "run-2", False),
        ("user", "idp:alice", True),
        ("user", "idp:bob", False),
        ("tool", "child", False),
    ],
)
def test_a_halt_stops_what_it_names_and_what_was_delegated_from_it(store: HaltStore, kind: str, name: str, hits: bool):
    halt = store.halt(kind, name, "why", "uid:0")  # type: ignore[arg-type]
    assert store.board.halted(identity(), "mail") == ((str(halt),) if hits else ())
    assert store.lift(kind, name)  # type: ignore[arg-type]
    assert not store.lift(kind, name)  # type: ignore[arg-type]
    assert store.board.halted(identity(), "mail") == ()


@pytest.mark.parametrize(("kind", "name"), [("agent", "child"), ("agent", "bot"), ("run", "run-1"), ("user", "idp:alice")])
def test_tokens_from_before_a_kill_are_dead_for_good_and_later_ones_are_not(store: HaltStore, kind: str, name: str):
    before = store.board.epoch
    store.halt(kind, name, "why", "uid:0")  # type: ignore[arg-type]
    store.lift(kind, name)  # type: ignore[arg-type]
    assert store.board.is_dead(identity(before))
    assert not store.board.is_dead(identity(store.board.epoch))
    assert not store.board.is_dead(identity(before, agent="x", actors=(), user=None, run=None))


@pytest.mark.parametrize(("kind", "name"), [("tool", "mail"), ("all", "")])
def test_halting_a_tool_or_everything_ends_no_token(store: HaltStore, kind: str, name: str):
    store.halt(kind, name, "why", "uid:0")  # type: ignore[arg-type]
    assert not store.board.is_dead(identity(0))


def test_a_second_kill_ends_the_tokens_issued_since_the_first(store: HaltStore):
    store.halt("agent", "bot", "one", "uid:0")
    between = store.board.epoch
    store.halt("agent", "bot", "two", "uid:1")
    assert store.board.is_dead(identity(between))
    (halt,) = store.board.halts.values()
    assert (halt.why, halt.by) == ("two", "uid:1")


def test_a_kill_of_one_does_not_end_the_tokens_of_another_that_are_older(store: HaltStore):
    store.halt("agent", "other", "why", "uid:0")
    store.halt("agent", "third", "why", "uid:0")
    assert not store.board.is_dead(identity(0))


def test_everybodys_tokens_can_be_ended_at_once(store: HaltStore):
    store.end_tokens(EVERYBODY)
    assert store.board.is_dead(identity(0))
    assert not store.board.is_dead(identity(store.board.epoch))


def test_a_token_without_an_epoch_belongs_to_the_one_in_which_it_was_issued(store: HaltStore, clock: Clock):
    assert store.board.epoch_at(NOW) == 0
    clock.at = NOW + 10.5
    store.halt("agent", "bot", "why", "uid:0")
    clock.at = NOW + 20.5
    store.halt("agent", "other", "why", "uid:0")
    assert store.board.is_dead(identity(store.board.epoch_at(NOW + 10)))
    assert not store.board.is_dead(identity(store.board.epoch_at(NOW + 11)))
    assert store.board.epoch_at(NOW + 21) == store.board.epoch


async def test_another_process_learns_it_from_the_database(tmp_path: Path, database: Database, store: HaltStore):
    other = Database.open(tmp_path)
    theirs = HaltStore(other)
    await database.has_changed()
    assert not await database.has_changed()
    theirs.halt("agent", "bot", "why", "uid:0")
    other.close()
    assert await database.has_changed()
    await store.refresh()
    assert store.board.halted(identity(), "mail") == ("agent bot",)
    assert store.board.is_dead(identity(0))


def test_the_next_process_starts_with_what_was_halted(tmp_path: Path, store: HaltStore):
    store.halt("run", "run-1", "why", "uid:0")
    again = Database.open(tmp_path)
    assert HaltStore(again).board.halted(identity(), "mail") == ("run run-1",)
    again.close()


async def test_rights_that_shrink_end_tokens_once_however_many_workers_load_them(store: HaltStore):
    def shorter(before: bytes, after: bytes | None) -> bool:
        return after is None or len(after) < len(before)

    assert await store.note_rights({"bot": b"ab", "child": b"abc"}, shorter) == ()
    assert await store.note_rights({"bot": b"a", "child": b"abcd"}, shorter) == ("bot",)
    assert store.board.is_dead(identity(0))
    epoch = store.board.epoch
    assert await store.note_rights({"bot": b"a", "child": b"abcd"}, shorter) == ()
    assert store.board.epoch == epoch
    assert await store.note_rights({"bot": b"a"}, shorter) == ("child",)


def test_while_the_store_cannot_be_read_nothing_goes():
    board = HaltBoard()
    board.check_readable()
    board.trouble = "gone"
    with pytest.raises(Refusal) as caught:
        board.check_readable()
    assert caught.value.code == "state_unavailable"


def test_the_broken_glass_halts_everything_and_is_not_told_twice(store: HaltStore):
    store.board.glass_broken = True
    assert store.board.halted(identity(), "mail") == ("all",)
    store.halt("all", "", "why", "uid:0")
    assert store.board.halted(identity(), "mail") == ("all",)


async def test_a_token_is_over_when_it_or_its_parent_was_revoked_or_it_is_dead(store: HaltStore):
    revocations = MemoryRevocations()
    ended = Ended(store.board, revocations)
    assert ended.why(identity(ancestors=("p" * 16,))) == ""
    await revocations.revoke("p" * 16, NOW + 60)
    assert "revoked" in ended.why(identity(ancestors=("p" * 16,)))
    store.halt("agent", "bot", "why", "uid:0")
    assert "before" in ended.why(identity())
