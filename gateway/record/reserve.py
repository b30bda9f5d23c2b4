"""Room on the disk kept for outcomes: a ballast file that is given up when the disk is full, so that what happened can still be written."""

from __future__ import annotations

import os
import time

from gateway.config.model import LogSettings
from gateway.record.disk import FULL, Disk
from gateway.record.folder import LogFolder

LOOK_INTERVAL_S = 1.0
GROWTH_BYTES_MIN = 128 * 1024
"""A file size limit leaves no ballast to give up: calls are refused while a few lines still fit."""


class Reserve:
    """Used by the writer thread. Calls are refused below the low-water mark, before the disk is really full."""

    def __init__(self, folder: LogFolder, settings: LogSettings, disk: Disk) -> None:
        self._folder = folder
        self._settings = settings
        self._disk = disk
        self._looked_at = time.monotonic()

    def look_due(self) -> bool:
        """At most once a second: statvfs is cheap, not free."""
        return time.monotonic() - self._looked_at >= LOOK_INTERVAL_S

    def has_room(self, end: int, *, make: bool) -> bool:
        """Whether new calls may be written behind `end` bytes of the segment; with `make`, the ballast is put back first."""
        self._looked_at = time.monotonic()
        free, growth = self._disk.room(self._folder.path, end)
        missing = self._settings.reserve_bytes - self._ballast() if make else 0
        if free - max(0, missing) < self._settings.low_water_bytes or growth < GROWTH_BYTES_MIN:
            return False
        return missing <= 0 or self._fill()

    def release(self) -> None:
        self._folder.reserve.unlink(missing_ok=True)

    def _ballast(self) -> int:
        try:
            return self._folder.reserve.stat().st_size
        except FileNotFoundError:
            return 0

    def _fill(self) -> bool:
        try:
            descriptor = os.open(self._folder.reserve, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.posix_fallocate(descriptor, 0, self._settings.reserve_bytes)
            finally:
                os.close(descriptor)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self.release()
            return False
        return True
