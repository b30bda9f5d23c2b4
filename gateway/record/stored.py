"""Opening what lies in a log's folder, where anybody may have put it: files only, which never wait, and no more of one than it can rightly hold."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def descriptor_of(path: Path, flags: int = os.O_RDONLY) -> int:
    """Open a file. Raises OSError, also for a pipe, which would wait for whoever writes to it, and a device, which may never end."""
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a file", str(path))
    return descriptor


def own_descriptor_of(path: Path) -> int:
    """Open a file to write in it, made if need be. Raises OSError, also for a link: in a log from elsewhere it may lead to a file of the reader's."""
    return descriptor_of(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW)


def open_stored(path: Path) -> BinaryIO:
    """Open a file for reading. Raises OSError as `descriptor_of` does."""
    return os.fdopen(descriptor_of(path), "rb")


def read_stored(path: Path, bytes_max: int) -> bytes:
    """All of a file. Raises OSError, also for one of more than `bytes_max`."""
    with open_stored(path) as stream:
        data = stream.read(bytes_max + 1)
    if len(data) > bytes_max:
        raise OSError(errno.EFBIG, f"more than {bytes_max} bytes", str(path))
    return data
