"""Names that may be used once: ids of assertions and of proofs. What was used is remembered until it would be refused for its age anyway."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from gateway.errors import Refusal
from gateway.stores.database import Database

ENTRIES_MAX = 200_000
"""About 30 MB in memory. One more is refused: forgetting would let a name be used twice."""


class Once(Protocol):
    """MUST say yes to a name at most once before its `until` (seconds since the epoch), across all who ask at the same time.

    Raises Refusal("overloaded") when it has no room, and when it cannot remember.
    """

    async def take(self, name: str, until: float) -> bool: ...


class MemoryOnce:
    """For one process. Everybody gives about the same life, so the oldest entries are the first to expire."""

    def __init__(self, now: Callable[[], float] = time.time, entries_max: int = ENTRIES_MAX) -> None:
        self._now = now
        self._entries_max = entries_max
        self._until: OrderedDict[bytes, float] = OrderedDict()

    async def take(self, name: str, until: float) -> bool:
        key, now = _key(name), self._now()
        if self._until.get(key, now) > now:
            return False
        self._forget(now)
        if len(self._until) >= self._entries_max:
            raise Refusal(
                "overloaded", reason="too many ids to remember; refused, because forgetting one would let it be used again", retry_after_s=5
            )
        self._until.pop(key, None)
        self._until[key] = until
        return True

    def _forget(self, now: float) -> None:
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)
        if len(self._until) >= self._entries_max:  # a long life in front may hide expired ones behind it
            self._until = OrderedDict((key, until) for key, until in self._until.items() if until > now)


class SqliteOnce:
    """Survives the process, so that an assertion cannot be used again after a restart."""

    def __init__(self, database: Database, now: Callable[[], float] = time.time, entries_max: int = ENTRIES_MAX) -> None:
        """Blocking. Raises sqlite3.Error."""
        self._database = database
        self._now = now
        self._entries_max = entries_max
        database.now(_prepare)

    async def take(self, name: str, until: float) -> bool:
        def write(connection: sqlite3.Connection) -> bool | None:
            connection.execute("delete from used_name where until <= ?", (self._now(),))
            if connection.execute("select count(*) from used_name").fetchone()[0] >= self._entries_max:
                return None
            return connection.execute("insert or ignore into used_name values (?, ?)", (_key(name), until)).rowcount == 1

        try:
            taken = await self._database.run(write)
        except sqlite3.Error as error:
            raise Refusal("overloaded", reason=f"the state database failed: {type(error).__name__}", retry_after_s=5) from error
        if taken is None:
            raise Refusal(
                "overloaded", reason="too many ids to remember; refused, because forgetting one would let it be used again", retry_after_s=5
            )
        return taken


def _prepare(connection: sqlite3.Connection) -> None:
    connection.execute("create table if not exists used_name (name blob primary key, until real not null) strict, without rowid")
    connection.execute("create index if not exists used_name_until on used_name (until)")


def _key(name: str) -> bytes:
    """Names come from strangers and may be long."""
    return hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
