"""Keys that agents enrolled themselves, and the one-time codes that let them.

A code is kept as its SHA-256 (it has 160 random bits, so there is nothing to guess), counts for ten minutes, and is used up by the key that it
brings. Which agents may have enrolled keys at all is said in their reviewed files.
"""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from gateway.canonical import Json, dumps, loads_trusted
from gateway.identities.jwk import VerifyingKey, read_jwk
from gateway.stores.database import Database

CODE_LIFE_S = 600
KEYS_PER_AGENT_MAX = 16


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A key as it was enrolled, in seconds since the epoch."""

    agent: str
    key: VerifyingKey
    at: int


@dataclass(slots=True)
class Enrolments:
    """The keys in memory, and the database that they and the codes are kept in. `now` in seconds since the epoch."""

    database: Database
    now: Callable[[], float] = time.time
    _keys: dict[str, tuple[Enrolled, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Load the keys. Blocking. Raises sqlite3.Error."""
        self._learn(self.database.now(_prepare))

    async def refresh(self) -> None:
        """Learn what other processes enrolled. Raises sqlite3.Error."""
        self._learn(await self.database.run(_prepare))

    def _learn(self, found: list[tuple[str, bytes, int]]) -> None:
        keys: dict[str, tuple[Enrolled, ...]] = {}
        for agent, jwk, at in found:
            keys[agent] = (*keys.get(agent, ()), Enrolled(agent, read_jwk(loads_trusted(jwk)), at))
        self._keys = keys

    def keys(self, agent: str) -> tuple[Enrolled, ...]:
        """The keys that the agent enrolled, oldest first."""
        return self._keys.get(agent, ())

    def new_code(self, agent: str) -> str:
        """Make a code for an agent, for a command. Blocking. An older code of the agent no longer counts."""
        code = f"enrol-{secrets.token_hex(20)}"

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("delete from enrol_code where agent = ? or until <= ?", (agent, self.now()))
            connection.execute("insert into enrol_code values (?, ?, ?)", (_hash(code), agent, self.now() + CODE_LIFE_S))

        self.database.now(write)
        return code

    async def agent_of(self, code: str) -> str | None:
        """Whom a code is for, while it counts. It is not used up by asking."""
        return await self.database.run(lambda connection: _agent_of(connection, code, self.now()))

    async def enrol(self, code: str, jwk: dict[str, Json]) -> Enrolled | None:
        """Use the code up for a public key whose `kid` is its thumbprint, and keep the key. None when the code does not count (any more), or the
        key is somebody's already, or the agent has as many as it may. Raises sqlite3.Error: then nothing changed.
        """
        key, at = read_jwk(jwk), int(self.now())

        def write(connection: sqlite3.Connection) -> str | None:
            agent = _agent_of(connection, code, self.now())
            if agent is None:
                return None
            count = connection.execute("select count(*) from enrolled_key where agent = ?", (agent,)).fetchone()[0]
            if count >= KEYS_PER_AGENT_MAX:
                return None
            kept = connection.execute("insert or ignore into enrolled_key values (?, ?, ?, ?)", (key.thumbprint, agent, dumps(jwk), at)).rowcount
            if kept:
                connection.execute("delete from enrol_code where hash = ?", (_hash(code),))
            return agent if kept else None

        agent = await self.database.run(write)
        if agent is None:
            return None
        enrolled = Enrolled(agent, key, at)
        self._keys[agent] = (*self.keys(agent), enrolled)
        return enrolled


def _prepare(connection: sqlite3.Connection) -> list[tuple[str, bytes, int]]:
    connection.execute(
        "create table if not exists enrol_code (hash blob primary key, agent text not null, until real not null) strict, without rowid"
    )
    connection.execute(
        "create table if not exists enrolled_key (thumbprint text primary key, agent text not null, jwk blob not null, at integer not null) strict"
    )
    return connection.execute("select agent, jwk, at from enrolled_key order by at, thumbprint").fetchall()


def _agent_of(connection: sqlite3.Connection, code: str, now: float) -> str | None:
    found = connection.execute("select agent from enrol_code where hash = ? and until > ?", (_hash(code), now)).fetchone()
    return found[0] if found else None


def _hash(code: str) -> bytes:
    return hashlib.sha256(code.encode("utf-8", "surrogatepass")).digest()
