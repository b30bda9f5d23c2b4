"""The way out of damage that a start refuses: what is sound is kept, the rest is moved to torn/, and a `gap` record tells of it for ever.

Sound is the longest beginning of the log whose links hold, whose last record the next one or a checkpoint confirms, and that no checkpoint contradicts. What the record will say is on the disk before
anything is moved (`gap`), and whoever opens the log next writes it: there is no moment at which a stop would hide the loss.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from gateway.canonical import Json, digest, dumps_in_order
from gateway.errors import Problem
from gateway.record.boundary import state_at
from gateway.record.folder import LogFolder, replace, sync_folder
from gateway.record.line import LINE_BYTES_MAX, genesis
from gateway.record.notary import notes_in
from gateway.record.note import BadNote, Checkpoint, NoteKey, open_checkpoint
from gateway.record.packed import SUFFIX, PackedBroken, open_segment
from gateway.record.reader import lines_of
from gateway.record.recovery import holds_whole_records
from gateway.record.tree import Frontier, leaf_hash

TOLD_MAX = 100
"""Files that a `gap` record describes one by one: it has to fit into a line."""


PIECE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Sound:
    """How far a log is sound: so many records, up to this byte of the segment that begins with record `first`."""

    size: int
    first: int
    offset: int


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong with a log. `signed` is the newest valid checkpoint; `lost_bytes` and `lost_lines` stand behind what is sound."""

    why: str
    sound: Sound
    signed: Checkpoint | None
    lost_bytes: int
    lost_lines: int

    @property
    def lost_signed(self) -> int:
        """Records that were signed and are not in what is sound."""
        return max(0, self.signed.size - self.sound.size) if self.signed else 0


def diagnose(folder: LogFolder, keys: Sequence[NoteKey]) -> Damage | None:
    """What is wrong; None when nothing is that a start would not put right by itself. Raises Problem when no key vouches for any checkpoint."""
    origin = folder.origin()
    notes, spoiled = _valid_notes(folder, keys, origin)
    if not notes:
        raise Problem("log_key", "no given key has signed a checkpoint of this log", file=str(folder.path), remedy="give the keys that signed it")
    signed = max(notes, key=lambda note: note.size)
    walk = _Walk(notes, genesis(origin))
    why = walk.run(folder)
    sound = walk.confirmed if why else walk.here
    if not why and sound.size < signed.size:
        why, sound = f"{signed.size} records were signed, and the log ends after {sound.size}", walk.confirmed
    if not why and spoiled:
        why = "the list of checkpoints holds what no key has signed"
    if not why:
        return None
    return Damage(why, sound, signed, *_behind(folder, sound))


def _behind(folder: LogFolder, sound: Sound) -> tuple[int, int]:
    """Bytes and lines behind what is sound, counted in pieces: they may be more than memory holds. Of what does not unpack only the bytes."""
    size = count = 0
    for first, path in folder.segment_list():
        if first < sound.first:
            continue
        try:
            with open_segment(path) as stream:
                stream.seek(sound.offset if first == sound.first else 0)
                while piece := stream.read(PIECE_BYTES):
                    size += len(piece)
                    count += piece.count(b"\n")
        except PackedBroken:
            size += path.stat().st_size
    return size, count


def accept_loss(folder: LogFolder, keys: Sequence[NoteKey], why: str, by: str) -> Damage:
    """Move everything behind what is sound to torn/. The caller MUST open the log next, which writes the `gap` record. Raises Problem, OSError."""
    lock = folder.lock()
    try:
        damage = diagnose(folder, keys)
        if damage is None:
            raise Problem("log_sound", "nothing is wrong that a start does not put right", file=str(folder.path), remedy="start the gateway")
        if not damage.sound.size:
            remedy = "move the folder away and start a new log with a new origin"
            raise Problem("log_lost", "no record of this log is sound", file=str(folder.path), remedy=remedy)
        _quarantine(folder, keys, damage, why, by)
    finally:
        os.close(lock)
    return damage


def _valid_notes(folder: LogFolder, keys: Sequence[NoteKey], origin: str) -> tuple[list[Checkpoint], bool]:
    """The valid checkpoints of list and latest, and whether the list holds others, but for a torn end."""
    found: list[Checkpoint] = []
    bad: list[int] = []
    for offset, note in notes_in(folder):
        try:
            found.append(open_checkpoint(note, keys))
        except BadNote:
            bad.append(offset)
    end = folder.checkpoints.stat().st_size if folder.checkpoints.exists() else 0
    spoiled = any(offset < end - 16 * 1_024 for offset in bad) or len(bad) > 16
    with contextlib.suppress(OSError, BadNote):
        found.append(open_checkpoint(folder.checkpoint.read_bytes(), keys))
    return [note for note in found if note.origin == origin], spoiled


