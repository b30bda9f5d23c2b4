"""Checkpoints as C2SP signed notes: origin, size and root of the log under an Ed25519 signature.

Format: c2sp.org/signed-note and c2sp.org/tlog-checkpoint, without extension lines; algorithm byte 0x01 (Ed25519).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
"""A key name, and so an origin: no white space and no plus sign (signed-note), no control character."""


class BadNote(ValueError):  # noqa: N818
    """The note is malformed, or no trusted key has signed it."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key under its name; `id` is the four bytes that a signature line starts with."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return hashlib.sha256(self.name.encode() + b"\n" + ED25519 + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """Read a verifier key line. Raises BadNote; a key id that does not belong to the key is refused."""
        name, _, rest = text.strip().partition("+")
        ident, _, encoded = rest.partition("+")
        try:
            raw = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadNote("not a verifier key") from error
        key = cls(name, raw[1:])
        if not NAME.fullmatch(name) or raw[:1] != ED25519 or len(raw) != 33 or ident != key.id.hex():
            raise BadNote("not an Ed25519 verifier key")
        return key

    def verify(self, text: bytes, signature: bytes) -> bool:
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, text)
        except (InvalidSignature, ValueError):
            return False
        return True


def parse_keys(text: str) -> tuple[NoteKey, ...]:
    """Verifier keys, one a line; empty lines and lines with `#` in front are skipped. Raises BadNote when there is none."""
    keys = tuple(NoteKey.parse(line) for line in text.splitlines() if line.strip() and not line.startswith("#"))
    if not keys:
        raise BadNote("there is no verifier key")
    return keys


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A signed statement: the log `origin` has `size` records with this root. `note` is its exact text."""

    origin: str
    size: int
    root: bytes
    note: bytes = b""

    @property
    def text(self) -> bytes:
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n".encode()


def signed_note(text: bytes, key: NoteKey, signature: bytes) -> bytes:
    return text + b"\n" + f"— {key.name} {base64.b64encode(key.id + signature).decode()}\n".encode()


def open_note(note: bytes, keys: Sequence[NoteKey]) -> bytes:
    """The note's text when at least one trusted key has signed it and none has signed it wrongly. Raises BadNote."""
    text, separator, signatures = note.rpartition(b"\n\n")
    if not separator or not signatures.endswith(b"\n"):
        raise BadNote("the note has no signature")
    text += b"\n"
    good = 0
    for line in signatures[:-1].split(b"\n"):
        name, signature = _signature(line)
        for key in keys:
            if key.name == name and key.id == signature[:4]:
                if not key.verify(text, signature[4:]):
                    raise BadNote(f"the signature by {name} is wrong")
                good += 1
    if not good:
        raise BadNote("no trusted key has signed the note")
    return text


def _signature(line: bytes) -> tuple[str, bytes]:
    try:
        dash, name, encoded = line.decode().split(" ")
        raw = base64.b64decode(encoded, validate=True)
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise BadNote("a signature line is malformed") from error
    # b64decode ignores stray low bits of the last digit; a second spelling of one signature is still a change.
    if dash != "—" or not NAME.fullmatch(name) or len(raw) < 5 or base64.b64encode(raw).decode() != encoded:
        raise BadNote("a signature line is malformed")
    return name, raw


def open_checkpoint(note: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
    """Verify and read a checkpoint. Raises BadNote for anything that is not exactly origin, size and root, signed."""
    text = open_note(note, keys)
    try:
        origin, size, root, end = text.decode().split("\n")
        found = Checkpoint(origin, int(size), base64.b64decode(root, validate=True), note)
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise BadNote("the note is no checkpoint") from error
    if end or len(found.root) != 32 or found.size < 0 or found.text != text:
        raise BadNote("the note is no checkpoint")
    return found


def open_own_checkpoint(note: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
    """The same, signed by a key under the log's own name: with keys of several logs at hand, none speaks for another. Raises BadNote."""
    origin = note.partition(b"\n")[0].decode("utf-8", "replace")
    return open_checkpoint(note, [key for key in keys if key.name == origin])
