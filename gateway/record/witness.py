"""A witness (c2sp.org/tlog-witness): it cosigns a log's checkpoint only if that goes on from the last one it cosigned, and never forgets which that was.

So a log that shows two histories to two people cannot get both cosigned. What was cosigned is on the disk before anybody learns of it.
"""

from __future__ import annotations

import base64
import binascii
import fcntl
import hashlib
import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import Problem
from gateway.record.cosign import Cosigner, cosignatures
from gateway.record.folder import replace
from gateway.record.note import BadNote, Checkpoint, NoteKey, open_note, signature_line, signatures_of
from gateway.record.proof import BadProof, check_consistency
from gateway.record.tlogproof import number, read_hashes
from gateway.record.tree import EMPTY_ROOT

REQUEST_BYTES_MAX = 64 * 1024
SIZE_TYPE = "text/x.tlog.size"
EVIDENCE_FILES_MAX = 1_000
"""Forks that are kept. A log's owner can sign as many as he likes; the first thousand convict him."""

Logs = Mapping[str, Sequence[NoteKey]]
"""The keys of each log by its origin. A key's name need not be the origin."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a witness answers: HTTP status, body, and the body's media type."""

    status: int
    body: bytes
    type: str = "text/plain; charset=utf-8"


class _Refused(Exception):  # noqa: N818
    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Witness:
    """One witness over one folder. Blocking; from any thread, one request at a time."""

    def __init__(self, folder: Path, cosigner: Cosigner, logs: Logs) -> None:
        """Raises Problem when another process is this witness."""
        self._folder = folder
        self._cosigner = cosigner
        self._logs = logs
        self._turn = threading.Lock()
        for path in (folder / "logs", folder / "evidence"):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock)
            raise Problem("witness_locked", "another process is this witness", file=str(folder), remedy="stop it, or name another folder") from error

    def close(self) -> None:
        os.close(self._lock)

    def add(self, request: bytes, now_s: int) -> Answered:
        """Answer an add-checkpoint request. Raises OSError when the disk fails: then nothing was cosigned."""
        try:
            old, path, note = _read(request)
            new = _checkpoint(note, self._keys_for(note))
            with self._turn:
                return self._add(old, path, new, now_s)
        except _Refused as refused:
            return Answered(refused.status, f"{refused}\n".encode())

    def latest(self, origin_hash: str) -> bytes | None:
        """The newest checkpoint of a log with the witness's cosignature; `origin_hash` is the SHA-256 of the origin in hexadecimal."""
        for origin in self._logs:
            if _hash(origin) == origin_hash:
                return self._note(origin)
        return None

    def _keys_for(self, note: bytes) -> Sequence[NoteKey]:
        keys = self._logs.get(note.partition(b"\n")[0].decode("utf-8", "replace"))
        if keys is None:
            raise _Refused(404, "this witness does not know the log")
        return keys

    def _add(self, old: int, path: Sequence[bytes], new: Checkpoint, now_s: int) -> Answered:
        seen = self._seen(new.origin)
        if old > new.size:
            raise _Refused(400, "the old size is larger than the checkpoint's")
        if old != seen.size:
            return Answered(409, b"%d\n" % seen.size, SIZE_TYPE)
        try:
            check_consistency(seen.size, seen.root, new.size, new.root, path)
        except BadProof as error:
            if new.size == seen.size:
                self._convict(seen, new)
            raise _Refused(422, f"the checkpoint is not shown to go on from the one that was cosigned: {error}") from error
        text, signatures = signatures_of(new.note)
        line = self._cosigner.cosign(text, now_s)
        known = {(key.name, key.id) for key in self._logs[new.origin]}  # others' signatures are not judged, so they are not kept
        kept = b"".join(signature_line(name, raw) for name, raw in signatures if (name, raw[:4]) in known)
        replace(self._path(new.origin), text + b"\n" + kept + line, durable=True)
        return Answered(200, line)

    def _seen(self, origin: str) -> Checkpoint:
        """The last checkpoint that was cosigned. Raises Problem when the file is not as this witness wrote it: then it may not cosign."""
        note = self._note(origin)
        if note is None:
            return Checkpoint(origin, 0, EMPTY_ROOT)
        try:
            own = cosignatures(note, [self._cosigner.key])
            found = _checkpoint(note, self._logs[origin])
        except (BadNote, _Refused) as error:
            raise self._damaged(origin, str(error)) from error
        if not own:
            raise self._damaged(origin, "this witness has not cosigned it")
        return found

    def _damaged(self, origin: str, why: str) -> Problem:
        remedy = "restore it from backup: without it this witness could cosign a second history"
        return Problem("witness_state", f"what was cosigned last cannot be read: {why}", file=str(self._path(origin)), remedy=remedy)

    def _convict(self, seen: Checkpoint, new: Checkpoint) -> None:
        """Keep two checkpoints of one size with different roots, both signed by the log: nobody else can have made them."""
        place = self._folder / "evidence"
        if seen.size and sum(1 for _ in place.iterdir()) < EVIDENCE_FILES_MAX:
            replace(place / f"{_hash(new.origin)[:16]}.{new.size}.{new.root.hex()[:16]}", seen.note + b"\n" + new.note, durable=True)

    def _note(self, origin: str) -> bytes | None:
        try:
            return self._path(origin).read_bytes()
        except FileNotFoundError:
            return None

    def _path(self, origin: str) -> Path:
        return self._folder / "logs" / _hash(origin)


def _hash(origin: str) -> str:
    return hashlib.sha256(origin.encode()).hexdigest()


def _read(request: bytes) -> tuple[int, tuple[bytes, ...], bytes]:
    """Old size, proof and checkpoint of a request, each in its one form."""
    head, separator, note = request.partition(b"\n\n")
    if len(request) > REQUEST_BYTES_MAX or not separator or not head.startswith(b"old "):
        raise _Refused(400, "not an add-checkpoint request")
    try:
        first, *lines = head.decode("ascii").split("\n")
        return number(first.removeprefix("old "), "the old size"), read_hashes(lines), note
    except (UnicodeDecodeError, BadProof) as error:
        raise _Refused(400, f"not an add-checkpoint request: {error}") from error


def _checkpoint(note: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
    """A checkpoint that a key of its log has signed. Other than our own, it may have extension lines."""
    try:
        signatures_of(note)
    except BadNote as error:
        raise _Refused(400, str(error)) from error
    try:
        text = open_note(note, keys)
    except BadNote as error:
        raise _Refused(403, str(error)) from error
    try:
        origin, size, root, *more = text.decode().removesuffix("\n").split("\n")
        found = Checkpoint(origin, number(size, "the size"), base64.b64decode(root, validate=True), note)
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise _Refused(400, "the note is no checkpoint") from error
    if "" in (origin, *more) or len(found.root) != 32 or base64.b64encode(found.root).decode() != root:
        raise _Refused(400, "the note is no checkpoint")
    if any(ord(c) < 0x20 and c != "\n" for c in text.decode()):
        raise _Refused(400, "the note holds a control character")
    return found
