"""What is halted, and the epochs that say which tokens are dead: in memory for every call, in the database before anybody is told.

An epoch is one number for the whole gateway. Every kill and every narrowing raises it, and notes the new number for its subject; a token carries
the number that held when it was asked for, and is dead once one of its subjects has a higher one. So what was issued before a kill stays dead
after the kill is lifted, and with it everything that was exchanged from it: the agents of its chain are all its subjects.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from gateway.call import Identity
from gateway.errors import Refusal
from gateway.stores.database import Database

Kind = Literal["all", "agent", "tool", "run", "user"]
Result = TypeVar("Result")
ENDING: frozenset[str] = frozenset({"agent", "run", "user"})
"""Kinds whose tokens are dead for good. A tool has no tokens, and `all` is a pause of everything: lifting it needs no new tokens."""
EVERYBODY = "*"
"""The subject of every token: raised when a signing key is compromised."""
GLASS = "KILL"
"""A file of this name in the state's folder halts everything, without any command."""


@dataclass(frozen=True, slots=True)
class Halt:
    """One thing that is halted: since when (seconds since the epoch), why, and by whom. `name` is empty for `all`."""

    kind: Kind
    name: str
    since: float
    why: str
    by: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}" if self.name else self.kind


@dataclass(frozen=True, slots=True)
class Epoch:
    """The number that a subject's tokens must have reached, and when it was raised."""

    number: int
    at: float


@dataclass(slots=True)
class HaltBoard:
    """What every call is held against. Answers from memory. `trouble` says why the store cannot be read; then nothing may go.

    `rights` is what each agent may have by the files that were loaded last, in this process or another one of the gateway.
    """

    halts: Mapping[tuple[str, str], Halt] = field(default_factory=dict)
    epochs: Mapping[str, Epoch] = field(default_factory=dict)
    epoch: int = 0
    rights: Mapping[str, bytes] = field(default_factory=dict)
    trouble: str = ""
    glass_broken: bool = False

    def halted(self, identity: Identity, tool: str) -> tuple[str, ...]:
        """What of a call is halted, in words; empty when nothing is."""
        if not self.halts and not self.glass_broken:
            return ()
        found = [str(self.halts[key]) for key in _keys(identity, tool) if key in self.halts]
        return (*found, *(("all",) if self.glass_broken and "all" not in found else ()))

    def halt_of(self, agent: str) -> str:
        """What halts an agent, whatever it does, in words; empty when nothing does."""
        found = self.halts.get(("all", "")) or self.halts.get(("agent", agent))
        return str(found) if found is not None else "all" if self.glass_broken else ""

    def is_dead(self, identity: Identity) -> bool:
        """Whether the token is from before a kill or a narrowing of one of its subjects."""
        number = identity.epoch
        if number >= self.epoch:
            return False
        return any(number < self.epochs[subject].number for subject in _subjects(identity) if subject in self.epochs)

    def epoch_at(self, at: int) -> int:
        """The epoch in which a token was issued that carries none, as tokens of other issuers do."""
        return max((epoch.number for epoch in self.epochs.values() if epoch.at < at), default=0)

    def check_readable(self) -> None:
        """Raises Refusal("state_unavailable") while nobody knows what is halted."""
        if self.trouble:
            raise Refusal("state_unavailable", reason=self.trouble, retry_after_s=5)


def _keys(identity: Identity, tool: str) -> Iterator[tuple[str, str]]:
    yield "all", ""
    yield "tool", tool
    for agent in (identity.agent, *identity.actors):
        yield "agent", agent
    if identity.run is not None:
        yield "run", identity.run
    if identity.user is not None:
        yield "user", identity.user


def _subjects(identity: Identity) -> Iterator[str]:
    yield EVERYBODY
    for kind, name in _keys(identity, ""):
        if kind in ENDING:
            yield f"{kind} {name}"


