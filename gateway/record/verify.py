"""Judging a log with nothing but its folder and keys from outside it: is every record as it was written, and is none missing?

The checkpoints say what must be there (`due.py`), a walk along the segments sees whether it is (`walk.py`); here is what surrounds the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path

from gateway.errors import Problem
from gateway.record.boundary import begin_at, segment_since
from gateway.record.due import Span, Trust
from gateway.record.epochs import followed
from gateway.record.folder import LogFolder
from gateway.record.folder import replace as replace_file
from gateway.record.note import CHECKPOINT_BYTES_MAX, BadNote, Checkpoint, NoteKey
from gateway.record.parts import ReplayIn, Task, walk_parts
from gateway.record.pruned import of_pruned
from gateway.record.report import INCOMPLETE, KEY, OK, TAMPERED, Flaw, Level, Report
from gateway.record.stored import read_stored
from gateway.record.walk import Reached, Tally, Walk


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of a log.

    `origin` is the name the log must have, when known. `pin` is a file outside the log that remembers the last checkpoint seen; the log must extend
    it. Without one, a log that was set back to an earlier time, checkpoints and all, cannot be told from that time. `since` or `since_t`
    (microseconds): begin with the segment that holds this record or time; what stands before it is only compared by its root. A pin, and either of
    these, need level `root` at least, and get it. `replay` is needed for that level. `pool`: where segments are looked at, several at a time; the
    report is the same as without.
    """

    level: Level = "full"
    origin: str | None = None
    pin: Path | None = None
    since: int | None = None
    since_t: int | None = None
    replay: ReplayIn | None = None
    pool: Executor | None = None


