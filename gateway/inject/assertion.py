"""Statements that the gateway signs with a private key which another service gave it, or knows the public half of (RFC 7523)."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import jwt
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.canonical import Json
from gateway.inject.file import FileSource
from gateway.inject.source import Unreadable, key_of
from gateway.secret import Secret

RSA_BITS_MIN = 2_048
_Private = RSAPrivateKey | EllipticCurvePrivateKey | Ed25519PrivateKey


class ClientKey:
    """A private key in a file, read again when the file changes. `now` in seconds since the epoch."""

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path = path
        self._file = FileSource(path, parse=key_of)
        self._now = now
        self._read: Secret | None = None
        self._key: tuple[str, _Private] | None = None

    def check(self) -> None:
        """Raises Unreadable for a file that holds no key that will do."""
        self._private()

    def sign(self, claims: Mapping[str, Json], life_s: int, *, earlier_s: int = 0) -> Secret:
        """A JWT with those claims and `iat`, `exp` and `jti`; said to be `earlier_s` old, for a service whose clock is behind. Raises Unreadable."""
        algorithm, private = self._private()
        now_s = int(self._now())
        whole = {**claims, "iat": now_s - earlier_s, "exp": now_s + life_s, "jti": secrets.token_urlsafe(16)}
        return Secret(jwt.encode(whole, private, algorithm=algorithm))

    def _private(self) -> tuple[str, _Private]:
        secret = self._file.take().secret
        if self._key is None or secret is not self._read:
            self._key, self._read = self._parse(secret), secret
        return self._key

    def _parse(self, secret: Secret) -> tuple[str, _Private]:
        remedy = "write a private key in PEM without a passphrase: RSA of 2048 bits or more, P-256 or Ed25519"
        try:
            key = load_pem_private_key(secret.reveal().encode(), password=None)
        except (ValueError, TypeError):
            raise Unreadable(f"{self._path} holds no private key that can be read", remedy) from None  # the cause may quote it
        if isinstance(key, RSAPrivateKey) and key.key_size >= RSA_BITS_MIN:
            return "RS256", key
        if isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1):
            return "ES256", key
        if isinstance(key, Ed25519PrivateKey):
            return "EdDSA", key
        raise Unreadable(f"{self._path} holds a key of a kind that is not used", remedy)