class HaltStore:
    """The board's copy in the database. What writes is durable when it returns. What is not `async` blocks, and is for commands."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        """Blocking. Raises sqlite3.Error: then nobody knows what is halted, and nothing must be served."""
        self.board = HaltBoard()
        self._database = database
        self._now = now
        database.now(_create)
        self._learn(database.now(_load))

    async def refresh(self) -> None:
        """Learn what other processes wrote. Raises sqlite3.Error."""
        self._learn(await self._database.run(_load))

    def _learn(self, found: tuple[list[Halt], dict[str, Epoch], dict[str, bytes]]) -> None:
        halts, epochs, self.board.rights = found
        self.board.halts = {(halt.kind, halt.name): halt for halt in halts}
        self.board.epoch, self.board.epochs = max((epoch.number for epoch in epochs.values()), default=0), epochs

    def halt(self, kind: Kind, name: str, why: str, by: str) -> Halt:
        """Halt it, and end the tokens of what it is. A second time only the reason changes, and tokens issued since then end, too."""
        now = self._now()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("insert or replace into halt values (?, ?, ?, ?, ?)", (kind, name, now, why, by))
            if kind in ENDING:
                _raise(connection, f"{kind} {name}", now)

        self._write(write)
        return Halt(kind, name, now, why, by)

    def lift(self, kind: Kind, name: str) -> bool:
        """End a halt. False when it was not halted. The tokens that it ended stay dead."""
        return self._write(lambda connection: connection.execute("delete from halt where kind = ? and name = ?", (kind, name)).rowcount == 1)

    def end_tokens(self, subject: str) -> None:
        """Every token of the subject that was asked for before now is dead."""
        self._write(lambda connection: _raise(connection, subject, self._now()))

    def touch(self) -> None:
        """Make every process of the gateway look: something beside the database has changed."""
        self._write(lambda connection: connection.execute("insert or replace into touched values (0, ?)", (self._now(),)))

    async def note_rights(self, rights: Mapping[str, bytes], is_narrower: Callable[[bytes, bytes | None], bool]) -> tuple[str, ...]:
        """Keep what each agent may have, and end the tokens of those that may have less than was kept; which these are. In the database, so that
        several workers that load the same files end them once, and a change made while nothing ran is seen.
        """

        def write(connection: sqlite3.Connection) -> tuple[str, ...]:
            kept: dict[str, bytes] = dict(connection.execute("select agent, rights from agent_right"))
            if kept == rights:
                return ()
            narrowed = tuple(agent for agent, before in sorted(kept.items()) if is_narrower(before, rights.get(agent)))
            for agent in narrowed:
                _raise(connection, f"agent {agent}", self._now())
            connection.execute("delete from agent_right")
            connection.executemany("insert into agent_right values (?, ?)", sorted(rights.items()))
            return narrowed

        narrowed = await self._database.run(write)
        await self.refresh()
        return narrowed

    def _write(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        result = self._database.now(work)
        self._learn(self._database.now(_load))
        return result


def _raise(connection: sqlite3.Connection, subject: str, now: float) -> None:
    number = connection.execute("select coalesce(max(number), 0) + 1 from epoch").fetchone()[0]
    connection.execute("insert or replace into epoch values (?, ?, ?)", (subject, number, now))


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(
        "create table if not exists halt (kind text, name text, since real not null, why text not null, by text not null, primary key (kind, name)) strict"
    )
    connection.execute("create table if not exists epoch (subject text primary key, number integer not null, at real not null) strict")
    connection.execute("create table if not exists touched (id integer primary key, at real not null) strict")
    connection.execute("create table if not exists agent_right (agent text primary key, rights blob not null) strict")


def _load(connection: sqlite3.Connection) -> tuple[list[Halt], dict[str, Epoch], dict[str, bytes]]:
    halts = [Halt(*row) for row in connection.execute("select kind, name, since, why, by from halt order by since, kind, name")]
    epochs = {subject: Epoch(number, at) for subject, number, at in connection.execute("select subject, number, at from epoch")}
    return halts, epochs, dict(connection.execute("select agent, rights from agent_right"))
