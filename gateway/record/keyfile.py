"""Files that hold a private key: readable by their owner alone, made on first use, and never made twice."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

from gateway.errors import Problem
from gateway.record.folder import sync_folder, write_all

KEY_BYTES_MAX = 65_536


def create_once(path: Path, data: bytes) -> None:
    """Make the file under a name of its own, then link it: of two processes that start together, one wins and both use its key. Raises OSError."""
    own = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        write_all(descriptor, data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(own, path)
    except FileExistsError:
        pass
    finally:
        own.unlink()
    sync_folder(path.parent)


def read_private(path: Path, what: str) -> bytes:
    """The file's bytes. Raises OSError, and Problem when others than its owner can read it; `what` names the key in it."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:  # asked of the open file, so it cannot be swapped in between
            raise Problem("log_key", f"others than its owner can read {what}", file=str(path), remedy=f"chmod 600 {path}")
        return os.read(descriptor, KEY_BYTES_MAX)
    finally:
        os.close(descriptor)
