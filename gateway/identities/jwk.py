"""One public key as a JWK (RFC 7517), read strictly: a key that is weak, private, ambiguous or meant for something else is no key.

The one algorithm is bound to the key when it is read, so that a token's header never chooses it (RFC 8725 section 3.1).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1, EllipticCurvePublicKey, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey, RSAPublicNumbers

from gateway import canonical

ALGORITHMS = ("ES256", "ES384", "RS256", "PS256", "EdDSA")
"""What tokens may be signed with. No symmetric algorithm at all: nothing public can then be taken for a secret."""
OTHER_NAMES = {"Ed25519": "EdDSA"}
"""RFC 9864 gave EdDSA over Ed25519 a name of its own; both mean the same here."""
PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"})
RSA_BITS_MIN, RSA_BITS_MAX = 2_048, 8_192
KID_CHARACTERS_MAX = 256

_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")
_KID = re.compile(r"[!-~]{1,256}")
_CURVES = {"P-256": (SECP256R1(), 32, "ES256"), "P-384": (SECP384R1(), 48, "ES384")}
_OF_RSA = frozenset({"RS256", "PS256"})
_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA = {prime: frozenset(pow(65_537, power, prime) for power in range(prime)) for prime in _ROCA_PRIMES}
_P25519 = 2**255 - 19
_SMALL_ORDER = frozenset(
    {
        0,
        1,
        _P25519 - 1,
        int.from_bytes(bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"), "little"),
        int.from_bytes(bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"), "little"),
    }
)
"""The y of points of order 1, 2, 4 and 8: under such a key anybody can sign."""

Key = EllipticCurvePublicKey | RSAPublicKey | Ed25519PublicKey


class JwkError(ValueError):
    """Not a key that may verify. The text says why and is safe for a log: it quotes nothing of the key."""


@dataclass(frozen=True, slots=True)
class VerifyingKey:
    """What verifies the signatures of one key, by one algorithm. `thumbprint` is that of RFC 7638."""

    kid: str
    alg: str
    key: Key = field(compare=False)
    thumbprint: str


def read_jwk(jwk: Mapping[str, Any], *, uses: frozenset[str | None] = frozenset({None, "sig"}), rsa: str = "RS256") -> VerifyingKey:
    """Read a JWK. Raises JwkError. `uses` are the values of `use` that are right here (None: absent); `rsa` is what an RSA key without `alg` signs with.

    `kid` is empty when the key has none. Members that say where else to look (x5u, x5c) are never followed.
    """
    kind = jwk.get("kty")
    if PRIVATE_MEMBERS & jwk.keys():
        raise JwkError("it is a private or a symmetric key")
    if type(kind) is not str or kind not in _REQUIRED:
        raise JwkError("kty is not EC, RSA or OKP")
    if not meant_for(jwk, uses):
        raise JwkError("use says that it is for something else")
    operations = jwk.get("key_ops", ["verify"])
    if operations != ["verify"]:
        raise JwkError("key_ops is not verify alone")
    kid = jwk.get("kid", "")
    if type(kid) is not str or ("kid" in jwk and not _KID.fullmatch(kid)):
        raise JwkError("kid is not a short printable text")
    key, algorithms = _READERS[kind](jwk)
    alg = jwk.get("alg", rsa if kind == "RSA" else next(iter(algorithms)))
    if type(alg) is not str or OTHER_NAMES.get(alg, alg) not in algorithms:
        raise JwkError(f"alg is not one that goes with this key, which is {' or '.join(sorted(algorithms))}")
    return VerifyingKey(kid, OTHER_NAMES.get(alg, alg), key, _thumbprint(jwk, kind))


def meant_for(jwk: Mapping[str, Any], uses: frozenset[str | None]) -> bool:
    """Whether the key's `use` is one of `uses` (None: it has none)."""
    use = jwk.get("use")
    return (type(use) is str or "use" not in jwk) and use in uses


def _thumbprint(jwk: Mapping[str, Any], kind: str) -> str:
    """RFC 7638: SHA-256 over the required members in lexical order. Their spelling is canonical by now, so one key has one thumbprint."""
    members = {name: jwk[name] for name in _REQUIRED[kind]}
    return base64.urlsafe_b64encode(hashlib.sha256(canonical.dumps(members)).digest()).rstrip(b"=").decode("ascii")


def _ec(jwk: Mapping[str, Any]) -> tuple[Key, frozenset[str]]:
    curve = jwk.get("crv")
    if type(curve) is not str or curve not in _CURVES:
        raise JwkError("crv is not P-256 or P-384")
    group, length, alg = _CURVES[curve]
    x, y = (_bytes(jwk, name) for name in ("x", "y"))
    if len(x) != length or len(y) != length:
        raise JwkError("x or y is not as long as the curve's numbers")
    try:
        key = EllipticCurvePublicNumbers(int.from_bytes(x, "big"), int.from_bytes(y, "big"), group).public_key()
    except ValueError as error:
        raise JwkError("x and y are no point of the curve") from error
    return key, frozenset({alg})


def _rsa(jwk: Mapping[str, Any]) -> tuple[Key, frozenset[str]]:
    modulus, exponent = (_bytes(jwk, name) for name in ("n", "e"))
    if modulus[0] == 0 or exponent[0] == 0:
        raise JwkError("n or e begins with a zero")
    n, e = int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")
    if not RSA_BITS_MIN <= n.bit_length() <= RSA_BITS_MAX:
        raise JwkError(f"the modulus has {n.bit_length()} bits, not {RSA_BITS_MIN} to {RSA_BITS_MAX}")
    if not 3 <= e < 2**32 or not e & n & 1:
        raise JwkError("the modulus or the exponent is not odd, or the exponent is not between 3 and 32 bits")
    if all(n % prime in residues for prime, residues in _ROCA.items()):
        raise JwkError("the modulus has the fingerprint of ROCA (CVE-2017-15361)")
    try:
        key = RSAPublicNumbers(e, n).public_key()
    except ValueError as error:
        raise JwkError("n and e are no RSA key") from error
    return key, _OF_RSA


def _okp(jwk: Mapping[str, Any]) -> tuple[Key, frozenset[str]]:
    if jwk.get("crv") != "Ed25519":
        raise JwkError("crv is not Ed25519")
    x = _bytes(jwk, "x")
    y = int.from_bytes(x, "little") & (2**255 - 1)
    if len(x) != 32 or y >= _P25519 or y in _SMALL_ORDER:
        raise JwkError("x is no point that may be a key")
    return Ed25519PublicKey.from_public_bytes(x), frozenset({"EdDSA"})


_READERS = {"EC": _ec, "RSA": _rsa, "OKP": _okp}


def _bytes(jwk: Mapping[str, Any], name: str) -> bytes:
    """A member in base64url, in its one spelling."""
    text = jwk.get(name)
    if type(text) is not str or len(text) > 4_096 or not _BASE64URL.fullmatch(text) or len(text) % 4 == 1:
        raise JwkError(f"{name} is missing or not unpadded base64url")
    try:
        raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error as error:
        raise JwkError(f"{name} is not base64url") from error
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != text.encode("ascii"):
        raise JwkError(f"{name} is not in the canonical spelling of base64url")
    return raw
