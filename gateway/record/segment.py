"""The segment being written: its durable end, and the cut back to it after a write that failed."""

from __future__ import annotations

import os
from pathlib import Path

from gateway.record.disk import Disk
from gateway.record.folder import LogFolder, sync_folder


class Segment:
    """One open file. `end` is the durable size in bytes: what lies beyond was never acknowledged. `opened_t` in microseconds."""

    def __init__(self, path: Path, first: int, end: int, opened_t: int, disk: Disk) -> None:
        self.path = path
        self.first = first
        self.end = end
        self.opened_t = opened_t
        self._disk = disk
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.lseek(self._descriptor, end, os.SEEK_SET)
        except OSError:
            os.close(self._descriptor)
            raise

    @classmethod
    def create(cls, folder: LogFolder, first: int, opened_t: int, disk: Disk) -> Segment:
        """A new, empty segment whose name is not durable yet: `settle` makes it so, once a line stands in it."""
        path = folder.segment(first)
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return cls(path, first, 0, opened_t, disk)

    def settle(self) -> None:
        sync_folder(self.path.parent)

    def write(self, data: bytes) -> None:
        """Write after the durable end, not yet durable. Raises OSError; then `cut` MUST follow before anything else is written."""
        view = memoryview(data)
        while view:
            view = view[self._disk.write(self._descriptor, view) :]

    def sync(self, grown: int) -> None:
        """Make the last `grown` bytes durable. An OSError here is final: the kernel may have dropped the pages and will not say so twice."""
        self._disk.sync(self._descriptor)
        self.end += grown

    def cut(self) -> None:
        """Take back what was written beyond the durable end."""
        self._disk.truncate(self._descriptor, self.end)
        os.lseek(self._descriptor, self.end, os.SEEK_SET)

    def close(self) -> None:
        os.close(self._descriptor)
