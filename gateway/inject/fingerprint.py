"""The keyed fingerprint by which the log tells one value of a credential from another without holding either."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from gateway.inject.source import Unreadable
from gateway.secret import Secret

KEY_FILE = "fingerprint.key"
KEY_BYTES = 32


class Fingerprints:
    """HMAC-SHA256 under a key of the deployment, cut to 16 hex digits.

    Keyed, so that a reader of the log cannot try guesses against it; kept in a file, so that the same value has the same fingerprint
    after a restart and in every worker. The file is made on first use.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / KEY_FILE
        self._key: Secret | None = None

    def of(self, secret: Secret) -> str:
        """Raises Unreadable when the key can neither be read nor made."""
        if self._key is None:
            try:
                self._key = Secret(_open_key(self._path).hex())
            except OSError as error:
                raise Unreadable(f"cannot read or make {self._path}: {error.strerror}", "make the keys folder writable for the gateway") from error
        return hmac.new(bytes.fromhex(self._key.reveal()), secret.reveal().encode(), hashlib.sha256).hexdigest()[:16]


def _open_key(path: Path) -> bytes:
    """Read the key, making it first where there is none. Several workers may start at once: the first one's key stands."""
    try:
        return _read_key(path)
    except FileNotFoundError:
        pass
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        os.link(draft, path)  # fails where another worker was first, and never shows a half-written key
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return _read_key(path)


def _read_key(path: Path) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        status = os.fstat(descriptor)
        raw = os.read(descriptor, 4 * KEY_BYTES)
    finally:
        os.close(descriptor)
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise Unreadable(f"{path} is open to other users", f"chmod 600 {path}")
    try:
        key = bytes.fromhex(raw.decode("ascii").strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise Unreadable(f"{path} does not hold {KEY_BYTES} bytes in hex", f"remove {path}; a new key is made, and fingerprints start anew")
    return key
