"""Checkpoints that others hold of this log, and this gateway of others, in `anchors/` beside the log; and what a client says to a witness.

No I/O but these small files: who carries a request to a witness and its answer back is the caller.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path

from gateway.record.cosign import WitnessKey, cosignatures
from gateway.record.folder import LogFolder, replace
from gateway.record.note import CHECKPOINT_BYTES_MAX, BadNote, Checkpoint, NoteKey, open_own_checkpoint, signature_line, signatures_of
from gateway.record.proof import BadProof
from gateway.record.stored import read_stored
from gateway.record.tlogproof import number


class Anchors:
    """The folder. `witness.NAME` is the newest checkpoint with that witness's cosignature, `peer.NAME` the newest one seen of a peer."""

    def __init__(self, folder: LogFolder) -> None:
        self.path = folder.path / "anchors"

    def keep(self, kind: str, name: str, note: bytes) -> None:
        self.path.mkdir(mode=0o700, exist_ok=True)
        replace(self._file(kind, name), note, durable=True)

    def kept(self, kind: str, name: str, keys: Sequence[NoteKey]) -> Checkpoint | None:
        """None when there is none, or it is not signed as it must be: then it is had anew."""
        try:
            return open_own_checkpoint(read_stored(self._file(kind, name), CHECKPOINT_BYTES_MAX), keys)
        except (FileNotFoundError, BadNote):
            return None

    def notes(self) -> list[bytes]:
        """Every checkpoint of this log that a witness has cosigned, as it was kept."""
        return [read_stored(path, CHECKPOINT_BYTES_MAX) for path in sorted(self.path.glob("witness.*"))] if self.path.is_dir() else []

    def _file(self, kind: str, name: str) -> Path:
        return self.path / f"{kind}.{name}"


def submission(old: int, path: Sequence[bytes], note: bytes) -> bytes:
    """The body of an add-checkpoint request (c2sp.org/tlog-witness)."""
    lines = [f"old {old}", *(base64.b64encode(one).decode() for one in path)]
    return "\n".join(lines).encode() + b"\n\n" + note


def cosigned(note: bytes, answer: bytes, key: WitnessKey) -> tuple[bytes, int]:
    """The checkpoint with the witness's cosignature added, and its time. Whatever else is in the answer is left out. Raises BadNote."""
    text, ours = signatures_of(note)
    same, theirs = signatures_of(text + b"\n" + answer)
    if same != text:
        raise BadNote("the answer is more than signatures")
    lines = [*ours, *((name, raw) for name, raw in theirs if (name, raw[:4]) == (key.name, key.id))]
    whole = text + b"\n" + b"".join(signature_line(name, raw) for name, raw in lines)
    found = cosignatures(whole, [key])
    if key not in found:
        raise BadNote("the answer holds no cosignature by the witness's key")
    return whole, found[key]


def conflicting_size(answer: bytes) -> int:
    """The size in a witness's 409. Raises BadProof."""
    try:
        return number(answer.decode("ascii").removesuffix("\n"), "the witness's size")
    except UnicodeDecodeError as error:
        raise BadProof("the witness's size is not a number in its plain form") from error
