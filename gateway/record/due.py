"""The checkpoints that a look at a log has to meet, in the order of their sizes, each verified before it counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from heapq import merge

from gateway.record.folder import LogFolder
from gateway.record.notary import notes_in
from gateway.record.note import BadNote, Checkpoint, NoteKey, open_checkpoint
from gateway.record.report import KEY, TAMPERED, Flaw
from gateway.record.tree import Frontier


@dataclass(frozen=True, slots=True)
class Trust:
    """The name that a log must have, and the keys by which it is believed."""

    origin: str
    keys: tuple[NoteKey, ...]

    def checkpoint(self, note: bytes) -> Checkpoint:
        """Raises BadNote unless it is signed by such a key, for this log."""
        found = open_checkpoint(note, self.keys)
        if found.origin != self.origin:
            raise BadNote(f"it is of another log, {found.origin}")
        return found


@dataclass(frozen=True, slots=True)
class Span:
    """A part of the list of checkpoints: bytes from `start` to `end`, with no size below `size_min` in it. A note between `end` and `list_end` is
    the next that will be met; whoever walks from end to end would have read it by then.
    """

    start: int
    end: int
    size_min: int = 0
    list_end: int = 0


class Listed:
    """The list of checkpoints, verified note by note as it is read. Sizes never fall. `met` says whether `latest` stands on it."""

    def __init__(self, folder: LogFolder, trust: Trust, latest: bytes, span: Span) -> None:
        self._folder = folder
        self._trust = trust
        self._latest = latest
        self._span = span
        self.count = 0
        self.met = False

    def __iter__(self) -> Iterator[Checkpoint]:
        size = self._span.size_min
        for offset, note in notes_in(self._folder, self._span.start):
            if offset >= self._span.end:
                if offset < self._span.list_end:
                    self._read(note, offset)
                return
            found = self._read(note, offset)
            if found.size < size:
                raise Flaw(TAMPERED, f"the list of checkpoints goes back from {size} to {found.size} records", segment="checkpoints", offset=offset)
            size = found.size
            self.met = self.met or note == self._latest
            self.count += 1
            yield found

    def _read(self, note: bytes, offset: int) -> Checkpoint:
        try:
            return self._trust.checkpoint(note)
        except BadNote as error:
            raise Flaw(KEY, f"checkpoint at byte {offset} of the list: {error}", segment="checkpoints", offset=offset) from error


class Due:
    """Checkpoints still to be met: those of the list, and single ones. `signed` is the size of the newest one met."""

    def __init__(self, listed: Listed, single: Iterable[Checkpoint], *, roots: bool) -> None:
        self.listed = listed
        self.signed = 0
        self.next: Checkpoint | None = None
        self._coming = merge(listed, *([note] for note in single), key=lambda note: note.size)
        self._roots = roots

    def meet(self, size: int, tree: Frontier) -> None:
        """Compare the tree with every checkpoint that speaks of its present size. Raises Flaw."""
        while self.next is None or self.next.size <= size:
            if self.next is not None:
                if self._roots and self.next.root != tree.root():
                    raise Flaw(TAMPERED, f"the first {size} records are not the ones that were signed", n=max(0, size - 1))
                self.signed = size
            self.next = next(self._coming, None)
            if self.next is None:
                return
