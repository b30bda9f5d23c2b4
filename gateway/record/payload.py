"""Sealed arguments beside the chain: `payload/<first n>.seal`, a line of JSON for each call that has some, in the order of its segment.

`{"id": call, "key": data key, "s": {"/ctx/input/ssn": "<nonce and ciphertext in base64>"}}`. Not part of any hash: the chain holds a commitment to
each value, so lines may be destroyed and cannot be exchanged. The writer thread appends; nothing else does.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from gateway.canonical import Json, JsonError, dumps_in_order, loads_trusted
from gateway.record.disk import Disk
from gateway.record.folder import LogFolder, sync_folder
from gateway.record.stored import open_stored

LINE_BYTES_MAX = 256 * 1024 * 1024
"""More than the arguments of any call take; a longer line is none of ours, and is passed over in pieces."""


def payload_line(call_id: str, key_id: str, sealed: Mapping[str, bytes]) -> bytes:
    return dumps_in_order({"id": call_id, "key": key_id, "s": {place: base64.b64encode(data).decode() for place, data in sealed.items()}}) + b"\n"


class Payloads:
    """The file that goes with the segment being written. Its sync runs beside that of the segment, so two files cost hardly more than one."""

    def __init__(self, folder: LogFolder, disk: Disk) -> None:
        self._folder = folder
        self._disk = disk
        self._first = -1
        self._descriptor = -1
        self._end = 0
        self._syncing: ThreadPoolExecutor | None = None

    def write(self, first: int, data: bytes) -> None:
        """Write lines of the segment that begins at `first`, not yet durable. Raises OSError; then `cut` MUST follow."""
        if self._first != first:
            self._begin(first)
        view = memoryview(data)
        while view:
            view = view[self._disk.write(self._descriptor, view) :]

    def sync(self) -> Future[None]:
        """Begin to make what was written durable. The future raises OSError, which is final."""
        if self._syncing is None:
            self._syncing = ThreadPoolExecutor(1, thread_name_prefix="log-payload")
        return self._syncing.submit(self._disk.sync, self._descriptor)

    def settle(self) -> None:
        """What was written is durable now, and so is the segment that goes with it."""
        self._end = os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def cut(self) -> None:
        """Take back what was written and has not settled."""
        if self._descriptor >= 0:
            self._disk.truncate(self._descriptor, self._end)
            os.lseek(self._descriptor, self._end, os.SEEK_SET)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = self._first = -1
        if self._syncing is not None:
            self._syncing.shutdown()
            self._syncing = None

    def _begin(self, first: int) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        if not self._folder.payload.is_dir():
            self._folder.payload.mkdir(mode=0o700)
            sync_folder(self._folder.path)
        path = self._folder.payload_of(first)
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._first = first
        self._end = os.lseek(self._descriptor, 0, os.SEEK_END)
        sync_folder(path.parent)
        if self._end and os.pread(self._descriptor, 1, self._end - 1) != b"\n":  # a crash tore the last line, which nobody was told of
            os.write(self._descriptor, b"\n")
            self._end += 1


class PayloadReader:
    """Finds sealed arguments by segment and call. Keeps the last segment looked at in mind."""

    def __init__(self, folder: LogFolder) -> None:
        self._folder = folder
        self._first = -1
        self._read_to = 0
        self._lines: dict[str, tuple[str, Mapping[str, str]]] = {}

    def find(self, first: int, call_id: str) -> tuple[str, Mapping[str, str]] | None:
        """The key and the sealed values, in base64 by place, of a call in the segment that begins at `first`; None when they are not there."""
        if first != self._first:
            self._first, self._read_to, self._lines = first, 0, {}
        if call_id not in self._lines:  # the file may have grown since
            for offset, line in payload_lines(self._folder.payload_of(first), self._read_to):
                self._read_to = offset + len(line) + 1
                if (row := row_of(line)) is not None:
                    self._lines[row[0]] = row[1:]
        return self._lines.get(call_id)


def payload_lines(path: Path, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """The whole lines of a payload file with their offsets."""
    try:
        stream = open_stored(path)
    except FileNotFoundError:
        return
    with stream:
        stream.seek(start)
        offset = start
        while line := stream.readline(LINE_BYTES_MAX):
            if line.endswith(b"\n"):
                yield offset, line[:-1]
            offset += len(line)


def row_of(line: bytes) -> tuple[str, str, Mapping[str, str]] | None:
    """Call, key and sealed values of a line; None for one that a crash tore or that was erased."""
    try:
        row: Json = loads_trusted(line)
        sealed = row["s"]
        return (row["id"], row["key"], sealed) if isinstance(sealed, dict) else None
    except (JsonError, KeyError, TypeError):
        return None


def erase_rows(folder: LogFolder, keys: frozenset[str]) -> int:
    """Overwrite in place every line that is sealed under one of these keys, durably. Returns how many there were. Raises OSError.

    A writer may be appending to the newest file meanwhile: what is overwritten here is behind it, and no line changes its length.
    """
    erased = 0
    for path in sorted(folder.payload.glob("*.seal")) if folder.payload.is_dir() else ():
        with path.open("r+b", buffering=0) as stream:
            here = 0
            for offset, line in payload_lines(path):
                row = row_of(line)
                if row is not None and row[1] in keys:
                    blank = dumps_in_order({"id": row[0], "key": row[1], "s": None})
                    os.pwrite(stream.fileno(), blank[:-1].ljust(len(line) - 1) + b"}", offset)
                    here += 1
            if here:
                os.fdatasync(stream.fileno())
            erased += here
    return erased


def count_rows(folder: LogFolder, keys: frozenset[str]) -> int:
    """How many calls have arguments sealed under one of these keys."""
    files = sorted(folder.payload.glob("*.seal")) if folder.payload.is_dir() else []
    return sum(1 for path in files for _, line in payload_lines(path) if (row := row_of(line)) is not None and row[1] in keys)