class _Walk:
    """`here` is how far the links hold; `confirmed` is as far as the next record, or a checkpoint, confirms the last one, too."""

    def __init__(self, notes: Sequence[Checkpoint], prev: bytes) -> None:
        self.tree = Frontier()
        self.prev = prev
        self.here = self.confirmed = self._matched = Sound(0, 0, 0)
        self._roots: dict[int, set[bytes]] = {}
        for note in notes:
            self._roots.setdefault(note.size, set()).add(note.root)

    def run(self, folder: LogFolder) -> str:
        """Walk until something is wrong, and say what; empty when nothing is."""
        segments = folder.segment_list()
        if segments and segments[0][0]:
            state = state_at(*segments[0], "root")
            if state is None or state.tree.root() not in self._roots.get(segments[0][0], ()):
                return "the log does not begin with a state that was signed"
            self.tree, self.prev = state.tree, state.prev
        for first, path in segments:
            if first > self.tree.size:
                return f"records {self.tree.size} to {first - 1} are missing"
            if first < self.tree.size:
                return "two segments hold the same records"
            why = self.take(first, path, last=path == segments[-1][1])
            if why is not None:
                return why
        return ""

    def take(self, first: int, path: Path, *, last: bool) -> str | None:
        """Walk one segment. What is wrong; empty for a torn end, which is a crash's; None when nothing is."""
        try:
            for offset, line, whole in lines_of(path):
                head = b'{"n":%d,"prev":"%b","t":' % (self.tree.size, self.prev.hex().encode())
                if not whole or len(line) > LINE_BYTES_MAX or not line.startswith(head):
                    if last and not _goes_on(path, offset):
                        return ""
                    return f"record {self.tree.size} in {path.name} does not follow from the one before"
                if not self._push(line, Sound(self.tree.size + 1, first, offset + len(line) + 1)):
                    return f"the first {self.tree.size} records are not the ones that were signed"
        except PackedBroken:
            return f"{path.name} does not unpack"
        return None

    def _push(self, line: bytes, here: Sound) -> bool:
        """False, back at the last checkpoint that was met, where one is contradicted."""
        self.prev = leaf_hash(line)
        self.tree.push(self.prev)
        self.here, self.confirmed = here, self.here
        if here.size in self._roots:
            if self._roots[here.size] != {self.tree.root()}:
                self.confirmed = self._matched
                return False
            self.confirmed = self._matched = here
        return True


def _goes_on(path: Path, offset: int) -> bool:
    """Whether a record stands whole from here on: what a crash has torn ends a file."""
    with open_segment(path) as stream:
        stream.seek(offset)
        return holds_whole_records(stream.readall())


def _quarantine(folder: LogFolder, keys: Sequence[NoteKey], damage: Damage, why: str, by: str) -> None:
    sound, moved = damage.sound, list[tuple[Path, int]]()
    for first, path in folder.segment_list():
        if first > sound.first or (first == sound.first and path.suffix == SUFFIX):
            moved.append((path, 0))
        elif first == sound.first and path.suffix == ".jsonl" and path.stat().st_size > sound.offset:
            moved.append((path, sound.offset))
    body = _gap(damage, moved, why, by)
    replace(folder.gap, dumps_in_order(body), durable=True)
    for path, offset in moved:
        if path.suffix == SUFFIX and path.name.startswith(f"{sound.first:020d}"):  # the writer goes on in it, so it may not stay packed
            lines = [line + b"\n" for _, line, _ in islice(lines_of(path), sound.size - sound.first)]
            replace(folder.segment(sound.first), b"".join(lines), durable=True)
        _move(folder, path, offset)
    kept = [note.note for note in _valid_notes(folder, keys, folder.origin())[0] if note.size <= sound.size]
    replace(folder.torn / f"checkpoints.{sound.size}", folder.checkpoints.read_bytes(), durable=True)
    replace(folder.checkpoints, b"".join(dict.fromkeys(kept)), durable=True)
    folder.checkpoint.unlink(missing_ok=True)
    if kept:
        replace(folder.checkpoint, max(kept, key=lambda note: int(note.split(b"\n", 2)[1])), durable=True)


def _gap(damage: Damage, moved: Sequence[tuple[Path, int]], why: str, by: str) -> dict[str, Json]:
    signed = damage.signed
    return {
        "size": damage.sound.size,
        "damage": damage.why,
        "signed": {"size": signed.size, "root": signed.root.hex(), "note": signed.note.decode()} if signed else None,
        "lost": damage.lost_signed,
        "torn": [_described(path, offset) for path, offset in moved[:TOLD_MAX]],
        "torn_files": len(moved),
        "why": why,
        "by": by,
    }


def _described(path: Path, offset: int) -> dict[str, Json]:
    data = path.read_bytes()[offset:]
    return {"file": path.name, "at": offset, "bytes": len(data), "digest": digest(data)}


def _move(folder: LogFolder, path: Path, offset: int) -> None:
    """The copy is durable before the original shrinks or goes."""
    data = path.read_bytes()
    replace(folder.torn / f"{path.name}.{offset}.{digest(data[offset:])[7:23]}", data[offset:], durable=True)
    if offset:
        replace(path, data[:offset], durable=True)
    else:
        path.unlink()
        sync_folder(path.parent)
