"""The log's leaf hashes beside the log (`idx/`), so that a proof needs a few hundred hashes and not the whole log. Derived, and rebuilt at will.

Column 0 holds the leaf hashes, 32 bytes each; column L (4, 8, ...) the roots of the full subtrees of 2^L leaves; `offsets` where each line
begins in its segment. Nobody believes them: a proof made from them is checked against a signed root before it is given out.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import tempfile
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from gateway.errors import Problem
from gateway.record.boundary import state_at
from gateway.record.folder import LogFolder
from gateway.record.line import BrokenLine, Record, record_of
from gateway.record.reader import lines_of
from gateway.record.sidecar import BadSidecar, Sidecar
from gateway.record.stored import own_descriptor_of
from gateway.record.tree import EMPTY_ROOT, Frontier, leaf_hash, node_hash

HASH_BYTES = 32
STEP = 4
"""Levels between two columns: a proof among a million records then takes some 0.1 ms, for 2 bytes a record more than the leaves."""
LEVELS = range(0, 64, STEP)
GROW_RECORDS = 256
"""Records taken in one go; after each go `pause` is called."""


class LeavesBroken(Exception):  # noqa: N818
    """The index or the log does not hold what it must. The text says what."""


class _Column:
    """A file of entries of one size. Entries are written where they belong, so that two processes that write the same do no harm."""

    def __init__(self, path: Path | None, entry: int) -> None:
        self._entry = entry
        self._descriptor = _open(path)

    @property
    def count(self) -> int:
        return os.fstat(self._descriptor).st_size // self._entry

    def read(self, start: int, count: int) -> bytes:
        data = os.pread(self._descriptor, count * self._entry, start * self._entry)
        if len(data) != count * self._entry:
            raise LeavesBroken("the index is shorter than it was")
        return data

    def write(self, start: int, data: bytes) -> None:
        while data:
            written = os.pwrite(self._descriptor, data, start * self._entry)
            start, data = start + written // self._entry, data[written:]
            if written % self._entry:
                raise LeavesBroken("an entry of the index was written in part")

    def clear(self) -> None:
        os.ftruncate(self._descriptor, 0)

    def close(self) -> None:
        os.close(self._descriptor)


def _place_in(folder: Path) -> Path | None:
    """The index's folder, made if need be; None where this process may not write it."""
    place = folder / "idx"
    try:
        place.mkdir(mode=0o700, exist_ok=True)
        if any(path.is_symlink() for path in (place, *place.iterdir())):  # in a log from elsewhere it may lead to a file of the reader's
            return None
    except OSError:
        return None
    return place if all(os.access(path, os.R_OK | os.W_OK) for path in (place, *place.iterdir())) else None


def _open(path: Path | None) -> int:
    """A file beside the log, or one without a name for who may not write there."""
    if path is None:
        with tempfile.TemporaryFile() as unnamed:
            return os.dup(unnamed.fileno())
    return own_descriptor_of(path)


@dataclass(frozen=True, slots=True)
class Subtrees:
    """The first `size` leaves as the roots of full subtrees, by height and number among those of this height."""

    size: int
    roots: dict[tuple[int, int], bytes]


def subtrees(tree: Frontier) -> Subtrees:
    roots, at = {}, 0
    for height, root in zip((h for h in range(tree.size.bit_length() - 1, -1, -1) if tree.size >> h & 1), tree.hashes, strict=True):
        roots[height, at >> height] = root
        at += 1 << height
    return Subtrees(tree.size, roots)


