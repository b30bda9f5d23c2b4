"""Signing the log as it grows: the append-only list `checkpoints` and its newest entry, `checkpoint`."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace as changed

from gateway.record.folder import LogFolder, replace, sync_folder, write_all
from gateway.record.note import CHECKPOINT_BYTES_MAX, BadNote, Checkpoint, NoteKey, open_checkpoint
from gateway.record.signer import NoteSigner
from gateway.record.stored import open_stored, read_stored

NOTE_LINES = 5
NOTE_BYTES_MAX = 1_024
UNSYNCED_NOTES_MAX = 16
"""What a power cut may spoil at the end of the list; damage further back is no crash."""
WHOLE_NOTE = re.compile(rb"(?m)^[!-~\x80-\xff]+\n[0-9]+\n[A-Za-z0-9+/]{43}=\n\n(?:\xe2\x80\x94 [^ \n]+ [A-Za-z0-9+/]+=*\n)+")


class Notary:
    """Writes checkpoints; used by the writer thread only. Checkpoints follow the durable log, so they need no fsync of their own to be true."""

    def __init__(self, folder: LogFolder, origin: str, signer: NoteSigner) -> None:
        self._folder = folder
        self._origin = origin
        self._signer = signer
        self._descriptor = os.open(folder.checkpoints, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._end = os.lseek(self._descriptor, 0, os.SEEK_END)
        self._unsynced = 0
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
        self._unsynced += 1
        if self._unsynced >= UNSYNCED_NOTES_MAX:
            self.sync()
        replace(self._folder.checkpoint, note, durable=False)
        return changed(unsigned, note=note)

    def renew(self, size: int, root: bytes, *, keep: bool) -> None:
        """Sign the same size with the old key and the new one: where the two meet, each vouches for the other. Raises OSError, Problem."""
        self.sign(size, root)
        self.sync()
        self._signer.renew(self._origin, size, keep=keep)
        self.sign(size, root)
        self.sync()

    def sync(self) -> None:
        os.fsync(self._descriptor)
        self._unsynced = 0

    def close(self) -> None:
        os.close(self._descriptor)


def notes_in(folder: LogFolder, offset: int = 0) -> Iterator[tuple[int, bytes]]:
    """Every note of the list from an offset on, each with its own, unjudged. The last one may be torn: then it does not end as a note does."""
    try:
        stream = open_stored(folder.checkpoints)
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

    Reads only the end of the list, so that a start does not take longer with a log's age. Notes that a power cut spoiled are passed over, and
    valid ones behind them count all the same. Raises BadNote when the list is damaged in a way that a crash does not explain: a whole note that no
    key vouches for, or damage further back than what was not synced yet.
    """
    best: Checkpoint | None = None
    spoiled: int | None = None
    end = note_bytes = 0
    for start, note in _last_notes(folder, origin):
        end = start + len(note)
        try:
            found = open_checkpoint(note, keys)
        except BadNote:
            if WHOLE_NOTE.search(note):
                raise
            spoiled = start if spoiled is None else spoiled
            continue
        note_bytes = len(note)
        if found.origin == origin and (best is None or found.size >= best.size):
            best = found
    if spoiled is not None and end - spoiled > UNSYNCED_NOTES_MAX * ((note_bytes or NOTE_BYTES_MAX) + 20):
        raise BadNote("the list is broken further back than a crash can reach")
    valid_end = end if spoiled is None else spoiled
    try:
        latest = open_checkpoint(read_stored(folder.checkpoint, CHECKPOINT_BYTES_MAX), keys)
    except (OSError, BadNote):
        return best, valid_end
    if latest.origin == origin and (best is None or latest.size > best.size):
        best = latest
    return best, valid_end


def _last_notes(folder: LogFolder, origin: str) -> Iterator[tuple[int, bytes]]:
    """The list's notes near its end, in order, each with its offset. All notes of one list start with the same line, which finds them."""
    first = f"{origin}\n".encode()
    try:
        with open_stored(folder.checkpoints) as stream:
            end = stream.seek(0, os.SEEK_END)
            start = max(0, end - 32 * NOTE_BYTES_MAX)
            stream.seek(start)
            data = stream.read()
    except FileNotFoundError:
        return
    if start:
        cut = max(0, data.find(b"\n" + first) + 1)
        start, data = start + cut, data[cut:]
    while data:
        whole = WHOLE_NOTE.match(data)  # what follows it may have lost the line that notes begin with
        cut = whole.end() if whole else data.find(b"\n" + first) + 1
        note = data[:cut] if cut else data
        yield start, note
        start += len(note)
        data = data[len(note) :]
