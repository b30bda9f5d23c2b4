"""`file:PATH`: a secret from a file, read again when the file changes.

Who may read the file is checked on the open file, not on its name. A plain file must belong to us or to root and must be closed to group
and others (0600, 0400). A file of a Kubernetes volume (a symbolic link into `..data/`, which the kubelet swaps in one rename) may be
readable by group and others, since its pod is its boundary and 0644 is the default there, but never writable by them.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from gateway.inject.source import SECRET_BYTES_MAX, Fetched, LocalSource, Need, Parse, Unreadable, secret_of

LOOK_INTERVAL_S = 1.0

_Mark = tuple[int, int, int, int]


class FileSource(LocalSource):
    """A secret in a file, made by `parse`. Looked at when it is fetched, at most once a second. `now` is a monotonic clock in seconds.

    `is_public` is for what stands beside a secret, such as a certificate: others may read it.
    """

    kind = "file"

    def __init__(self, path: Path, *, now: Callable[[], float] = time.monotonic, parse: Parse = secret_of, is_public: bool = False) -> None:
        self._path = path
        self._parse = parse
        self._is_public = is_public
        self._now = now
        self._looked_at_s = float("-inf")
        self._mark: _Mark | None = None
        self._found: Fetched | Unreadable = Unreadable(f"{path} was not read yet", "")

    def check(self) -> None:
        self.take()

    async def fetch(self, need: Need) -> Fetched:  # noqa: ARG002 - the same for everybody
        return self.take()

    def take(self) -> Fetched:
        """The secret as it is now. Raises Unreadable."""
        now_s = self._now()
        if now_s - self._looked_at_s >= LOOK_INTERVAL_S:
            self._looked_at_s = now_s
            self._look()
        if isinstance(self._found, Unreadable):
            raise Unreadable(self._found.reason, self._found.remedy)
        return self._found

    def _look(self) -> None:
        """Take the file as it is now. A file that is gone or open to others withdraws the secret that was read before."""
        try:
            # not blocking: a named pipe in the file's place must not hang the gateway
            descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            self._lose(Unreadable(f"cannot open {self._path}: {error.strerror}", "create the file with mode 0600, owned by the gateway's user"))
            return
        try:
            status = os.fstat(descriptor)
            self._guard(status)
            mark = (status.st_ino, status.st_dev, status.st_mtime_ns, status.st_size)
            if mark != self._mark or isinstance(self._found, Unreadable):
                self._found = Fetched(self._parse(_read(descriptor), str(self._path)))
                self._mark = mark
        except OSError as error:
            self._lose(Unreadable(f"cannot read {self._path}: {error.strerror}", "check the file and its disk"))
        except Unreadable as unreadable:
            self._lose(unreadable)
        finally:
            os.close(descriptor)

    def _lose(self, why: Unreadable) -> None:
        self._found, self._mark = why, None

    def _guard(self, status: os.stat_result) -> None:
        """Raise Unreadable for a file that someone else could have read or written."""
        if not stat.S_ISREG(status.st_mode):
            raise Unreadable(f"{self._path} is not a regular file", "name a file that holds the credential alone")
        if status.st_uid not in (0, os.geteuid()):
            raise Unreadable(f"{self._path} belongs to another user", "chown it to the gateway's user")
        shut = stat.S_IWGRP | stat.S_IWOTH if self._is_public or _is_projected(self._path) else stat.S_IRWXG | stat.S_IRWXO
        if status.st_mode & shut:
            raise Unreadable(f"{self._path} has mode {stat.S_IMODE(status.st_mode):04o}, so others may use it", f"chmod 600 {self._path}")


def _is_projected(path: Path) -> bool:
    """Whether the name is a link of the kubelet's atomic writer: `NAME -> ..data/NAME`, with `..data` itself a link."""
    try:
        return path.readlink().parts[0] == "..data" and (path.parent / "..data").is_symlink()
    except (OSError, IndexError):
        return False


def _read(descriptor: int) -> bytes:
    """All of the file, or just more than is allowed."""
    parts: list[bytes] = []
    left = SECRET_BYTES_MAX + 1
    while left > 0 and (part := os.read(descriptor, left)):
        parts.append(part)
        left -= len(part)
    return b"".join(parts)
