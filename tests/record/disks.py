"""Disks that fail, below the log's own seam."""

from __future__ import annotations

import errno
import threading
from pathlib import Path

from gateway.record.disk import SystemDisk


class SmallDisk(SystemDisk):
    """A disk with `left` bytes for log lines; the ballast is not counted, but giving it up adds `ballast` bytes once."""

    def __init__(self, left: int, *, ballast: int = 0, code: int = errno.ENOSPC) -> None:
        self.left = left
        self.ballast = ballast
        self.code = code
        self.free = 1 << 40

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.left <= 0:
            raise OSError(self.code, "no room")
        wrote = super().write(descriptor, data[: self.left])
        self.left -= wrote
        return wrote

    def truncate(self, descriptor: int, size: int) -> None:
        super().truncate(descriptor, size)
        self.left += self.ballast  # the writer gives up the ballast next
        self.ballast = 0

    def room(self, folder: Path, end: int) -> tuple[int, int]:
        return self.free, self.free


class StutteringDisk(SystemDisk):
    """Writes at most seven bytes at a time."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return super().write(descriptor, data[:7])


class BrokenDisk(SystemDisk):
    """Works until `broken` is set; then fdatasync or write fails with EIO."""

    def __init__(self, *, at: str = "sync") -> None:
        self.at = at
        self.broken = False
        self.syncs = 0

    def write(self, descriptor: int, data: memoryview) -> int:
        if self.broken and self.at == "write":
            raise OSError(errno.EIO, "input/output error")
        return super().write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        self.syncs += 1
        if self.broken and self.at == "sync":
            raise OSError(errno.EIO, "input/output error")
        super().sync(descriptor)


class HangingDisk(SystemDisk):
    """An fdatasync that does not return before `release` is set."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.release.set()

    def sync(self, descriptor: int) -> None:
        self.release.wait(30)
        super().sync(descriptor)


class FailingLate(SystemDisk):
    """Once `armed`, each fdatasync says `reached`, waits for `release`, and fails."""

    def __init__(self) -> None:
        self.armed = False
        self.failed = 0
        self.reached = threading.Event()
        self.release = threading.Event()

    def sync(self, descriptor: int) -> None:
        if not self.armed:
            return super().sync(descriptor)
        self.reached.set()
        self.release.wait(30)
        self.failed += 1
        raise OSError(errno.EIO, "input/output error")
