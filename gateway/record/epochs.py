"""Keys that follow from a trusted one: the log names the next key in a `key.rotate` record, and the old key signs the log with that record in it.

So an auditor who holds the first key needs no other way to learn the later ones; but only a walk that meets the old key's checkpoint shows that the
record was really there when that was signed. From there on the old key may sign nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway.record.folder import LogFolder
from gateway.record.notary import notes_in
from gateway.record.note import BadNote, NoteKey, open_checkpoint
from gateway.record.pruned import marked


def followed(folder: LogFolder, origin: str, keys: Sequence[NoteKey]) -> tuple[NoteKey, ...]:
    """The given keys and those that follow from them, each with the sizes that it may sign. Keys that are given with sizes are not followed."""
    found = list(keys)
    for record in marked(folder, "key.rotate"):
        old = next((key for key in found if str(key) == record.body.get("old") and key.last is None), None)
        try:
            new = NoteKey.parse(str(record.body.get("new")))
        except BadNote:
            continue
        size = _signed_with(folder, old, record.n) if old is not None else None
        if old is not None and size is not None and new.name == origin and new not in found:
            found.remove(old)
            found += [replace(old, last=size), replace(new, first=size)]
    return tuple(found)


def _signed_with(folder: LogFolder, key: NoteKey, n: int) -> int | None:
    """The size of the first checkpoint by this key that covers record `n`."""
    for _, note in notes_in(folder):
        try:
            if int(note.split(b"\n", 2)[1]) > n:
                return open_checkpoint(note, [key]).size
        except (BadNote, IndexError, ValueError):
            continue
    return None
