"""The log's folder: what its files are called, and how a file or a name in it becomes durable.

origin | lock | log/<first n, 20 digits>.jsonl, .jsonl.zst or .leaves | checkpoints | checkpoint | objects/ab/<sha256>.zst | payload/<first n>.seal |
keys.db | hold | control | gap | torn/ | reserve | idx/ | anchors/
"""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from gateway.errors import Problem
from gateway.record.note import NAME
from gateway.record.stored import read_stored

KEYS_FILE = "keys.db"
ORIGIN_BYTES_MAX = 4 * 255 + 1
SEGMENT = re.compile(r"([0-9]{20})\.jsonl(?:\.zst)?")


class LogFolder:
    """Paths below one folder. Nothing here writes but the functions that say so."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin_file = path / "origin"
        self.lock_file = path / "lock"
        self.segments = path / "log"
        self.checkpoints = path / "checkpoints"
        self.checkpoint = path / "checkpoint"
        self.objects = path / "objects"
        self.payload = path / "payload"
        self.keys = path / KEYS_FILE
        self.hold = path / "hold"
        self.gap = path / "gap"
        self.torn = path / "torn"
        self.reserve = path / "reserve"

    def segment(self, first: int) -> Path:
        return self.segments / f"{first:020d}.jsonl"

    def payload_of(self, first: int) -> Path:
        """The sealed arguments of the calls in a segment."""
        return self.payload / f"{first:020d}.seal"

    def leaves_of(self, first: int) -> Path:
        """The leaf hashes of an archived segment."""
        return self.segments / f"{first:020d}.leaves"

    def segment_list(self) -> list[tuple[int, Path]]:
        """Every segment with the n of its first record, in order, packed or not. Other names are left alone."""
        found = [(m, p) for p in self.segments.iterdir() if (m := SEGMENT.fullmatch(p.name))] if self.segments.is_dir() else []
        by_first = {
            int(m[1]): p for m, p in sorted(found, key=lambda item: len(item[1].name), reverse=True)
        }  # of two forms, the one that is not packed
        return sorted(by_first.items())

    def origin(self) -> str:
        """The log's name. Raises Problem when the file is missing or holds no origin."""
        try:
            text = read_stored(self.origin_file, ORIGIN_BYTES_MAX).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise Problem(
                "log_missing", "there is no decision log here", file=str(self.path), remedy="name the log's folder, the one that holds `origin`"
            ) from error
        name = text.removesuffix("\n")
        if not text.endswith("\n") or not NAME.fullmatch(name):
            raise Problem("log_origin", "this file does not hold an origin", file=str(self.origin_file), remedy="restore it from backup")
        return name

    def prepare(self, origin: str) -> None:
        """Make the folder for a log of this name, or see that it is one. Raises Problem when it belongs to another."""
        if not NAME.fullmatch(origin):
            raise Problem("log_origin", "not an origin", key="log.origin", remedy="1 to 255 characters without white space and plus signs")
        make_folder(self.path)
        for path in (self.segments, self.objects, self.torn):
            path.mkdir(mode=0o700, exist_ok=True)
        for path in (self.path.parent, self.path, self.segments, self.objects):
            sync_folder(path)  # also names that a process made which was killed before it could: what is built on them lasts only as they do
        if not self.origin_file.exists():
            if self.segment_list():
                raise Problem("log_origin", "the log has records but no origin", file=str(self.origin_file), remedy="restore it from backup")
            replace(self.origin_file, f"{origin}\n".encode(), durable=True)
            return
        found = self.origin()
        if found != origin:
            raise Problem(
                "log_origin",
                f"this folder holds the log of {found}",
                file=str(self.path),
                key="log.origin",
                remedy="name another folder: an origin names its log for ever",
            )

    def refuse_under_hold(self, what: str) -> None:
        """Raises Problem while the file `hold` is there: somebody has ordered that nothing of this log be destroyed."""
        if self.hold.exists():
            remedy = "whoever ordered it removes the file; what is in it says who"
            raise Problem("log_hold", f"the log is under a legal hold, so {what} is refused", file=str(self.hold), remedy=remedy)

    def lock(self) -> int:
        """Become the one writer until the returned descriptor is closed. Raises Problem when another process is."""
        descriptor = os.open(self.lock_file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise Problem(
                "log_locked",
                "another gateway writes this log",
                file=str(self.path),
                remedy="stop it, or give this gateway a log folder and origin of its own",
            ) from error
        return descriptor


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, durably. Raises OSError."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in missing:
        sync_folder(each.parent)


def sync_folder(path: Path) -> None:
    """Make names created or removed in a folder durable: fsync of a file does not."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_all(descriptor: int, data: bytes) -> None:
    """Write every byte; a write may stop short of what it was given."""
    written = os.write(descriptor, data)
    while written < len(data):
        written += os.write(descriptor, memoryview(data)[written:])


def replace(path: Path, data: bytes, *, durable: bool) -> None:
    """Put new content in place of a file's old one in one step; with `durable`, on the disk when this returns. Raises OSError."""
    own = path.with_name(f".{path.name}.new")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        write_all(descriptor, data)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    own.replace(path)
    if durable:
        sync_folder(path.parent)
