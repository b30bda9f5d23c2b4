"""One walk along the segments of a log: each record must follow from the one before, and be what was signed.

Levels: `chain` looks at links; `root` adds the tree; `full` adds the one form of each line, times, heads of segments and objects; `replay` adds
the decisions. Lines are looked at many at a time, because most of the time of a plain loop goes into its calls.
"""

from __future__ import annotations

import re
import time
from binascii import hexlify
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from gateway.record.content import Content
from gateway.record.due import Due
from gateway.record.folder import LogFolder
from gateway.record.line import HEAD_BYTES_MAX, LINE_BYTES_MAX, NOT_NEXT, BrokenLine, Record, genesis, parse, record_of
from gateway.record.objects import ObjectMissing
from gateway.record.packed import PackedBroken
from gateway.record.reader import batches_of, lines_of
from gateway.record.report import INCOMPLETE, TAMPERED, Flaw, Level
from gateway.record.tree import Frontier, leaf_hashes

PROGRESS_RECORDS = 4_096
TORN_PATIENCE_S = 0.5
TORN = "the file ends in the middle of a line; if a crash did that, starting the gateway moves it aside and says so"
HEAD = b'{"n":%d,"prev":"%b","t":'
TIME = re.compile(rb'"t":([0-9]{1,19}),')

Replay = Callable[[Record], str | None]
"""Decides a recorded call again. Returns what is different, empty when nothing is, None for a call that has no decision. Raises ObjectMissing."""


@dataclass(slots=True)
class Reached:
    """The log as far as it was walked: its tree, the hash of the last line, its time in microseconds, the calls without an outcome.

    Below level `root` the tree stays empty, below `full` the time and the calls do.
    """

    prev: bytes
    size: int = 0
    tree: Frontier = field(default_factory=Frontier)
    t: int = 0
    open_calls: set[int] = field(default_factory=set)

    @classmethod
    def beginning(cls, origin: str) -> Reached:
        return cls(genesis(origin))

    def copy(self) -> Reached:
        return Reached(self.prev, self.size, self.tree.copy(), self.t, set(self.open_calls))


@dataclass(frozen=True, slots=True)
class Tally:
    """What walks met on their way. `signed` is the size under the newest checkpoint met; `listed`: the newest of all stood on the list."""

    signed: int = 0
    checkpoints: int = 0
    listed: bool = False
    segments: int = 0
    decisions: int = 0
    last: bytes = b""
    seen: frozenset[str] = frozenset()
    gaps: tuple[int, ...] = ()

    @property
    def newest_t(self) -> int | None:
        """What the head of the last line says."""
        found = TIME.search(self.last)
        return int(found[1]) if found else None

    def plus(self, later: Tally) -> Tally:
        return Tally(
            max(self.signed, later.signed),
            self.checkpoints + later.checkpoints,
            self.listed or later.listed,
            self.segments + later.segments,
            self.decisions + later.decisions,
            later.last or self.last,
            self.seen | later.seen,
            self.gaps + later.gaps,
        )


