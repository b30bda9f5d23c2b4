"""An SQLite index of the calls in a log, `index.db` beside it: derived, rebuilt at will, never asked by `verify`.

It grows by what the log has grown whenever a command asks it. It says how far it has read and which record stood there; when that is not what
the log holds, or anything else about it is not ours, it is made anew.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, fields, replace
from pathlib import Path

from gateway.canonical import Json, JsonError, dumps_in_order, loads_trusted
from gateway.record.calls import OPEN, UNLIMITED, Call, Place, Query, Row, batches_from, members_of, outcome_of, row_of, scan_calls
from gateway.record.line import record_of
from gateway.record.reader import LogReader, lines_of
from gateway.record.stored import own_descriptor_of
from gateway.record.tree import leaf_hash

NAME = "index.db"
VERSION = 1
BUSY_TIMEOUT_S = 30.0
COLUMNS = ", ".join(f.name for f in fields(Call))
TABLES = (
    f"CREATE TABLE calls({COLUMNS.replace('n,', 'n INTEGER PRIMARY KEY,', 1)})",
    "CREATE TABLE reasons(reason, n, PRIMARY KEY(reason, n)) WITHOUT ROWID",
    "CREATE TABLE state(version, origin, n, segment, offset, leaf, next)",
)
INDEXES = (
    "CREATE INDEX calls_t ON calls(t)",
    "CREATE INDEX calls_agent ON calls(agent)",
    "CREATE INDEX calls_tool ON calls(tool, operation)",
    "CREATE INDEX calls_user ON calls(user) WHERE user <> ''",
    "CREATE INDEX calls_run ON calls(run) WHERE run <> ''",
    "CREATE INDEX calls_code ON calls(code) WHERE code <> ''",
    "CREATE INDEX calls_decision ON calls(decision) WHERE decision <> 'allow'",
    "CREATE INDEX calls_status ON calls(status) WHERE status <> 'ok'",
)
COMMON = {"user": "", "run": "", "code": "", "decision": "allow", "status": "ok"}
"""The values that are left out of an index, because most calls have them. SQLite uses such an index when a query says that it wants another."""
EQUAL = ("agent", "user", "run", "tool", "operation", "decision", "code", "status")
COMPARED = {"since_t": "t >= ?", "until_t": "t < ?", "before": "n < ?"}
NAMES = [f.name for f in fields(Call)]
KINDS = [int] * 4 + [str] * (len(NAMES) - 6)
"""Of all but `reasons` and `closed_by`."""
REASONS, STATUS = NAMES.index("reasons"), NAMES.index("status")
MARKS = ", ".join("?" * len(NAMES))

Progress = Callable[[int], None]


class IndexUnusable(Exception):  # noqa: N818
    """The index can neither be used nor made here: the folder is read-only, or full. The log itself can still be read."""


class CallIndex:
    """The index of one log. Each method opens the file anew, so one object serves any number of threads."""

    def __init__(self, reader: LogReader) -> None:
        self._reader = reader
        self._path = reader.folder.path / NAME

    def search(self, query: Query, progress: Progress = lambda _: None) -> list[Call]:
        """The calls that a query means, after taking in what the log has grown by. Raises BrokenLine, IndexUnusable."""
        return [_call(row) for row in self._ask(COLUMNS, query, " ORDER BY n DESC LIMIT ?", progress)]

    def count(self, query: Query, progress: Progress = lambda _: None) -> int:
        """How many calls a query means, whatever its limit. Raises BrokenLine, IndexUnusable."""
        found: int = self._ask("count(*)", replace(query, limit=UNLIMITED), " LIMIT ?", progress)[0][0]
        return found

    def catch_up(self, progress: Progress = lambda _: None) -> None:
        """Take in what the log has grown by; make the index anew when it is not one of this log. Raises BrokenLine, IndexUnusable."""
        with _usable(), self._lock():
            if not self._path.exists() or not self._extended(progress):
                self._make(progress)

    def rebuild(self, progress: Progress = lambda _: None) -> int:
        """Make the index anew from the log alone. Returns the number of calls in it. Raises BrokenLine, IndexUnusable."""
        with _usable(), self._lock():
            self._make(progress)
            with _connected(self._path) as connection:
                found: int = connection.execute("SELECT count(*) FROM calls").fetchone()[0]
                return found

    def _ask(self, columns: str, query: Query, end: str, progress: Progress) -> list[Row]:
        self.catch_up(progress)
        source, values = "calls", list[Json]()
        conditions = ["true"]
        if query.reason is not None:
            source, conditions, values = "reasons CROSS JOIN calls USING (n)", ["reason = ?"], [query.reason]
        for name in EQUAL:
            value = getattr(query, name)
            if value is not None:
                conditions.append(f"{name} = ?")
                if value != COMMON.get(name, value):
                    conditions.append(f"{name} <> '{COMMON[name]}'")
                values.append(value)
        for name, comparison in COMPARED.items():
            value = getattr(query, name)
            if value is not None:
                conditions.append(comparison)
                values.append(value)
        text = f"SELECT {columns} FROM {source} WHERE {' AND '.join(conditions)}{end}"  # noqa: S608 - names of our own; values are bound
        with _usable(), _connected(self._path) as connection:
            return connection.execute(text, [*values, query.limit]).fetchall()

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """One process at a time makes or extends the index."""
        descriptor = own_descriptor_of(self._path.with_suffix(".lock"))
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _extended(self, progress: Progress) -> bool:
        """Whether this was an index of this log, and now is one of all of it."""
        try:
            with _connected(self._path) as connection:
                start = self._state(connection)
                if start is not None:
                    self._grow(connection, start, progress)
                return start is not None
        except sqlite3.OperationalError:  # the disk, or another who holds it
            raise
        except sqlite3.DatabaseError:
            return False

    def _state(self, connection: sqlite3.Connection) -> Place | None:
        """Where to go on; None when this is no index of this log as it stands."""
        made = {row[0] for row in connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")}
        if made != {*TABLES, *INDEXES}:
            return None
        rows = connection.execute("SELECT version, origin, n, segment, offset, leaf, next FROM state").fetchall()
        if len(rows) != 1 or rows[0][:2] != (VERSION, self._reader.origin) or not all(type(value) is int and value >= 0 for value in rows[0][2:5]):
            return None
        n, segment, offset, leaf, following = rows[0][2:]
        path = dict(self._reader.folder.segment_list()).get(segment)
        for _, line, whole in lines_of(path, offset) if path else ():
            same = whole and leaf_hash(line).hex() == leaf and following == offset + len(line) + 1
            return Place(n + 1, segment, following) if same and record_of(line).n == n else None
        return None

    def _make(self, progress: Progress) -> None:
        fresh = self._path.with_name(f".{NAME}.new")
        fresh.unlink(missing_ok=True)
        os.close(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with _connected(fresh) as connection:
            connection.execute("PRAGMA journal_mode = OFF")  # a file that does not become whole is never looked at
            connection.execute("PRAGMA synchronous = OFF")
            for table in TABLES:
                connection.execute(table)
            self._grow(connection, Place(), progress, INDEXES)
        descriptor = os.open(fresh, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._path.with_name(f"{NAME}-journal").unlink(missing_ok=True)  # of the old one; SQLite would play it back into the new
        fresh.replace(self._path)

    def _grow(self, connection: sqlite3.Connection, start: Place, progress: Progress, indexes: Sequence[str] = ()) -> None:
        """Take in the log from a place on, in one transaction. `indexes` are made at its end."""
        batch = _Batch(connection)
        connection.execute("BEGIN IMMEDIATE")
        for place, lines in batches_from(self._reader, start):
            batch.add(place, lines)
            progress(place.n + len(lines))
        for index in indexes:
            connection.execute(index)
        if batch.last is not None:
            state = (VERSION, self._reader.origin, *astuple(batch.last), leaf_hash(batch.line).hex(), batch.last.offset + len(batch.line) + 1)
            connection.execute("DELETE FROM state")
            connection.execute("INSERT INTO state VALUES (?, ?, ?, ?, ?, ?, ?)", state)
        connection.execute("COMMIT")


def find_calls(reader: LogReader, query: Query, progress: Progress = lambda _: None) -> list[Call]:
    """The calls that a query means: by the index, or where there can be none, by reading the log. Raises BrokenLine."""
    try:
        return CallIndex(reader).search(query, progress)
    except IndexUnusable:
        return scan_calls(reader, query, progress)


def count_calls(reader: LogReader, query: Query, progress: Progress = lambda _: None) -> int:
    """How many they are, whatever the query's limit. Raises BrokenLine."""
    try:
        return CallIndex(reader).count(query, progress)
    except IndexUnusable:
        return len(scan_calls(reader, replace(query, limit=UNLIMITED), progress))


