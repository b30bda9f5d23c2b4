"""Checkpoints as C2SP signed notes: origin, size and root of the log under an Ed25519 signature.

Format: c2sp.org/signed-note and c2sp.org/tlog-checkpoint, without extension lines; algorithm byte 0x01 (Ed25519).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

ED25519 = b"\x01"
SIZES = re.compile(r"# sizes ([0-9]{1,19})-([0-9]{1,19})?")
NAME = re.compile(r"[^\s+\x00-\x1f\x7f]{1,255}")
"""A key name, and so an origin: no white space and no plus sign (signed-note), no control character."""


CHECKPOINT_BYTES_MAX = 64 * 1_024
"""Of a file that holds one."""
SIGNATURES_MAX = 64
"""Verifiers should have a limit, of 16 at least (signed-note)."""


class BadNote(ValueError):  # noqa: N818
    """The note is malformed, or no trusted key has signed it."""


@dataclass(frozen=True, slots=True)
class NoteKey:
    """A public key under its name; `id` is the four bytes that a signature line starts with.

    `first` and `last` are the sizes of a log between which it may sign: a key that was renewed signs nothing more. None: there is no last yet.
    """

    name: str
    public: bytes
    first: int = field(default=0, compare=False)
    last: int | None = field(default=None, compare=False)

    def may_sign(self, size: int) -> bool:
        return self.first <= size and (self.last is None or size <= self.last)

    @property
    def id(self) -> bytes:
        return key_id(self.name, ED25519, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(ED25519 + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> NoteKey:
        """Read a verifier key line. Raises BadNote; a key id that does not belong to the key is refused."""
        return cls(*verifier_key(text, ED25519))

    def verify(self, text: bytes, signature: bytes) -> bool:
        return verified(self.public, text, signature)


def key_id(name: str, kind: bytes, public: bytes) -> bytes:
    """What a signature line by this key starts with."""
    return hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]


def verifier_key(text: str, kind: bytes) -> tuple[str, bytes]:
    """Name and public key of a verifier key line of this kind. Raises BadNote."""
    name, _, rest = text.strip().partition("+")
    ident, _, encoded = rest.partition("+")
    try:
        raw = base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadNote("not a verifier key") from error
    if not NAME.fullmatch(name) or raw[:1] != kind or len(raw) != 33 or ident != key_id(name, kind, raw[1:]).hex():
        raise BadNote("not an Ed25519 verifier key")
    return name, raw[1:]


def verified(public: bytes, text: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature is right."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, text)
    except (InvalidSignature, ValueError):
        return False
    return True


def parse_keys(text: str) -> tuple[NoteKey, ...]:
    """Verifier keys, one a line; empty lines and lines with `#` in front are skipped, but for `# sizes A-B` or `# sizes A-`, which says of the next
    key which sizes it may sign. Raises BadNote when there is none, or when there are sizes that no key of a log may sign.
    """
    keys: list[NoteKey] = []
    span: tuple[int, int | None] = (0, None)
    for line in text.splitlines():
        if sizes := SIZES.fullmatch(line.strip()):
            span = (int(sizes[1]), int(sizes[2]) if sizes[2] else None)
        elif line.strip() and not line.startswith("#"):
            keys.append(replace(NoteKey.parse(line), first=span[0], last=span[1]))
            span = (0, None)
    if not keys:
        raise BadNote("there is no verifier key")
    for name in {key.name for key in keys}:
        _see_no_gap([key for key in keys if key.name == name])
    return tuple(keys)


def keys_text(keys: Sequence[NoteKey]) -> str:
    """The keys as `parse_keys` reads them."""
    lines = []
    for key in keys:
        if key.first or key.last is not None:
            lines.append(f"# sizes {key.first}-{'' if key.last is None else key.last}")
        lines.append(str(key))
    return "\n".join(lines) + "\n"


def _see_no_gap(keys: list[NoteKey]) -> None:
    """Raises BadNote where sizes lie between two keys of one log, or behind the last: an attacker would sign there with a key of his own."""
    reach: int | None = -1
    for key in sorted(keys, key=lambda key: key.first):
        if reach is not None and key.first > reach + 1:
            raise BadNote(f"no key of {key.name} may sign sizes {reach + 1} to {key.first - 1}")
        reach = None if reach is None or key.last is None else max(reach, key.last)
    if reach is not None:
        raise BadNote(f"no key of {keys[0].name} may sign sizes from {reach + 1} on")


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
    return text + b"\n" + signature_line(key.name, key.id + signature)


def signature_line(name: str, raw: bytes) -> bytes:
    """One signature as it stands in a note; `raw` begins with the key id."""
    return f"— {name} {base64.b64encode(raw).decode()}\n".encode()


def open_note(note: bytes, keys: Sequence[NoteKey]) -> bytes:
    """The note's text when at least one trusted key has signed it and none has signed it wrongly. Raises BadNote."""
    text, signatures = signatures_of(note)
    good = 0
    for name, signature in signatures:
        for key in keys:
            if key.name == name and key.id == signature[:4]:
                if not key.verify(text, signature[4:]):
                    raise BadNote(f"the signature by {name} is wrong")
                good += 1
    if not good:
        raise BadNote("no trusted key has signed the note")
    return text


def signatures_of(note: bytes) -> tuple[bytes, list[tuple[str, bytes]]]:
    """A note's text, and each of its signatures with its name and its first four bytes, the key id; unjudged. Raises BadNote."""
    text, separator, signatures = note.rpartition(b"\n\n")
    if not separator or not signatures.endswith(b"\n"):
        raise BadNote("the note has no signature")
    lines = signatures[:-1].split(b"\n")
    if len(lines) > SIGNATURES_MAX:
        raise BadNote("the note has too many signatures")
    return text + b"\n", [_signature(line) for line in lines]


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
    text = open_note(note, [key for key in keys if _fits(key, note)])
    try:
        origin, size, root, end = text.decode().split("\n")
        found = Checkpoint(origin, int(size), base64.b64decode(root, validate=True), note)
    except (UnicodeDecodeError, binascii.Error, ValueError) as error:
        raise BadNote("the note is no checkpoint") from error
    if end or len(found.root) != 32 or found.size < 0 or found.text != text:
        raise BadNote("the note is no checkpoint")
    return found


def _fits(key: NoteKey, note: bytes) -> bool:
    """Whether a key may sign what the note says its size is, before anybody has verified that. Raises BadNote when it did and may not."""
    try:
        fits = key.may_sign(int(note.split(b"\n", 2)[1]))
    except (IndexError, ValueError):
        return True
    if not fits and any(name == key.name and raw[:4] == key.id for name, raw in signatures_of(note)[1]):
        raise BadNote(f"a key of {key.name} has signed a size that it may not sign: its time was sizes {key.first} to {key.last or 'now'}")
    return fits


def open_own_checkpoint(note: bytes, keys: Sequence[NoteKey]) -> Checkpoint:
    """The same, signed by a key under the log's own name: with keys of several logs at hand, none speaks for another. Raises BadNote."""
    origin = note.partition(b"\n")[0].decode("utf-8", "replace")
    return open_checkpoint(note, [key for key in keys if key.name == origin])
