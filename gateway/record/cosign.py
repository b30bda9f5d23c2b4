"""Cosignatures: a witness's statement, with its time, that a checkpoint goes on from all it has seen of a log (c2sp.org/tlog-cosignature).

Ed25519, algorithm byte 0x04. A witness's key is never a log's key: the two are of different types here, too.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.record.note import NAME, BadNote, key_id, signature_line, signatures_of, verified, verifier_key

COSIGNATURE = b"\x04"
TIME_BYTES = 8
TIME_MAX_S = 2**63 - 1


@dataclass(frozen=True, slots=True)
class WitnessKey:
    """A witness's public key under its name."""

    name: str
    public: bytes

    @property
    def id(self) -> bytes:
        return key_id(self.name, COSIGNATURE, self.public)

    def __str__(self) -> str:
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(COSIGNATURE + self.public).decode()}"

    @classmethod
    def parse(cls, text: str) -> WitnessKey:
        """Read a verifier key line. Raises BadNote; the key of a log is none of a witness."""
        return cls(*verifier_key(text, COSIGNATURE))


class Cosigner:
    """Cosigns under one name. A key signs under one name only: the signed text does not hold it."""

    def __init__(self, name: str, private: Ed25519PrivateKey) -> None:
        """Raises BadNote for what cannot be a name."""
        if not NAME.fullmatch(name):
            raise BadNote("a name is 1 to 255 characters without white space and plus signs")
        self._private = private
        self.key = WitnessKey(name, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))

    def cosign(self, text: bytes, now_s: int) -> bytes:
        """The signature line for a checkpoint's text, newline included."""
        signature = now_s.to_bytes(TIME_BYTES, "big") + self._private.sign(_message(text, now_s))
        return signature_line(self.key.name, self.key.id + signature)


def cosignatures(note: bytes, keys: Sequence[WitnessKey]) -> dict[WitnessKey, int]:
    """Who of these has cosigned a checkpoint, and when at the latest (seconds since the epoch). Signatures of others are let be.

    Raises BadNote for a note without form, and when one stands there under a known key and is wrong.
    """
    text, signatures = signatures_of(note)
    found: dict[WitnessKey, int] = {}
    for name, raw in signatures:
        for key in keys:
            if key.name != name or key.id != raw[:4]:
                continue
            at_s = int.from_bytes(raw[4 : 4 + TIME_BYTES], "big")
            if not 0 < at_s <= TIME_MAX_S or not verified(key.public, _message(text, at_s), raw[4 + TIME_BYTES :]):
                raise BadNote(f"the cosignature by {name} is wrong")
            found[key] = max(at_s, found.get(key, 0))
    return found


def _message(text: bytes, at_s: int) -> bytes:
    return b"cosignature/v1\ntime %d\n%b" % (at_s, text)