class Walk:
    """Walks on from `reached`, which it changes. Raises Flaw for the first thing that is wrong."""

    def __init__(self, folder: LogFolder, origin: str, level: Level, reached: Reached, due: Due) -> None:
        self.reached = reached
        self.due = due
        self.replay: Replay | None = None
        self.progress: Callable[[int], None] | None = None
        self._origin = origin
        self._level = level
        self._content = Content(folder, reached.open_calls)
        self.first_t = 0
        self._segments = 0
        self._decisions = 0
        self._first = 0
        self._last = b""

    def tally(self) -> Tally:
        return Tally(
            self.due.signed,
            self.due.listed.count,
            self.due.listed.met,
            self._segments,
            self._decisions,
            self._last,
            frozenset(self._content.seen),
            tuple(self._content.gaps),
        )

    def segment(self, first: int, path: Path, *, last: bool) -> None:
        size = self.reached.size
        if first > size:
            raise Flaw(INCOMPLETE, f"records {size} to {first - 1} are missing", n=size, segment=path.name)
        if first < size:
            raise Flaw(TAMPERED, f"the segment does not begin where the one before ends, at {size}", n=size, segment=path.name, offset=0)
        self._segments += 1
        self._first = first
        try:
            for offset, lines, whole in batches_of(path):
                self._batch(lines if whole else [self._rest_of_torn(path, offset, last=last)], path, offset)
        except PackedBroken as error:
            raise Flaw(TAMPERED, "the packed segment does not unpack", n=self.reached.size, segment=path.name) from error

    def _rest_of_torn(self, path: Path, offset: int, *, last: bool) -> bytes:
        """A line without its end: a writer may be in the middle of it, but only behind all that was signed."""
        line = _grown(path, offset) if last and self.due.next is None else b""
        if not line:
            code = INCOMPLETE if last and self.due.next is None else TAMPERED
            raise Flaw(code, TORN, n=self.reached.size, segment=path.name, offset=offset)
        return line

    def _batch(self, lines: list[bytes], path: Path, offset: int) -> None:
        """Take lines up to the next place where something must be compared or told: a head, a checkpoint, progress."""
        take = self._take_whole if self._level in {"full", "replay"} else self._take_links
        reached, begin, start = self.reached, self.reached.size, 0
        while start < len(lines):
            size = reached.size
            stop = size + 1 if size == self._first else (size // PROGRESS_RECORDS + 1) * PROGRESS_RECORDS
            if self.due.next is not None:
                stop = min(stop, self.due.next.size)
            part = lines[start : start + stop - size]
            try:
                take(part)
            except (BrokenLine, ObjectMissing) as error:
                n = reached.size
                place = offset + sum(len(line) + 1 for line in lines[: n - begin])
                missing = isinstance(error, ObjectMissing)
                text = f"record {n} names a missing object, {error}" if missing else f"record {n}: {error}"
                raise Flaw(INCOMPLETE if missing else TAMPERED, text, n=n, segment=path.name, offset=place) from error
            start += len(part)
            self._last = part[-1][:HEAD_BYTES_MAX]
            if self.due.next is not None and self.due.next.size == reached.size:
                self.due.meet(reached.size, reached.tree)
            if self.progress is not None and reached.size % PROGRESS_RECORDS == 0:
                self.progress(reached.size)

    def _take_links(self, lines: list[bytes]) -> None:
        reached = self.reached
        leaves = leaf_hashes(lines)
        heads = map(HEAD.__mod__, zip(count(reached.size), map(hexlify, (reached.prev, *leaves))))
        good = list(map(bytes.startswith, lines, heads))
        sound = all(good) and max(map(len, lines)) <= LINE_BYTES_MAX
        if not sound:
            del leaves[next(i for i, line in enumerate(lines) if not good[i] or len(line) > LINE_BYTES_MAX) :]
        if self._level == "root":
            reached.tree.extend(leaves)
        reached.size += len(leaves)
        reached.prev = leaves[-1] if leaves else reached.prev
        if not sound:
            raise BrokenLine(NOT_NEXT)

    def _take_whole(self, lines: list[bytes]) -> None:
        reached = self.reached
        n, t, check = reached.size, reached.t, self._content.check
        leaves = leaf_hashes(lines)
        try:
            for line, prev in zip(lines, (reached.prev, *leaves), strict=False):
                members = parse(line, n, prev, t)
                if n == self._first:
                    self._content.check_head(members, reached.tree, self._origin)
                    self.first_t = members["t"]
                else:
                    check(n, members)
                if self.replay is not None and members["k"] == "call":
                    self._replay(self.replay, line)
                t = members["t"]
                n += 1
        finally:
            del leaves[n - reached.size :]
            reached.tree.extend(leaves)
            reached.prev = leaves[-1] if leaves else reached.prev
            reached.size, reached.t = n, t

    def _replay(self, replay: Replay, line: bytes) -> None:
        difference = replay(record_of(line))
        if difference:
            raise BrokenLine(f"its decision comes out otherwise: {difference}")
        self._decisions += difference is not None


def _grown(path: Path, offset: int) -> bytes:
    """The line at the end of a file that is being written, once it is whole; empty when it stays torn."""
    deadline = time.monotonic() + TORN_PATIENCE_S
    while time.monotonic() < deadline:
        time.sleep(0.01)
        for _, line, whole in lines_of(path, offset):
            if whole:
                return line
            break
    return b""
