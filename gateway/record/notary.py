"""Signing the log as it grows: the append-only list `checkpoints` and its newest entry, `checkpoint`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace as changed

from gateway.record.folder import LogFolder, replace, sync_folder, write_all
from gateway.record.note import BadNote, Checkpoint, NoteKey, open_checkpoint
from gateway.record.signer import NoteSigner

NOTE_LINES = 5
NOTE_BYTES_MAX = 1_024


class Notary:
    """Writes checkpoints; used by the writer thread only. Checkpoints follow the durable log, so they need no fsync of their own to be true."""

    def __init__(self, folder: LogFolder, origin: str, signer: NoteSigner) -> None:
        self._folder = folder
        self._origin = origin
        self._signer = signer
        self._descriptor = os.open(folder.checkpoints, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._end = os.lseek(self._descriptor, 0, os.SEEK_END)
        sync_folder(folder.path)  # the list's name; its content is synced as it grows

    def sign(self, size: int, root: bytes) -> Checkpoint:
        """Sign and publish. Raises OSError; a half-written note is taken back."""
        unsigned = Checkpoint(self._origin, size, root)
        note = self._signer.sign(self._origin, unsigned.text)
        try:
            write_all(self._descriptor, note)
        except OSError:
            os.ftruncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)
            raise
        self._end += len(note)
        replace(self._folder.checkpoint, note, durable=False)
        return changed(unsigned, note=note)

    def sync(self) -> None:
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


def notes_in(folder: LogFolder, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every note of the list from an offset on, each with its own, unjudged. The last one may be torn: then it does not end as a note does."""
    try:
        stream = folder.checkpoints.open("rb")
    except FileNotFoundError:
        return
    with stream:
        stream.seek(offset)
        while True:
            note = b"".join(stream.readline(NOTE_BYTES_MAX) for _ in range(NOTE_LINES))
            if not note:
                return
            yield offset, note
            offset += len(note)


def newest_checkpoint(folder: LogFolder, keys: Sequence[NoteKey], origin: str) -> tuple[Checkpoint | None, int]:
    """The largest valid checkpoint of list and latest, and the offset in the list after which nothing is valid.

    Reads only the end of the list, so that a start does not take longer with a log's age. Raises BadNote when that is
    damaged in a way that a crash does not explain.
    """
    best: Checkpoint | None = None
    valid_end = 0
    for start, note in _last_notes(folder):
        try:
            found = open_checkpoint(note, keys)
        except BadNote:
            if note.count(b"\n") == NOTE_LINES or (start and not valid_end):
                raise  # a crash tears the last note; it does not leave a whole one that is wrong
            break
        valid_end = start + len(note)
        if found.origin == origin and (best is None or found.size >= best.size):
            best = found
    try:
        latest = open_checkpoint(folder.checkpoint.read_bytes(), keys)
    except (OSError, BadNote):
        return best, valid_end
    if latest.origin == origin and (best is None or latest.size > best.size):
        best = latest
    return best, valid_end


def _last_notes(folder: LogFolder) -> Iterator[tuple[int, bytes]]:
    """The list's notes near its end, in order, each with its offset. All notes of one list start with the same line, which finds them."""
    try:
        with folder.checkpoints.open("rb") as stream:
            first = stream.readline(NOTE_BYTES_MAX)
            end = stream.seek(0, os.SEEK_END)
            start = max(0, end - 16 * NOTE_BYTES_MAX)
            stream.seek(start)
            data = stream.read()
    except FileNotFoundError:
        return
    if start:
        cut = data.find(b"\n" + first)
        start, data = start + cut + 1, data[cut + 1 :]
    while data:
        lines = data.split(b"\n", NOTE_LINES)
        note = data if len(lines) <= NOTE_LINES else data[: len(data) - len(lines[NOTE_LINES])]
        yield start, note
        start += len(note)
        data = data[len(note) :]