class _Batch:
    """Calls on their way into the tables. `last` is the place of the last record taken, `line` its bytes."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.last: Place | None = None
        self.line = b""

    def add(self, place: Place, lines: Sequence[bytes]) -> None:
        """Outcomes of calls that came with an earlier batch are updates; those of this one are written with their calls."""
        calls: dict[int, list[Json]] = {}
        reasons: list[tuple[str, int]] = []
        closed: list[tuple[str, int, int]] = []
        offset = place.offset
        for n, line in enumerate(lines, place.n):
            members = members_of(line, n)
            if members["k"] == "call":
                row = list(row_of(members, place.segment, offset))
                reasons += [(reason, n) for reason in row[REASONS]]
                row[REASONS] = dumps_in_order(row[REASONS]).decode()
                calls[n] = row
            else:
                ended, status = outcome_of(members)
                for call in ended:
                    if call not in calls:
                        closed.append((status, n, call))
                    elif calls[call][STATUS] == OPEN:
                        calls[call][STATUS:] = status, n
            self.last = Place(n, place.segment, offset)
            offset += len(line) + 1
        self.line = lines[-1]
        self._connection.executemany("UPDATE calls SET status = ?, closed_by = ? WHERE n = ? AND status = 'open'", closed)
        self._connection.executemany(f"INSERT INTO calls VALUES ({MARKS})", calls.values())  # noqa: S608 - question marks
        self._connection.executemany("INSERT OR IGNORE INTO reasons VALUES (?, ?)", reasons)


def _call(row: Row) -> Call:
    """A row as it was put in. Raises IndexUnusable for one that nobody of us wrote."""
    try:
        values: list[Json] = list(row)
        values[REASONS] = tuple(loads_trusted(values[REASONS]))
        call = Call(*values)
    except (JsonError, TypeError) as error:
        raise IndexUnusable("a row is not as it was written") from error
    kinds = [type(getattr(call, name)) for name in NAMES if name not in {"reasons", "closed_by"}]
    if kinds != KINDS or type(call.closed_by) not in {int, type(None)} or any(type(reason) is not str for reason in call.reasons):
        raise IndexUnusable("a row is not as it was written")
    return call


@contextlib.contextmanager
def _connected(path: Path) -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, timeout=BUSY_TIMEOUT_S)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        yield connection
    finally:
        connection.close()


@contextlib.contextmanager
def _usable() -> Iterator[None]:
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise IndexUnusable(str(error)) from error
