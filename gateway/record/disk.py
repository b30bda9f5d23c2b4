"""The few calls through which log bytes reach the disk, as a seam: faults of a disk are simulated here."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path
from typing import Protocol

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""No room now, perhaps later: disk, quota, or the process's file size limit (RLIMIT_FSIZE; Python ignores SIGXFSZ)."""


class Disk(Protocol):
    """MUST raise OSError as the system calls do. `write` MAY write less than it was given. `room` is in bytes."""

    def write(self, descriptor: int, data: memoryview) -> int: ...

    def sync(self, descriptor: int) -> None: ...

    def truncate(self, descriptor: int, size: int) -> None: ...

    def room(self, folder: Path, end: int) -> tuple[int, int]:
        """Bytes that are free in the folder, and bytes by which a file of `end` bytes may still grow."""


class SystemDisk:
    """The real one."""

    def write(self, descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, data)

    def sync(self, descriptor: int) -> None:
        os.fdatasync(descriptor)

    def truncate(self, descriptor: int, size: int) -> None:
        os.ftruncate(descriptor, size)

    def room(self, folder: Path, end: int) -> tuple[int, int]:
        found = os.statvfs(folder)
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
        free = found.f_bavail * found.f_frsize
        return free, (free if limit == resource.RLIM_INFINITY else limit - end)