def verify_folder(
    folder: Path,
    *,
    keys: Sequence[NoteKey],
    level: Level = "full",
    origin: str | None = None,
    pin: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Verify a log with the most usual question, in this process."""
    return verify_log(folder, keys, Question(level, origin, pin), progress)


def verify_log(folder: Path, keys: Sequence[NoteKey], question: Question, progress: Callable[[int], None] | None = None) -> Report:
    """Verify a log, also while it is written. `progress` gets the number of records done. Never raises for what a log holds.

    Only keys under the log's own name count.
    """
    if question.level == "replay" and question.replay is None:
        raise ValueError("nobody was named to replay decisions")
    began = time.perf_counter()
    look = _Look(LogFolder(folder), keys, question, progress)
    try:
        look.run()
        report = look.report(OK, "every record is as it was written")
    except Flaw as flaw:
        report = replace(look.report(flaw.exit_code, flaw.message), first_bad=flaw.n, segment=flaw.segment, offset=flaw.offset)
    except OSError as error:
        report = look.report(INCOMPLETE, f"a file cannot be read: {error.strerror} ({error.filename})")
    return replace(report, elapsed_s=time.perf_counter() - began)


class _Look:
    """One look at a log."""

    def __init__(self, folder: LogFolder, keys: Sequence[NoteKey], question: Question, progress: Callable[[int], None] | None) -> None:
        self.folder = folder
        self.keys = keys
        self.question = question
        self.progress = progress
        partial = question.pin is not None or question.since is not None or question.since_t is not None
        self.level: Level = "root" if partial and question.level == "chain" else question.level
        self.origin = ""
        self.since = 0
        self.tally = Tally()
        self.walk: Walk | None = None

    def report(self, exit_code: int, message: str) -> Report:
        report = Report(self.level, self.origin, exit_code, message, since=self.since, checkpoint_age_s=_age_of(self.folder.checkpoint))
        if self.walk is None:
            return report
        reached, tally = self.walk.reached, self.tally.plus(self.walk.tally())
        return replace(
            report,
            size=reached.size,
            root=reached.tree.root().hex() if reached.tree.size == reached.size else "",
            signed=tally.signed,
            unsigned=max(0, reached.size - tally.signed),
            checkpoints=tally.checkpoints,
            newest_t=tally.newest_t,
            segments=tally.segments,
            objects=len(tally.seen),
            decisions=tally.decisions,
        )

    def run(self) -> None:
        trust = self._trust()
        pin = self.question.pin
        latest, trust = self._newest(trust)
        pinned = _read_note(trust, pin, "the pinned checkpoint") if pin and pin.exists() else None
        # Each signed record was durable before its note; so notes are taken first, and the log, read after them, must hold what they say.
        segments = self.folder.segment_list()
        begins = segments[0][0] if segments else 0
        if begins and self.level == "chain":
            self.level = "root"  # without what was pruned only a root tells what the rest follows from
        span = Span(0, self.folder.checkpoints.stat().st_size) if self.level != "chain" else Span(0, 0)
        reached = Reached.beginning(trust.origin)
        asked = self.question.since is not None or self.question.since_t is not None
        at = segment_since(segments, self.question.since, self.question.since_t)
        if pinned is not None:  # what was seen before must be on the way
            at = min(at, segment_since(segments, pinned.size, None))
        if at or begins:
            reached, start = begin_at(self.folder, trust, *segments[at], self.level)
            span = replace(span, start=start)
            self.since = reached.size
        begun = reached.tree.copy()
        self._walk(Task(self.folder.path, trust, self.level, latest, pinned, span, self.question.replay), segments[at:], reached)
        past = pinned if pinned is not None and pinned.size < begins else None
        flaw = of_pruned(self.folder, begun, past, latest.size) if begins and (past or not asked) else None
        if pin is not None and (pinned is None or latest.size >= pinned.size):
            replace_file(pin, latest.note, durable=True)
        self._tell_gaps(flaw)
        if flaw is not None:
            raise flaw

    def _newest(self, trust: Trust) -> tuple[Checkpoint, Trust]:
        """The newest checkpoint, and the keys by which it is believed: where none of the given ones has signed it, one may follow from them.

        That counts only where the whole log is walked, so that the checkpoint by which the old key handed over is met.
        """
        name = "the newest checkpoint"
        try:
            return _read_note(trust, self.folder.checkpoint, name), trust
        except Flaw:
            if self.level == "chain" or self.question.since is not None or self.question.since_t is not None:
                raise
            keys = followed(self.folder, trust.origin, trust.keys)
            if len(keys) == len(trust.keys):
                raise
            trust = replace(trust, keys=keys)
            return _read_note(trust, self.folder.checkpoint, name), trust

    def _tell_gaps(self, flaw: Flaw | None) -> None:
        """Raises Flaw when the log tells of an accepted loss; what else is to be told goes along."""
        gaps = self.tally.plus(self.walk.tally()).gaps if self.walk else ()
        if gaps:
            before = f"{flaw.message}; and " if flaw else ""
            raise Flaw(INCOMPLETE, f"{before}records were lost, and the loss accepted: see record {gaps[0]}; all that is left is as it was written")

    def _trust(self) -> Trust:
        try:
            self.origin = self.folder.origin()
        except Problem as problem:
            raise Flaw(INCOMPLETE, problem.message) from problem
        if self.question.origin not in {None, self.origin}:
            raise Flaw(TAMPERED, f"this is the log of {self.origin}, not of {self.question.origin}")
        keys = tuple(key for key in self.keys if key.name == self.origin)
        if not keys:
            raise Flaw(KEY, f"no key is given for {self.origin}")
        return Trust(self.origin, keys)

    def _walk(self, task: Task, segments: list[tuple[int, Path]], reached: Reached) -> None:
        """First side by side, where that was asked for; then alone."""
        if self.question.pool is not None:
            handed = walk_parts(self.question.pool, task, segments, reached, self.progress)
            task, reached, segments, self.tally = handed.rest, handed.reached, segments[handed.segments :], handed.tally
        self.walk = task.walk(reached)
        self.walk.progress = self.progress
        self.walk.due.meet(reached.size, reached.tree)
        for first, path in segments:
            self.walk.segment(first, path, last=path == segments[-1][1])
        coming = self.walk.due.next
        if coming is not None:
            raise Flaw(TAMPERED, f"{coming.size} records were signed, the log ends after {reached.size}", n=reached.size)
        if self.level != "chain" and not self.tally.plus(self.walk.tally()).listed:
            raise Flaw(TAMPERED, "the newest checkpoint is not on the list of checkpoints", segment="checkpoints", offset=task.span.end)


def _read_note(trust: Trust, path: Path, name: str) -> Checkpoint:
    try:
        return trust.checkpoint(read_stored(path, CHECKPOINT_BYTES_MAX))
    except FileNotFoundError as error:
        raise Flaw(KEY, f"{name} is missing: nothing says what this log should be") from error
    except BadNote as error:
        raise Flaw(KEY, f"{name}: {error}") from error


def _age_of(path: Path) -> float | None:
    """Seconds since a file was written, by its own time."""
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None
