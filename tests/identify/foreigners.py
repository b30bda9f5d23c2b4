"""Somebody else's issuer: its keys of every kind, and tokens of it in which exactly one thing is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt import get_algorithm_by_name

from gateway.identify.foreign import Expected, Proven, prove
from gateway.identify.keyset import KeySet
from gateway.identify.token import admit, ascii_bytes, parse
from gateway.secret import Secret
from tests.identify.forge import NOW, changed, encoded, segment

URL = "https://login.example.com/"
GATEWAY = "https://gw.example.com"
TYPS: frozenset[str | None] = frozenset({"JWT", None})
EXPECTED = Expected(URL, frozenset({GATEWAY}), typs=TYPS)

Sign = Callable[[bytes], bytes]


def jwk_of(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    alg = {"RSAPublicKey": "RS256", "ECPublicKey": "ES256"}.get(type(key).__name__, "EdDSA")
    return {**json.loads(get_algorithm_by_name(alg).to_jwk(key)), "kid": kid, **more} | {"key_ops": ["verify"]}


@dataclass
class Foreigner:
    """Keys by kid: `ec`, `ec384`, `rsa`, `ed`. `sign(kid, alg)` signs right."""

    private: dict[str, Any] = field(
        default_factory=lambda: {
            "ec": ec.generate_private_key(ec.SECP256R1()),
            "ec384": ec.generate_private_key(ec.SECP384R1()),
            "rsa": rsa.generate_private_key(65537, 2048),
            "ed": ed25519.Ed25519PrivateKey.generate(),
        }
    )

    def jwks(self, **changes: Any) -> dict[str, Any]:
        """The set as published; `changes` replace a key by its kid, None takes it out."""
        keys = {kid: jwk_of(key.public_key(), kid, use="sig") for kid, key in self.private.items()} | changes
        return {"keys": [key for key in keys.values() if key is not None]}

    def keys(self) -> KeySet:
        return KeySet.read(encoded(self.jwks()))

    def sign(self, kid: str, alg: str) -> Sign:
        return lambda text: get_algorithm_by_name(alg).sign(text, self.private[kid])

    def header(self, **changes: Any) -> dict[str, Any]:
        return changed({"typ": "JWT", "alg": "ES256", "kid": "ec"}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        return changed({"iss": URL, "sub": "repo:acme/site", "aud": GATEWAY, "iat": NOW, "exp": NOW + 300, "jti": "one"}, changes)

    def sealed(self, header: bytes, claims: bytes, sign: Sign | None = None) -> str:
        signed = f"{segment(header)}.{segment(claims)}".encode()
        return f"{signed.decode()}.{segment((sign or self.sign('ec', 'ES256'))(signed))}"

    def token(self, header: dict[str, Any] | None = None, sign: Sign | None = None, **claims: Any) -> str:
        return self.sealed(encoded(self.header(**(header or {}))), encoded(self.claims(**claims)), sign)

    def prove(self, text: str, expected: Expected = EXPECTED, *, keys: KeySet | None = None, now: float = NOW) -> Proven:
        token = admit(parse(ascii_bytes(Secret(text))), expected.typs, expected.more_header)
        return prove(token, keys or self.keys(), expected, now)
