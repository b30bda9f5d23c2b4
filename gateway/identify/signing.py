"""The seam between what signs tokens and those who have tokens signed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from jwt import get_algorithm_by_name

_ES256 = get_algorithm_by_name("ES256")


class Signer(Protocol):
    """One key that signs, wherever its private half is.

    `sign` MUST return the 64 bytes r and s of ES256 (RFC 7518 section 3.4) over exactly `signed`, or raise Refusal("overloaded"); it MUST NOT let
    anything of the key or of its access to it into an error. `is_remote`: it asks another service and blocks, so it is for a thread.
    """

    @property
    def is_remote(self) -> bool: ...

    def sign(self, signed: bytes) -> bytes: ...


@dataclass(frozen=True, slots=True)
class FileSigner:
    """A private key in this process. 40 us a signature."""

    private: EllipticCurvePrivateKey = field(repr=False)
    is_remote: bool = False

    def sign(self, signed: bytes) -> bytes:
        signature: bytes = _ES256.sign(signed, self.private)
        return signature
