"""What identity rests on and a reload keeps: keys of foreign issuers, used proofs and assertions, revoked tokens."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

from gateway.errors import Problem, Problems, Refusal
from gateway.identify.dpop import Proofs
from gateway.identify.federation import KeySources
from gateway.identify.keysource import Told
from gateway.identify.vouch import Voucher
from gateway.identities import Identities
from gateway.inject import Services
from gateway.stores.database import FILE, Database
from gateway.stores.ended import Ended
from gateway.stores.enrolment import Enrolments
from gateway.stores.halts import GLASS, HaltStore
from gateway.stores.once import MemoryOnce, Once, SqliteOnce
from gateway.stores.revocations import SqliteRevocations
from gateway.token_metrics import TokenMetrics

FOLLOW_S = 0.025
"""How often a process looks whether another has written: what one halts or revokes, all refuse within this time."""
SPENT_FILE = "proofs.db"
Clock = Callable[[], float]


class Trust:
    """Opened once for a gateway. `now` in seconds since the epoch."""

    def __init__(self, folder: Path, database: Database, spent: Database | None, told: Told, now: Clock = time.time) -> None:
        """`spent` keeps the used proofs where other processes of the same gateway look, too; None when there are none. Raises sqlite3.Error."""
        self.now = now
        self._glass = folder / GLASS
        self.sources = KeySources(told)
        self.halts = HaltStore(database, now)
        self.revocations = SqliteRevocations(database, now)
        self.ended = Ended(self.halts.board, self.revocations)
        self.enrolments = Enrolments(database, now)
        self.once: Once = SqliteOnce(database, now)
        self.proofs = Proofs(now, SqliteOnce(spent, now) if spent else MemoryOnce(now), ahead=self.once)
        self.token_proofs = Proofs(now)
        """At the token service anybody may come, and must not use up the room for proofs of calls. One that is replayed there brings a token that is
        bound to the key of who made it, so each process remembers its own."""
        self.voucher = Voucher(now)
        self.services = Services(self.voucher)
        self.changed: Callable[[], None] = lambda: None
        self._databases = [database, *([spent] if spent else [])]
        self._learning = asyncio.Lock()
        self._is_behind = False
        self._follower: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, folder: Path, told: Told, *, shared: bool = False, now: Clock = time.time) -> Trust:
        """Blocking. `shared`: other processes serve the same gateway. Raises Problems when the state cannot be read: then nobody knows what was
        revoked, and nothing may be served.
        """
        opened: list[Database] = []
        try:
            opened.append(Database.open(folder))
            if shared:
                opened.append(Database.open(folder, SPENT_FILE, durable=False))
            return cls(folder, opened[0], opened[1] if shared else None, told, now)
        except Problem as problem:
            for database in opened:
                database.close()
            raise Problems([problem]) from problem
        except sqlite3.Error as error:
            for database in opened:
                database.close()
            remedy = "restore the file, or remove it: then nothing that was revoked before is known"
            raise Problems([Problem("state_unusable", f"cannot be read: {error}", file=str(folder / FILE), remedy=remedy)]) from error

    async def begin(self, identities: Identities) -> None:
        """Begin to fetch the keys of foreign issuers, and to follow what other processes halt, revoke and enrol. Nothing may be served before."""
        await self.sources.replace(identities.issuers)
        await self.look(closely=True)
        self._begin_following()

    def _begin_following(self) -> None:
        self._follower = asyncio.create_task(self._follow())
        self._follower.add_done_callback(self._ended)

    def _ended(self, follower: asyncio.Task[None]) -> None:
        """It never ends by itself, so something broke that nobody foresaw: nothing may go until a look has succeeded again."""
        if not follower.cancelled():
            self.halts.board.trouble = f"following the state broke: {type(follower.exception()).__name__}"
            self._begin_following()

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(FOLLOW_S)
            await self.look()

    async def look(self, *, closely: bool = False) -> None:
        """Learn what other processes wrote since the last look, and whether the glass is broken; `changed` is called when something is new.

        While the state cannot be read nothing may go: another process may have been told that something is halted.
        """
        board = self.halts.board
        before = board.trouble, board.glass_broken
        async with self._learning:
            try:
                board.glass_broken = self._glass.exists()
                new = await self._databases[0].has_changed() or bool(board.trouble) or self._is_behind or closely
                if new:
                    self._is_behind = True  # until all of it is learnt: who looks may be cancelled on the way
                    await self.halts.refresh()
                    await self.revocations.refresh()
                    await self.enrolments.refresh()
                    self._is_behind = False
                board.trouble = ""
            except (OSError, sqlite3.Error, Refusal, ValueError) as error:  # the last two: more than can be remembered, and a key that is none
                new, board.trouble = False, f"the state cannot be read: {type(error).__name__}: {error}"
        if new or before != (board.trouble, board.glass_broken):
            self.changed()

    async def close(self) -> None:
        """Stop fetching and following; nothing may be asked of it any more."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.wait([self._follower])
        await self.sources.close()
        for database in self._databases:
            await asyncio.to_thread(database.close)


def services(trust: Trust, metrics: TokenMetrics, report: Callable[[str], None]) -> Services:
    """What the sources of credentials are given: the gateway's signature and clock, and who counts; a line when one cannot be had or ended any more,
    or can again.
    """

    def telling(count: Callable[[str, str], None]) -> Callable[[str, str, str], None]:
        def told(credential: str, result: str, line: str) -> None:
            count(credential, result)
            if line:
                report(line)

        return told

    return Services(trust.voucher, telling(metrics.credential_fetched), telling(metrics.credential_ended), trust.now)


def teller(metrics: TokenMetrics, report: Callable[[str], None]) -> Told:
    """What becomes of fetches of keys: a count each, and a line when an issuer fails or is well again."""

    def told(issuer: str, result: str, line: str) -> None:
        metrics.fetched(issuer, result)
        if line:
            report(line)

    return told
