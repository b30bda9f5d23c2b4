"""Judging a log with nothing but its folder and keys from outside it: is every record as it was written, and is none missing?

Levels: `chain` checks the links and the newest signature; `root` adds the tree and every checkpoint; `full` adds the one form of each line,
times, states at the heads of segments, and objects.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from heapq import merge
from pathlib import Path
from typing import Literal

from gateway.errors import Problem
from gateway.record.content import Content
from gateway.record.folder import LogFolder
from gateway.record.folder import replace as replace_file
from gateway.record.line import LINE_BYTES_MAX, NOT_NEXT, BrokenLine, genesis, parse
from gateway.record.notary import notes_in
from gateway.record.note import BadNote, Checkpoint, NoteKey, open_checkpoint
from gateway.record.objects import ObjectMissing
from gateway.record.reader import lines_of
from gateway.record.tree import Frontier, leaf_hash

Level = Literal["chain", "root", "full"]
OK, TAMPERED, USAGE, INCOMPLETE, KEY = 0, 1, 2, 3, 4
PROGRESS_RECORDS = 4_096
TORN_PATIENCE_S = 0.5
TORN = "the file ends in the middle of a line; if a crash did that, starting the gateway moves it aside and says so"


@dataclass(frozen=True, slots=True)
class Report:
    """What a look at a log found. `exit_code`: 0 ok, 1 tampered, 2 usage, 3 incomplete, 4 key or signature.

    `first_bad` is the n of the first record that is not as it was written, `segment` and `offset` (bytes) say where. `unsigned` records at
    the end are under no checkpoint yet: they are chained, but whoever can write the folder could have changed them.
    """

    level: Level
    origin: str = ""
    exit_code: int = OK
    message: str = ""
    size: int = 0
    root: str = ""
    signed: int = 0
    unsigned: int = 0
    checkpoints: int = 0
    segments: int = 0
    objects: int = 0
    first_bad: int | None = None
    segment: str = ""
    offset: int | None = None
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.exit_code == OK


class Flaw(Exception):  # noqa: N818
    """The first thing that is wrong. It ends the look."""

    def __init__(self, exit_code: int, message: str, *, n: int | None = None, segment: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.n = n
        self.segment = segment
        self.offset = offset


def verify_folder(
    folder: Path,
    *,
    keys: Sequence[NoteKey],
    level: Level = "full",
    origin: str | None = None,
    pin: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Verify a log, also while it is written. `progress` gets the number of records done. Never raises for what a log holds.

    Only keys under the log's own name count. `origin` is the name the log must have, when known. `pin` is a file outside the log that remembers
    the last checkpoint seen; the log must extend it. Without one, a log that was set back to an earlier time, checkpoints and all, cannot be told
    from that time.
    """
    began = time.perf_counter()
    look = _Look(LogFolder(folder), keys, "root" if pin and level == "chain" else level, progress)
    try:
        look.run(origin, pin)
        report = look.report(OK, "every record is as it was written")
    except Flaw as flaw:
        report = replace(look.report(flaw.exit_code, flaw.message), first_bad=flaw.n, segment=flaw.segment, offset=flaw.offset)
    except OSError as error:
        report = look.report(INCOMPLETE, f"a file cannot be read: {error.strerror} ({error.filename})")
    return replace(report, elapsed_s=time.perf_counter() - began)


