"""The key that signs checkpoints: Ed25519, in a file that only its owner can read, made on first use."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat, load_pem_private_key

from gateway.errors import Problem
from gateway.record.keyfile import create_once, read_private
from gateway.record.note import NoteKey, signed_note

PRIVATE_FILE = "log.key"
PUBLIC_FILE = "log.vkey"


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

    def publish(self, name: str) -> None:
        """Keep the verifier key line in `log.vkey` beside the private key, for those who verify without it. Earlier lines stay."""
        if self._folder is None:
            return
        path = self._folder / PUBLIC_FILE
        line = f"{self.key(name)}\n"
        known = path.read_text() if path.exists() else ""
        if line not in known.splitlines(keepends=True):
            path.write_text(known + line)


def private_key(path: Path) -> Ed25519PrivateKey:
    """Read the key in this file, or make it (0600). Raises Problem when others can read it or it is no Ed25519 key."""
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
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
