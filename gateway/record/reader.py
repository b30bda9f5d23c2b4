"""Reading the log without being its writer: iterate records, find one, follow the durable end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from gateway.canonical import Json
from gateway.errors import Problem
from gateway.logmode import REDACTED
from gateway.record.folder import LogFolder
from gateway.record.keyring import Keyring
from gateway.record.line import LINE_BYTES_MAX, Record, record_of
from gateway.record.note import CHECKPOINT_BYTES_MAX, BadNote, Checkpoint, NoteKey, open_checkpoint
from gateway.record.objects import read_object
from gateway.record.packed import open_segment
from gateway.record.payload import PayloadReader
from gateway.record.recovery import closes_calls, opens_call
from gateway.record.seals import Unsealer, Withheld
from gateway.record.stored import read_stored

CHUNK_BYTES = 1 << 17
"""Small enough that its lines are still in the processor's cache when they are hashed and parsed: 1 MiB takes half as long again."""


def batches_of(path: Path, start: int = 0) -> Iterator[tuple[int, list[bytes], bool]]:
    """The lines of a file, many at a time, as (offset of the first in bytes, lines without newline, whether each has one).

    Splits on the newline byte only: U+2028 and its kin are part of a text, not the end of a line. Only the last line can be without its newline,
    and comes alone. A line that has grown past the limit is given out as it is, so memory stays bounded whatever the file holds.
    """
    with open_segment(path) as stream:
        stream.seek(start)
        offset, rest = start, b""
        while chunk := stream.read(CHUNK_BYTES):
            lines = (rest + chunk).split(b"\n")
            end = offset + len(rest) + len(chunk)
            rest = lines.pop()
            if lines:
                yield offset, lines, True
                offset = end - len(rest)
            if len(rest) > LINE_BYTES_MAX:
                break
        if rest:
            yield offset, [rest], False


def lines_of(path: Path, start: int = 0) -> Iterator[tuple[int, bytes, bool]]:
    """`batches_of`, a line at a time."""
    for offset, lines, whole in batches_of(path, start):
        for line in lines:
            yield offset, line, whole
            offset += len(line) + 1


class LogReader:
    """A log's folder, read only. It judges nothing: `verify_folder` does. `keys` is the folder of the key that unwraps sealed inputs, if at hand."""

    def __init__(self, folder: Path, keys: Path | None = None) -> None:
        self.folder = LogFolder(folder)
        self.origin = self.folder.origin()
        self._keys = keys
        self._opened: Unsealer | None = None

    def records(self, start: int = 0) -> Iterator[Record]:
        """Records from `start` on, as far as they stand whole. Raises BrokenLine for a line that is no record."""
        segments = self.folder.segment_list()
        at = max((i for i, (first, _) in enumerate(segments) if first <= start), default=0)
        for first, path in segments[at:]:
            n = first
            for offset, line, whole in lines_of(path):
                if not whole:
                    break
                if n >= start:
                    yield record_of(line, path.name, offset)
                n += 1

    def find(self, n: int) -> Record:
        """Record `n`. Raises Problem when the log has none."""
        for record in self.records(n) if n >= 0 else ():
            if record.n == n:
                return record
            break
        begins = next((first for first, _ in self.folder.segment_list()), 0)
        if 0 <= n < begins:
            raise Problem("log_pruned", f"record {n} was pruned", file=str(self.folder.path), remedy=f"the log begins with record {begins}")
        raise Problem("log_no_record", f"the log has no record {n}", file=str(self.folder.path), remedy="`portreeve log tail` shows the newest")

    def decision(self, record: Record) -> Mapping[str, Json] | Withheld | None:
        """What a `call` record says of its decision, with all inputs, sealed ones in clear; None for a record of another kind, or one that policy
        was not asked for. Withheld when the inputs cannot be had. Raises BrokenLine when sealed inputs are not those that were recorded.
        """
        authz = record.body.get("authz") if record.kind == "call" else None
        if not isinstance(authz, Mapping):
            return None
        if REDACTED not in authz:
            return authz
        first = int(record.segment[:20]) if record.segment else max((n for n, _ in self.folder.segment_list() if n <= record.n), default=0)
        return self._unsealer.open(authz, str(record.body.get("id")), first)

    @property
    def _unsealer(self) -> Unsealer:
        """Opened when a record is met that needs it: most logs hold nothing sealed."""
        if self._opened is None:
            self._opened = Unsealer(Keyring.for_reading(self.folder, self.origin, self._keys), PayloadReader(self.folder), self.origin)
        return self._opened

    def outcome(self, call: Record) -> Record | None:
        """The record that says what came of an allowed call; None when there is none yet, or nothing to come."""
        if not opens_call(call.kind, call.body):
            return None
        return next((r for r in self.records(call.n + 1) if call.n in closes_calls(r.kind, r.body)), None)

    def newest(self, count: int) -> list[Record]:
        """The last records that stand whole, signed or not, in order."""
        found: list[Record] = []
        for first, _ in reversed(self.folder.segment_list()):
            here: list[Record] = []
            for record in self.records(first):
                here.append(record)
                del here[:-count]
                if found and record.n + 1 >= found[0].n:
                    break
            found = (here + found)[-count:]
            if len(found) >= count:
                break
        return found

    def checkpoint(self, keys: Sequence[NoteKey]) -> Checkpoint | None:
        """The newest checkpoint, None when nothing was signed yet. Raises BadNote when no given key has signed it."""
        try:
            note = read_stored(self.folder.checkpoint, CHECKPOINT_BYTES_MAX)
        except FileNotFoundError:
            return None
        found = open_checkpoint(note, keys)
        if found.origin != self.origin:
            raise BadNote("the checkpoint is of another log")
        return found

    def follow(self, start: int, keys: Sequence[NoteKey], *, pause_s: float = 0.2, stopped: Callable[[], bool] = lambda: False) -> Iterator[Record]:
        """Records from `start` on, for ever, each when it is under a checkpoint: what is not durable is never shown. Raises BadNote."""
        while not stopped():
            signed = self.checkpoint(keys)
            if signed is not None and signed.size > start:
                for record in self.records(start):
                    if record.n >= signed.size:
                        break
                    start = record.n + 1
                    yield record
            time.sleep(pause_s)

    def object(self, name: str) -> bytes:
        """The bytes that a record names by digest. Raises ObjectMissing, ObjectBroken."""
        return read_object(self.folder.objects, name)
