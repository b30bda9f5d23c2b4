"""Looks hard at one token, for a person who asks what is wrong with it: how far it stands, whether its signature verifies, and where it falls.

The signature is looked at before `typ` and claims, so that a forged token is told from a good one that the rules do not want. What verifies was
found good by `prove`, the one judge of foreign tokens; nothing here is asked on the way of a call.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gateway import canonical
from gateway.errors import Refusal
from gateway.identify.foreign import Expected, check_signature, key_of, prove
from gateway.identify.keyset import BYTES_MAX, KeySet, KeySetError
from gateway.identify.token import Parsed, UnverifiedToken, admit, ascii_bytes, check_members, check_typ, named, parse, refuse, unseal
from gateway.secret import Secret

Code = Literal["", "form", "key_set", "header", "key", "signature", "typ", "claims"]
"""Which rule a token breaks: its form, the set of keys, the header's members, the key that it names, the signature, its type, its claims or times."""
Signature = Literal["valid", "invalid", "not checked"]
ONLY = "only"
"""What a key is called that has no name and needs none."""


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found. `code` and `reason` are empty when the token verifies. `payload` is what was signed, when the signature is valid."""

    signature: Signature
    code: Code = ""
    reason: str = ""
    claims: Mapping[str, Any] | None = field(default=None, repr=False)
    payload: bytes | None = field(default=None, repr=False)


def inspect(token: Secret, jwks: bytes, expected: Expected, now: float, *, any_typ: bool = False, signature_only: bool = False) -> Findings:
    """Look at a token with the text of a JWK Set, or of one JWK.

    `any_typ`: whichever `typ` it has is taken for the expected one. `signature_only`: `typ`, claims and times are not looked at, and of a key that is
    alone no name is asked.
    """
    code: Code = "form"
    signature: Signature = "not checked"
    payload: bytes | None = None
    try:
        raw = ascii_bytes(token)
        sealed = unseal(raw)
        code = "key_set"
        keys = _keys(jwks, sealed.header if signature_only else None)
        code = "header"
        check_members(sealed.header, expected.more_header)
        only = next(iter(keys.keys)) if signature_only and len(keys.keys) == 1 else None
        unread = named(Parsed(sealed.header, {}, sealed.signed, sealed.signature), only)
        code = "key"
        _check_use(unread, keys, jwks)
        key = key_of(unread, keys, expected)
        code, signature = "signature", "invalid"
        check_signature(unread, key)
        signature, payload = "valid", sealed.payload
        if signature_only:
            return Findings("valid", payload=payload, claims=_claims(payload))
        code = "typ"
        typ = sealed.header.get("typ")
        typs: frozenset[str | None] = frozenset({typ if type(typ) is str else None}) if any_typ else expected.typs
        check_typ(sealed.header, typs)
        code = "claims"
        proven = prove(admit(parse(raw), typs, expected.more_header), keys, replace(expected, typs=typs), now)
    except Refusal as refusal:
        return Findings(signature, code, refusal.reason, payload=payload)
    return Findings("valid", claims=proven.claims, payload=payload)


def _keys(raw: bytes, header: Mapping[str, Any] | None) -> KeySet:
    """The keys of a set, or of a JWK alone. With the header of a token, a key that is alone and without a name has the one that the token gives it."""
    try:
        entries = _entries(raw)
        if header is not None and len(entries) == 1 and "kid" not in entries[0]:
            entries = [{**entries[0], "kid": header.get("kid", ONLY)}]
        return KeySet.read(raw if len(raw) > BYTES_MAX or not entries else canonical.dumps({"keys": entries}))
    except KeySetError as error:
        refuse(f"the key set cannot be used: {error}", error)


def _entries(raw: bytes) -> list[dict[str, Any]]:
    """The keys as they are written; none when KeySet has to say what is wrong."""
    try:
        found = canonical.loads(raw[:BYTES_MAX], depth_max=8, members_max=4_000)
    except canonical.JsonError:
        return []
    if type(found) is dict and "kty" in found and "keys" not in found:
        return [found]
    entries = found.get("keys") if type(found) is dict else None
    return entries if type(entries) is list and all(type(entry) is dict for entry in entries) else []


def _check_use(token: UnverifiedToken, keys: KeySet, jwks: bytes) -> None:
    if token.kid not in keys.keys and token.kid not in keys.unusable and any(entry.get("kid") == token.kid for entry in _entries(jwks)):
        refuse("the key that kid names is not for signatures: its use says so")


def _claims(payload: bytes) -> Mapping[str, Any] | None:
    try:
        found = canonical.loads(payload, depth_max=8, members_max=200)
    except canonical.JsonError:
        return None
    return found if type(found) is dict else None