class Leaves:
    """The leaf hashes of the first `size` records. Blocking; threads and processes may share a log's index."""

    def __init__(self, folder: LogFolder) -> None:
        self._folder = folder
        self._turn = threading.Lock()
        self._place = _place_in(folder.path)
        self._lock = _open(self._file("lock"))
        self._offsets = _Column(self._file("offsets"), 8)
        self._before: Subtrees | None = None
        self._columns = {0: _Column(self._file("hashes.0"), HASH_BYTES)}
        for level in LEVELS[1:]:
            path = self._file(f"hashes.{level}")
            if path is not None and path.exists():
                self._columns[level] = _Column(path, HASH_BYTES)

    def _file(self, name: str) -> Path | None:
        return self._place / name if self._place else None

    @property
    def size(self) -> int:
        return min(self._columns[0].count, self._offsets.count)

    def grow(self, size: int, *, pause: Callable[[int], None] = lambda _: None) -> None:
        """Take in records until there are `size`. `pause` gets how many there are, every 256. Raises LeavesBroken when the log has fewer."""
        with self._alone():
            have = max(self.size, self._without_leaves())
            if have >= size:
                return
            hashes, offsets = bytearray(), bytearray()
            for offset, leaf in self._entries(have):
                hashes += leaf
                offsets += struct.pack(">Q", offset)
                have += 1
                if have == size or len(offsets) == 8 * GROW_RECORDS:
                    self._add(have, bytes(hashes), bytes(offsets))
                    hashes.clear()
                    offsets.clear()
                    pause(have)
                if have == size:
                    return
            raise LeavesBroken(f"the log holds {have} of {size} records")

    def _without_leaves(self) -> int:
        """How many records were pruned with their leaf hashes. The state that the first segment begins with stands for all of them."""
        segments = self._folder.segment_list()
        begins = segments[0][0] if segments else 0
        if not begins or self._folder.leaves_of(0).exists():
            return 0
        if self._before is None or self._before.size != begins:
            state = state_at(*segments[0], "root")
            if state is None:
                raise LeavesBroken("the first segment does not begin with the state of the log before it")
            self._before = subtrees(state.tree)
        return begins

    def forget(self) -> None:
        """Empty the index: the next `grow` reads the log anew."""
        with self._alone():
            self._offsets.clear()
            for column in self._columns.values():
                column.clear()

    def root(self, start: int, end: int) -> bytes:
        """The root over leaves from `start` to before `end`, which lie within `size`. `start` is where RFC 6962 may cut. Raises LeavesBroken."""
        parts = []
        while start < end:
            height = min((start & -start).bit_length() - 1 if start else 64, (end - start).bit_length() - 1)
            parts.append(self._full(height, start >> height))
            start += 1 << height
        if not parts:
            return EMPTY_ROOT
        root = parts.pop()
        while parts:
            root = node_hash(parts.pop(), root)
        return root

    def leaf(self, n: int) -> bytes:
        return self._columns[0].read(n, 1)

    def record(self, n: int) -> Record:
        """Record `n`, below `size`, read at its place. Raises LeavesBroken when it is not there as it was indexed."""
        first, path = self._segment_of(n)
        offset = self._offset(n)
        try:
            line = next(line for _, line, whole in lines_of(path, offset) if whole)
            record = record_of(line, path.name, offset)
        except (StopIteration, BrokenLine, OSError) as error:
            raise LeavesBroken(f"record {n} is not at its place in {path.name}") from error
        if record.n != n or leaf_hash(line) != self.leaf(n):
            raise LeavesBroken(f"record {n} is not the one that was indexed, in the segment from {first} on")
        return record

    def close(self) -> None:
        for column in (*self._columns.values(), self._offsets):
            column.close()
        os.close(self._lock)

    def _offset(self, n: int) -> int:
        found: int = struct.unpack(">Q", self._offsets.read(n, 1))[0]
        return found

    def _segment_of(self, n: int) -> tuple[int, Path]:
        segments = self._folder.segment_list()
        at = bisect_right([first for first, _ in segments], n) - 1
        if at < 0:
            raise LeavesBroken(f"the segment with record {n} is missing")
        return segments[at]

    def _entries(self, start: int) -> Iterator[tuple[int, bytes]]:
        """Offset and leaf hash of each record from `start` on, as far as they stand whole. Raises LeavesBroken where a segment is missing."""
        begins = next((first for first, _ in self._folder.segment_list()), 0)
        while start < begins and self._folder.leaves_of(start).exists():  # pruned, but for this
            try:
                kept = Sidecar.read(self._folder.leaves_of(start))
            except BadSidecar as error:
                raise LeavesBroken(str(error)) from error
            yield from ((0, leaf) for leaf in kept.leaves)
            start = kept.end
        for offset, line in self._lines(start, begins):
            yield offset, leaf_hash(line)

    def _lines(self, start: int, begins: int) -> Iterator[tuple[int, bytes]]:
        """Lines from record `start` on with their offsets. `begins` is the first record that was not pruned."""
        n = max(begins, start - 1)  # where the line before ends is where this one begins
        offset = self._offset(n) if start > begins else 0
        segments = self._folder.segment_list()
        here = max(0, bisect_right([first for first, _ in segments], n) - 1)
        for first, path in segments[here:]:
            if first > n:
                raise LeavesBroken(f"the segment with record {n} is missing")
            for at, line, whole in lines_of(path, offset):
                if not whole:
                    return
                if n >= start:
                    yield at, line
                n += 1
            offset = 0

    def _add(self, size: int, hashes: bytes, offsets: bytes) -> None:
        """Write new entries, then every subtree above that they fill."""
        self._columns[0].write(size - len(offsets) // 8, hashes)
        self._offsets.write(size - len(offsets) // 8, offsets)
        for below, level in pairwise(LEVELS):
            full = size >> level
            if not full:
                return
            column = self._columns.get(level)
            if column is None:
                column = self._columns[level] = _Column(self._file(f"hashes.{level}"), HASH_BYTES)
            for at in range(column.count, full):
                column.write(at, _reduced(self._columns[below].read(at << STEP, 1 << STEP)))

    def _full(self, height: int, at: int) -> bytes:
        """The root of the full subtree number `at` among those of 2^height leaves."""
        if self._before is not None and at << height < self._before.size:
            known = self._before.roots.get((height, at))
            if known is None and not height:
                remedy = f"of the log before record {self._before.size} only the state is left that a signed root confirms"
                raise Problem("log_pruned", f"record {at} was pruned with its leaf hash", file=str(self._folder.path), remedy=remedy)
            return known or node_hash(self._full(height - 1, 2 * at), self._full(height - 1, 2 * at + 1))
        level = height - height % STEP
        column = self._columns.get(level)
        if column is None:
            raise LeavesBroken("the index lacks a level")
        return _reduced(column.read(at << height - level, 1 << height - level))

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One at a time, among threads and among processes."""
        with self._turn:
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(self._lock, fcntl.LOCK_UN)


def _reduced(hashes: bytes) -> bytes:
    """The root over a power of two of hashes that lie side by side."""
    row = [hashes[i : i + HASH_BYTES] for i in range(0, len(hashes), HASH_BYTES)]
    while len(row) > 1:
        row = [node_hash(row[i], row[i + 1]) for i in range(0, len(row), 2)]
    return row[0]
