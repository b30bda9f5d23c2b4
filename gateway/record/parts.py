"""Looking at the segments of a log side by side, with the result that one walk from end to end would have.

The head of a segment repeats the state of the log before it, so each can be walked by itself on the word of its head. The parts are then put together
in order: as long as a part is sound and began with the state in which the one before it ended, it counts. From the first that does not on, one
walk goes on alone, and it alone says what is wrong.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass, replace
from itertools import repeat
from pathlib import Path

from gateway.record.boundary import state_at
from gateway.record.due import Due, Listed, Span, Trust
from gateway.record.folder import LogFolder
from gateway.record.notary import notes_in
from gateway.record.note import Checkpoint
from gateway.record.report import Flaw, Level
from gateway.record.walk import Reached, Replay, Tally, Walk

ReplayIn = Callable[[Path], Replay]
"""Makes, in the process where it will be used, what replays the decisions of the log in a folder. It goes there by its name."""


@dataclass(frozen=True, slots=True)
class Task:
    """What a walk needs besides where it begins. `span` is the part of the list of checkpoints that it meets; at level `chain` it is empty."""

    folder: Path
    trust: Trust
    level: Level
    latest: Checkpoint
    pinned: Checkpoint | None
    span: Span
    replay: ReplayIn | None

    def walk(self, reached: Reached, size_max: int | None = None) -> Walk:
        """A walk from here, as far as a size or to the end."""
        folder = LogFolder(self.folder)
        listed = Listed(folder, self.trust, self.latest.note, self.span)
        single = [note for note in (self.pinned, self.latest if self.level == "chain" else None) if note is not None]
        within = [note for note in single if reached.size <= note.size and (size_max is None or note.size <= size_max)]
        walk = Walk(folder, self.trust.origin, self.level, reached, Due(listed, within, roots=self.level != "chain"))
        walk.replay = self.replay(self.folder) if self.replay and self.level == "replay" else None
        return walk


@dataclass(frozen=True, slots=True)
class Part:
    """A sound walk along one segment: the state it took the head's word for, the time of its first record, and where it ended."""

    begun: Reached
    t: int
    ended: Reached
    tally: Tally


@dataclass(frozen=True, slots=True)
class Handed:
    """What parts have done: so many segments, up to here, and the task for whoever walks the rest."""

    segments: int
    reached: Reached
    tally: Tally
    rest: Task


def walk_parts(pool: Executor, task: Task, segments: list[tuple[int, Path]], reached: Reached, progress: Callable[[int], None] | None) -> Handed:
    """Walk segments in the pool, beginning at `reached`, and put together those that fit."""
    handed = Handed(0, reached, Tally(), task)
    spans = list(_spans(task, segments))
    if len(spans) != len(segments):
        return handed
    begins = [reached, *repeat(None, len(segments) - 1)]
    ends = [*(first for first, _ in segments[1:]), None]
    try:
        for part, span in zip(pool.map(walk_part, [replace(task, span=span) for span in spans], segments, begins, ends), spans, strict=True):
            if part is None or not _follows(part, handed.reached):
                break
            rest = replace(task, span=Span(span.end, task.span.end, part.ended.size))
            handed = Handed(handed.segments + 1, part.ended, handed.tally.plus(part.tally), rest)
            if progress is not None:
                progress(part.ended.size)
    except BrokenExecutor:  # a process of the pool was killed: one walk does the rest
        pass
    return handed


def walk_part(task: Task, segment: tuple[int, Path], begin: Reached | None, end: int | None) -> Part | None:
    """Walk one segment, which ends where the next begins, or ends the log. None when anything is wrong."""
    first, path = segment
    begun = begin or state_at(first, path, task.level)
    if begun is None:
        return None
    reached = begun.copy()
    walk = task.walk(reached, end)
    try:
        walk.due.meet(reached.size, reached.tree)
        walk.segment(first, path, last=end is None)
    except (Flaw, OSError):
        return None
    return None if walk.due.next else Part(begun, walk.first_t, reached, walk.tally())


def _follows(part: Part, reached: Reached) -> bool:
    begun = part.begun
    same = begun.size == reached.size and begun.prev == reached.prev and begun.tree.hashes == reached.tree.hashes
    return same and begun.open_calls == reached.open_calls and part.t >= reached.t


def _spans(task: Task, segments: list[tuple[int, Path]]) -> Iterator[Span]:
    """The part of the list of checkpoints that each segment meets, by what their notes say before anybody has verified them. Fewer than there are
    segments when the list is out of order.
    """
    if task.level == "chain":
        yield from repeat(task.span, len(segments))
        return
    heads = [first for first, _ in segments[1:]]
    begin, end, size = task.span.start, task.span.end, 0
    for offset, note in notes_in(LogFolder(task.folder), begin):
        if offset >= end:
            break
        try:
            found = int(note.split(b"\n", 2)[1])
        except (IndexError, ValueError):
            return
        if found < size:
            return
        size = found
        while heads and found > heads[0]:
            yield Span(begin, offset, list_end=end)
            begin = offset
            heads.pop(0)
    for _ in (*heads, None):
        yield Span(begin, end)
        begin = end
