"""An agent's own key: signs what proves who it is (RFC 7523) and proofs that a request is its own (RFC 9449).

A key file is one private JWK (RFC 7517) on P-256, readable by its owner alone, with two members beside it: `agent`, whose key it is, and `url`,
the gateway that it was enrolled at.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import os
import secrets
import stat
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    EllipticCurvePrivateNumbers,
    EllipticCurvePublicNumbers,
    generate_private_key,
)
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from gateway.errors import Problem

ASSERTION_S = 60
"""How long an assertion may be used; the gateway takes none that lives longer than 300 s."""
FILE_BYTES_MAX = 16_384
_LENGTH = 32


@dataclass(frozen=True, slots=True)
class AgentKey:
    """A private key on P-256 (ES256). `agent` and `url` are empty for one that is made for the moment, like that of proofs."""

    private: EllipticCurvePrivateKey = field(repr=False)
    kid: str = ""
    agent: str = ""
    url: str = ""

    @classmethod
    def make(cls) -> AgentKey:
        """A new key, in memory only."""
        return cls(generate_private_key(SECP256R1()))

    @classmethod
    def read(cls, path: Path) -> AgentKey:
        """The key of a key file. Raises Problem when it cannot be read, others may read it, or it is no such file; nothing of it is quoted."""
        remedy = "make one with: portreeve enrol --url URL --key FILE"
        try:
            with path.open("rb") as file:
                mode, raw = os.fstat(file.fileno()).st_mode, file.read(FILE_BYTES_MAX + 1)
        except OSError as error:
            raise Problem("key_unreadable", f"cannot be read: {error.strerror}", file=str(path), remedy=remedy) from error
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise Problem("key_not_private", "others than its owner may use this key", file=str(path), remedy=f"chmod 600 {path}")
        try:
            return cls._of(json.loads(raw))
        except (ValueError, KeyError, TypeError, RecursionError):
            message = "it is no private JWK on P-256 with kid, agent and url"
            raise Problem("key_malformed", message, file=str(path), remedy=remedy) from None

    @classmethod
    def _of(cls, jwk: Mapping[str, Any]) -> AgentKey:
        if (jwk["kty"], jwk["crv"]) != ("EC", "P-256") or not all(type(jwk[name]) is str and jwk[name] for name in ("kid", "agent", "url")):
            raise ValueError("not a key of an agent")
        d, x, y = (int.from_bytes(_raw(jwk[name]), "big") for name in ("d", "x", "y"))
        private = EllipticCurvePrivateNumbers(d, EllipticCurvePublicNumbers(x, y, SECP256R1())).private_key()
        return cls(private, jwk["kid"], jwk["agent"], jwk["url"])

    def write(self, path: Path, *, kid: str, agent: str, url: str) -> None:
        """Write a key file with mode 0600. Raises FileExistsError: a key is never overwritten."""
        d = self.private.private_numbers().private_value.to_bytes(_LENGTH, "big")
        text = json.dumps({**self.public, "d": segment(d), "kid": kid, "agent": agent, "url": url}, indent=2)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:  # noqa: PTH123 - a descriptor
            file.write(text + "\n")

    @property
    def public(self) -> dict[str, str]:
        """The public half as a JWK."""
        numbers = self.private.public_key().public_numbers()
        x, y = (segment(number.to_bytes(_LENGTH, "big")) for number in (numbers.x, numbers.y))
        return {"kty": "EC", "crv": "P-256", "x": x, "y": y}

    @property
    def thumbprint(self) -> str:
        """What tokens that are bound to the key name it by (RFC 7638)."""
        return segment(hashlib.sha256(json.dumps(self.public, sort_keys=True, separators=(",", ":")).encode("ascii")).digest())

    def assertion(self, audience: str) -> str:
        """What proves to `audience`, the gateway's own URL, that its sender is the agent: for one use, within ASSERTION_S (RFC 7523 section 3)."""
        now = int(time.time())
        claims = {"iss": self.agent, "sub": self.agent, "aud": audience, "iat": now, "exp": now + ASSERTION_S, "jti": secrets.token_urlsafe(16)}
        return self._signed({"typ": "JWT", "alg": "ES256", "kid": self.kid}, claims)

    def proof(self, method: str, url: str, bound: str | None = None) -> str:
        """What proves, for one request, that its sender holds the key (RFC 9449 section 4.2).

        `url` is that of the request without query and fragment; `bound` is the access token, or the enrolment code, whose hash stands in it.
        """
        claims = {"htm": method, "htu": url, "iat": int(time.time()), "jti": secrets.token_urlsafe(16)}
        if bound is not None:
            claims["ath"] = segment(hashlib.sha256(bound.encode("ascii")).digest())
        return self._signed({"typ": "dpop+jwt", "alg": "ES256", "jwk": self.public}, claims)

    def _signed(self, header: Mapping[str, Any], claims: Mapping[str, Any]) -> str:
        signed = ".".join(segment(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
        r, s = decode_dss_signature(self.private.sign(signed.encode("ascii"), ECDSA(SHA256())))
        return f"{signed}.{segment(r.to_bytes(_LENGTH, 'big') + s.to_bytes(_LENGTH, 'big'))}"


def segment(raw: bytes) -> str:
    """Unpadded base64url (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _raw(text: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error
