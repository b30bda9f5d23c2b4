"""A JWK Set as an issuer publishes it (RFC 7517 section 5), read strictly into the keys that may verify its tokens.

A key that is not for us (another `use`, no `kid`) is left aside, one that is weak or broken with its reason. A set in which a name is taken twice, or that shows a
secret key, cannot be trusted at all.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway import canonical
from gateway.identities.jwk import PRIVATE_MEMBERS, JwkError, VerifyingKey, meant_for, read_jwk

BYTES_MAX = 262_144
KEYS_MAX = 64
SIGNATURE = frozenset({None, "sig"})
JWT_SVID = frozenset({"jwt-svid"})
"""What a SPIFFE bundle calls the keys of JWT-SVIDs; its other keys are X.509 authorities and must not verify tokens."""


class KeySetError(ValueError):
    """The set cannot be used at all. The text says why and is safe for a log."""


@dataclass(frozen=True, slots=True)
class KeySet:
    """The usable keys by `kid`, and why others that are meant for us are not used."""

    keys: Mapping[str, VerifyingKey]
    unusable: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, raw: bytes, *, uses: frozenset[str | None] = SIGNATURE, rsa: str = "RS256") -> KeySet:
        """Read the bytes of a set. Raises KeySetError. `uses` and `rsa` as in `read_jwk`."""
        if len(raw) > BYTES_MAX:
            raise KeySetError(f"it is larger than {BYTES_MAX} bytes")
        try:
            found = canonical.loads(raw, depth_max=8, members_max=4_000)
        except canonical.JsonError as error:
            raise KeySetError(f"it is not strict JSON: {str(error)[:80]!a}") from error
        entries = found.get("keys") if type(found) is dict else None
        if type(entries) is not list or not all(type(entry) is dict for entry in entries):
            raise KeySetError("it is not an object with a list of keys")
        if len(entries) > KEYS_MAX:
            raise KeySetError(f"it has more than {KEYS_MAX} keys")
        keys: dict[str, VerifyingKey] = {}
        unusable: dict[str, str] = {}
        for entry in entries:
            if entry.get("kty") == "oct" or PRIVATE_MEMBERS & entry.keys():
                raise KeySetError("it shows a symmetric or a private key")
            name = entry.get("kid")
            if not meant_for(entry, uses) or type(name) is not str or not name:
                continue
            if name in keys or name in unusable:
                raise KeySetError("two keys have the same kid")
            try:
                keys[name] = read_jwk(entry, uses=uses, rsa=rsa)
            except JwkError as error:
                unusable[name] = str(error)
        return cls(MappingProxyType(keys), MappingProxyType(unusable))
