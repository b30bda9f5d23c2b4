"""Tokens that no longer count although they have not expired, by their id."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from typing import Protocol

from gateway.errors import Refusal
from gateway.stores.database import Database

ENTRIES_MAX = 1_000_000


class Revocations(Protocol):
    """Who was revoked, until its token would have expired anyway.

    `is_revoked` MUST answer from memory. `revoke` MUST NOT return before the revocation is in force, and, where the back end outlives the process,
    durable; it raises Refusal when it cannot be.
    """

    def is_revoked(self, token_id: str) -> bool: ...

    async def revoke(self, token_id: str, until: int) -> None: ...


class MemoryRevocations:
    """For one process that may forget when it ends. `now` in seconds since the epoch."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._until: dict[str, int] = {}

    def is_revoked(self, token_id: str) -> bool:
        return token_id in self._until

    async def revoke(self, token_id: str, until: int) -> None:
        self.remember(token_id, until)

    def remember(self, token_id: str, until: int) -> None:
        """Put it in force. Those that have expired by themselves are forgotten when there are many."""
        if len(self._until) >= ENTRIES_MAX:
            now = self._now()
            self._until = {name: end for name, end in self._until.items() if end > now}
            if len(self._until) >= ENTRIES_MAX:
                raise Refusal("overloaded", reason="too many revoked tokens to remember")
        self._until[token_id] = max(until, self._until.get(token_id, 0))


class SqliteRevocations:
    """Survives the process: in the database first, in force as soon as it is there."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time) -> None:
        """Load what still matters. Blocking. Raises sqlite3.Error: then nothing must be served."""
        self._database = database
        self._now = now
        self._memory = MemoryRevocations(now)
        self._learn(database.now(self._load))

    def is_revoked(self, token_id: str) -> bool:
        return self._memory.is_revoked(token_id)

    async def revoke(self, token_id: str, until: int) -> None:
        try:
            await self._database.run(lambda connection: self._keep(connection, token_id, until))
        except sqlite3.Error as error:
            raise Refusal("log_unavailable", "The revocation cannot be kept", reason=f"the state database failed: {type(error).__name__}") from error
        self._memory.remember(token_id, until)

    def revoke_now(self, token_id: str, until: int) -> None:
        """The same for a command: blocking. Raises sqlite3.Error; then nothing was revoked."""
        self._database.now(lambda connection: self._keep(connection, token_id, until))
        self._memory.remember(token_id, until)

    def _keep(self, connection: sqlite3.Connection, token_id: str, until: int) -> None:
        connection.execute(
            "insert into revoked_token values (?, ?) on conflict (id) do update set until = max(until, excluded.until)", (token_id, until)
        )
        connection.execute("delete from revoked_token where until <= ?", (int(self._now()),))

    async def refresh(self) -> None:
        """Learn what other processes revoked. Raises sqlite3.Error."""
        self._learn(await self._database.run(self._load))

    def _learn(self, found: list[tuple[str, int]]) -> None:
        for token_id, until in found:
            self._memory.remember(token_id, until)

    def _load(self, connection: sqlite3.Connection) -> list[tuple[str, int]]:
        connection.execute("create table if not exists revoked_token (id text primary key, until integer not null) strict, without rowid")
        return connection.execute("select id, until from revoked_token where until > ?", (int(self._now()),)).fetchall()