class _Look:
    """One pass over a log. `size`, `tree`, `prev` and `t` are the state after the records seen so far."""

    def __init__(self, folder: LogFolder, keys: Sequence[NoteKey], level: Level, progress: Callable[[int], None] | None) -> None:
        self.folder = folder
        self.keys = keys
        self.level = level
        self.progress = progress
        self.origin = ""
        self.size = 0
        self.first = 0
        self.tree = Frontier()
        self.prev = b""
        self.t = 0
        self.signed = 0
        self.checkpoints = 0
        self.segments = 0
        self.content = Content(folder)
        self.due: Iterator[Checkpoint] = iter(())
        self.next: Checkpoint | None = None

    def report(self, exit_code: int, message: str) -> Report:
        return Report(
            self.level,
            self.origin,
            exit_code,
            message,
            size=self.size,
            root=self.tree.root().hex() if self.tree.size == self.size else "",
            signed=self.signed,
            unsigned=max(0, self.size - self.signed),
            checkpoints=self.checkpoints,
            segments=self.segments,
            objects=len(self.content.seen),
        )

    def run(self, origin: str | None, pin: Path | None) -> None:
        try:
            self.origin = self.folder.origin()
        except Problem as problem:
            raise Flaw(INCOMPLETE, problem.message) from problem
        if origin is not None and origin != self.origin:
            raise Flaw(TAMPERED, f"this is the log of {self.origin}, not of {origin}")
        self.keys = [key for key in self.keys if key.name == self.origin]
        if not self.keys:
            raise Flaw(KEY, f"no key is given for {self.origin}")
        self.prev = genesis(self.origin)
        latest = self._read_note(self.folder.checkpoint, "the newest checkpoint")
        pinned = self._read_note(pin, "the pinned checkpoint") if pin and pin.exists() else None
        # Each signed record was durable before its note; so notes are taken first, and the log, read after them, must hold what they say.
        notes = self._notes(latest) if self.level != "chain" else iter((latest,))
        self.due = merge(*([notes] if pinned is None else [notes, iter((pinned,))]), key=lambda note: note.size)
        self._meet()
        segments = self.folder.segment_list()
        for at, (first, path) in enumerate(segments):
            self._segment(first, path, last=at == len(segments) - 1)
        if self.next is not None:
            raise Flaw(TAMPERED, f"{self.next.size} records were signed, the log ends after {self.size}", n=self.size)
        if pin is not None and (pinned is None or latest.size >= pinned.size):
            replace_file(pin, latest.note, durable=True)

    def _read_note(self, path: Path, name: str) -> Checkpoint:
        try:
            return self._checkpoint(path.read_bytes())
        except FileNotFoundError as error:
            raise Flaw(KEY, f"{name} is missing: nothing says what this log should be") from error
        except BadNote as error:
            raise Flaw(KEY, f"{name}: {error}") from error

    def _checkpoint(self, note: bytes) -> Checkpoint:
        found = open_checkpoint(note, self.keys)
        if found.origin != self.origin:
            raise BadNote(f"it is of another log, {found.origin}")
        return found

    def _notes(self, latest: Checkpoint) -> Iterator[Checkpoint]:
        """The list as it is now; what a writer adds meanwhile is left for the next look. Sizes never fall, and the newest one is on it."""
        end = self.folder.checkpoints.stat().st_size
        size, listed = 0, False
        for offset, note in notes_in(self.folder):
            if offset >= end:
                break
            try:
                found = self._checkpoint(note)
            except BadNote as error:
                raise Flaw(KEY, f"checkpoint at byte {offset} of the list: {error}", segment="checkpoints", offset=offset) from error
            if found.size < size:
                raise Flaw(TAMPERED, f"the list of checkpoints goes back from {size} to {found.size} records", segment="checkpoints", offset=offset)
            size, listed = found.size, listed or found.note == latest.note
            self.checkpoints += 1
            yield found
        if not listed:
            raise Flaw(TAMPERED, "the newest checkpoint is not on the list of checkpoints", segment="checkpoints", offset=end)

    def _meet(self) -> None:
        """Compare the tree with every checkpoint that speaks of its present size."""
        while self.next is None or self.next.size <= self.size:
            if self.next is not None:
                if self.level != "chain" and self.next.root != self.tree.root():
                    raise Flaw(TAMPERED, f"the first {self.size} records are not the ones that were signed", n=max(0, self.size - 1))
                self.signed = self.size
            self.next = next(self.due, None)
            if self.next is None:
                return

    def _segment(self, first: int, path: Path, *, last: bool) -> None:
        if first > self.size:
            raise Flaw(INCOMPLETE, f"records {self.size} to {first - 1} are missing", n=self.size, segment=path.name)
        if first < self.size:
            raise Flaw(TAMPERED, f"the segment does not begin where the one before ends, at {self.size}", n=self.size, segment=path.name, offset=0)
        self.segments += 1
        self.first = first
        take = {"chain": self._take_link, "root": self._take_leaf, "full": self._take_whole}[self.level]
        for offset, line, whole in lines_of(path):
            if not whole:
                line = self._rest_of_torn(path, offset, last=last)
            try:
                take(line)
            except BrokenLine as error:
                raise Flaw(TAMPERED, f"record {self.size}: {error}", n=self.size, segment=path.name, offset=offset) from error
            except ObjectMissing as error:
                raise Flaw(
                    INCOMPLETE, f"record {self.size} names a missing object, {error}", n=self.size, segment=path.name, offset=offset
                ) from error
            self.size += 1
            if self.next is not None and self.next.size == self.size:
                self._meet()
            if self.progress is not None and self.size % PROGRESS_RECORDS == 0:
                self.progress(self.size)

    def _rest_of_torn(self, path: Path, offset: int, *, last: bool) -> bytes:
        """A line without its end: a writer may be in the middle of it, but only behind all that was signed."""
        line = _grown(path, offset) if last and self.next is None else b""
        if not line:
            raise Flaw(INCOMPLETE if last and self.next is None else TAMPERED, TORN, n=self.size, segment=path.name, offset=offset)
        return line

    def _take_link(self, line: bytes) -> None:
        if not line.startswith(b'{"n":%d,"prev":"%b","t":' % (self.size, self.prev.hex().encode())) or len(line) > LINE_BYTES_MAX:
            raise BrokenLine(NOT_NEXT)
        self.prev = leaf_hash(line)

    def _take_leaf(self, line: bytes) -> None:
        self._take_link(line)
        self.tree.push(self.prev)

    def _take_whole(self, line: bytes) -> None:
        members = parse(line, self.size, self.prev.hex(), self.t)
        self.t = members["t"]
        self.content.check(members, self.tree, self.origin, first=self.size == self.first)
        self.prev = leaf_hash(line)
        self.tree.push(self.prev)


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
