"""The key that signs checkpoints: Ed25519, in a file that only its owner can read, made on first use."""

from __future__ import annotations

import contextlib
import os
from dataclasses import replace as changed
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from gateway.errors import Problem
from gateway.record.folder import make_folder, replace, sync_folder
from gateway.record.keyfile import create_once, read_private
from gateway.record.note import NoteKey, keys_text, parse_keys, signed_note

PRIVATE_FILE = "log.key"
PUBLIC_FILE = "log.vkey"
NEXT_FILE = "log.key.next"


class NoteSigner:
    """Signs notes. The private key never leaves this object; the public one is `key(name)`, a line for `--key`."""

    def __init__(self, private: Ed25519PrivateKey, folder: Path | None = None) -> None:
        self._private = private
        self._public = private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self._folder = folder

    @classmethod
    def open(cls, folder: Path) -> NoteSigner:
        """Read `log.key` in the keys folder, or make it (0600). Raises Problem when others can read it or it is no Ed25519 key."""
        return cls(private_key(folder / PRIVATE_FILE), folder)

    def key(self, name: str) -> NoteKey:
        return NoteKey(name, self._public)

    def sign(self, name: str, text: bytes) -> bytes:
        """The text as a signed note. `name` is the log's origin; `text` ends with a newline."""
        return signed_note(text, self.key(name), self._private.sign(text))

    def trusted(self, name: str) -> tuple[NoteKey, ...]:
        """This key, and those before it, each with the sizes that it may sign, as `log.vkey` has them. Raises BadNote.

        A key that `log.vkey` does not know is trusted alone: one that was made because the file of the old one is gone follows nobody, so a log
        that another key has signed does not open under it.
        """
        own = self.key(name)
        known = tuple(key for key in self._known() if key.name == name)
        return known if own in known else (own,)

    def publish(self, name: str) -> None:
        """Keep the verifier key line in `log.vkey` beside the private key, for those who verify without it. Earlier lines stay."""
        if self._folder is None:
            return
        path = self._folder / PUBLIC_FILE
        line = f"{self.key(name)}\n"
        known = path.read_text() if path.exists() else ""
        if line not in known.splitlines(keepends=True):
            replace(path, (known + line).encode(), durable=True)

    def renew(self, name: str, size: int, *, keep: bool) -> None:
        """Sign with the key in `log.key.next` from now on. The old one may sign no size beyond this, the new one none before it, and `log.vkey` says so.
        The old file is overwritten, or kept as `log.key.ID`. Raises OSError, Problem.
        """
        assert self._folder is not None
        old, path, coming = self.key(name), self._folder / PRIVATE_FILE, self._folder / NEXT_FILE
        private = _read(coming)
        fresh = NoteSigner(private).key(name)
        others = [key for key in self._known() if key not in {old, fresh}]
        known = next((key for key in self._known() if key == old), old)
        lines = keys_text([*others, changed(known, last=size), changed(fresh, first=size)])
        replace(self._folder / PUBLIC_FILE, lines.encode(), durable=True)
        if keep:
            with contextlib.suppress(FileExistsError):  # a crash came behind it
                (self._folder / f"{PRIVATE_FILE}.{old.id.hex()}").hardlink_to(path)
            sync_folder(self._folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            coming.replace(path)
            sync_folder(self._folder)
            if not keep:
                os.pwrite(descriptor, bytes(os.fstat(descriptor).st_size), 0)
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._private, self._public = private, fresh.public

    def next_key(self, name: str) -> NoteKey | None:
        """The key that waits in `log.key.next`, if there is one. Raises OSError, Problem."""
        path = self._folder / NEXT_FILE if self._folder else None
        return NoteSigner(_read(path)).key(name) if path and path.exists() else None

    def _known(self) -> tuple[NoteKey, ...]:
        path = self._folder / PUBLIC_FILE if self._folder else None
        return parse_keys(path.read_text()) if path and path.exists() and path.stat().st_size else ()


def make_next(folder: Path, name: str) -> NoteKey:
    """Make the key that will sign when the log has named it, in place of one that was made and never named. Raises OSError, Problem."""
    (folder / NEXT_FILE).unlink(missing_ok=True)
    return NoteSigner(private_key(folder / NEXT_FILE)).key(name)


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read the key in this file, or make it (0600). Raises Problem when others can read it or it is no Ed25519 key."""
    try:
        make_folder(path.parent)
        if not path.exists():
            _create(path)
        return _read(path)
    except OSError as error:
        raise Problem(
            "log_key",
            f"the log's signing key cannot be used: {error.strerror}",
            file=str(path),
            remedy="let the gateway's user read and write this folder",
        ) from error


def _create(path: Path) -> None:
    create_once(path, Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _read(path: Path) -> Ed25519PrivateKey:
    pem = read_private(path, "the log's signing key")
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Problem("log_key", "the log's signing key cannot be read", file=str(path), remedy="restore it from backup") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise Problem("log_key", "the log's signing key is not an Ed25519 key", file=str(path), remedy="restore it from backup")
    return private
