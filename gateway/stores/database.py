"""The gateway's own database file: SQLite in WAL mode, every commit on disk before it is acknowledged."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from gateway.errors import Problem

FILE = "state.db"
BUSY_MS = 5_000
Result = TypeVar("Result")


class Database:
    """One file, one connection, one thread. Another process (a command) may write to the same file."""

    def __init__(self, path: Path, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        self._path = path
        self._inode = path.stat().st_ino
        self._connection = connection
        self._thread = thread
        self._version = 0

    @classmethod
    def open(cls, folder: Path, name: str = FILE, *, durable: bool = True) -> Database:
        """Open or make the file, readable by its owner alone. Blocking. Raises Problem when it cannot be used.

        What is not `durable` survives the process, not a machine that loses its power.
        """
        path = folder / name
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            connection.execute(f"pragma busy_timeout = {BUSY_MS}")
            connection.execute("pragma journal_mode = wal")
            connection.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
        except (OSError, sqlite3.Error) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            remedy = "let the gateway's account write there; a damaged file is replaced by removing it, and then nothing that was revoked is known"
            raise Problem("state_unusable", f"the state cannot be kept here: {why}", file=str(path), key="gateway.state", remedy=remedy) from error
        return cls(path, connection, ThreadPoolExecutor(1, thread_name_prefix="state"))

    def now(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do the work as one transaction, here and now. For commands and for the start, before anything is served."""
        with self._connection:
            self._connection.execute("begin immediate")
            return work(self._connection)

    async def run(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Do the work as one transaction in the database's thread; it is on disk when this returns. Raises sqlite3.Error."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self.now, work)

    async def has_changed(self) -> bool:
        """Whether another process has written since this was asked last. Raises sqlite3.Error, and OSError when the file is gone."""
        version = await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        changed, self._version = version != self._version, version
        return changed

    def _look(self) -> int:
        if self._path.stat().st_ino != self._inode:  # what others write to the new file would never be seen here
            raise sqlite3.OperationalError("the file was replaced")
        found: int = self._connection.execute("pragma data_version").fetchone()[0]
        return found

    def close(self) -> None:
        self._thread.shutdown(wait=True)
        self._connection.close()
