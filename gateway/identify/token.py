"""The form of a token: text to header, claims and signature, refusing everything that two parsers could read differently.

Nothing here is trusted yet: the signature is checked by the verifier, over exactly the bytes that were parsed.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import Any, Never

from gateway import canonical
from gateway.errors import Refusal
from gateway.secret import Secret

TOKEN_BYTES_MAX = 8_192
TYP = "at+jwt"
"""RFC 9068 section 2.1, compared exactly: an ID token, a logout token or a DPoP proof must not pass for an access token (RFC 8725 section 3.11)."""

OWN: frozenset[str | None] = frozenset({TYP})

_HEADER_MEMBERS = frozenset({"alg", "kid", "typ"})
_SEGMENT = re.compile(rb"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class Sealed:
    """A token taken apart, its header read and its payload not. `signed` are the bytes that the signature covers."""

    header: dict[str, Any]
    payload: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Parsed:
    """A token taken apart, its header not looked at yet. `signed` are the bytes that the signature covers."""

    header: dict[str, Any]
    claims: dict[str, Any]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class UnverifiedToken:
    """A well-formed token, not yet believed. `signed` are the bytes that the signature covers."""

    kid: str
    alg: str
    claims: dict[str, Any]
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def refuse(reason: str, cause: Exception | None = None) -> Never:
    """Refuse the token. The reason goes to the log only: a stranger always reads the same text, whatever was wrong."""
    raise Refusal("invalid_token", reason=reason) from cause


def ascii_bytes(token: Secret) -> bytes:
    """The token's bytes, once it is known to be small: nobody makes us hash or parse a megabyte."""
    text = token.reveal()
    if len(text) > TOKEN_BYTES_MAX:
        refuse("the token is larger than 8 KiB")
    if not text.isascii():
        refuse("the token is not ASCII")
    return text.encode("ascii")


def parse(raw: bytes) -> Parsed:
    """Take a token apart. Raises Refusal("invalid_token") for bytes that two parsers could read differently."""
    sealed = unseal(raw)
    return Parsed(sealed.header, _object(sealed.payload, "claims are"), sealed.signed, sealed.signature)


def unseal(raw: bytes) -> Sealed:
    """Take a token apart as far as its signature needs. Raises Refusal("invalid_token")."""
    segments = raw.split(b".")
    if len(segments) != 3:
        refuse(f"the token does not have three segments{_instead(raw, len(segments))}")
    header, payload, signature = segments
    members = _object(_decode(header, "header"), "header is")
    return Sealed(members, payload and _decode(payload, "payload"), header + b"." + payload, _decode(signature, "signature"))


def admit(parsed: Parsed, typs: frozenset[str | None], more: frozenset[str] = frozenset(), only_kid: str | None = None) -> UnverifiedToken:
    """Look at the header: only alg, kid and typ, and `typ` one of `typs` (None: none at all). Members in `more` are let pass unseen.

    `only_kid` names the key of an issuer that has one key and does not name it.
    """
    check_members(parsed.header, more)
    check_typ(parsed.header, typs)
    return named(parsed, only_kid)


def check_members(header: dict[str, Any], more: frozenset[str] = frozenset()) -> None:
    """Raises Refusal when the header says more than which key, by which algorithm, for what."""
    extra = header.keys() - _HEADER_MEMBERS - more
    if extra:  # jku, x5u and jwk bring the attacker's key, crit and b64 change what is signed
        refuse(f"the header has members besides alg, kid and typ: {min(extra)[:32]!a}")


def check_typ(header: dict[str, Any], typs: frozenset[str | None]) -> None:
    """Raises Refusal when `typ` is none of these (None: absent)."""
    typ = header.get("typ")
    if (typ is not None and type(typ) is not str) or ("typ" in header and typ is None) or typ not in typs:
        refuse(f"the header's typ is not {' or '.join(sorted(t or 'absent' for t in typs))}")


def named(parsed: Parsed, only_kid: str | None = None) -> UnverifiedToken:
    """The token with the names of its key and algorithm. Raises Refusal when it lacks one."""
    kid, alg = parsed.header.get("kid", only_kid), parsed.header.get("alg")
    if type(kid) is not str or type(alg) is not str:
        refuse("the header's kid or alg is missing or no text")
    return UnverifiedToken(kid, alg, parsed.claims, parsed.signed, parsed.signature)


def read(raw: bytes) -> UnverifiedToken:
    """One of our own tokens. Raises Refusal("invalid_token") for bytes that are not exactly in the form that `mint` writes."""
    return admit(parse(raw), OWN)


def _instead(raw: bytes, segments: int) -> str:
    """What a text that is no signed token in compact form looks like."""
    if raw.lstrip()[:1] == b"{":
        return ": it is JSON, and only the compact serialization is read"
    return ": it has five, as an encrypted one (JWE) has" if segments == 5 else ""


def _decode(segment: bytes, part: str) -> bytes:
    """Base64url in its one spelling: no padding, no other letter, no stray bits (RFC 7515 section 2, RFC 4648 section 3.5)."""
    if not segment:
        refuse(f"the {part} is empty, not base64url")
    if not _SEGMENT.fullmatch(segment) or len(segment) % 4 == 1:
        refuse(f"the {part} is not unpadded base64url")
    try:
        raw = base64.urlsafe_b64decode(segment + b"=" * (-len(segment) % 4))
    except binascii.Error as error:
        refuse(f"the {part} is not base64url", error)
    if base64.urlsafe_b64encode(raw).rstrip(b"=") != segment:
        refuse(f"the {part} is not in the canonical spelling of base64url")
    return raw


def _object(raw: bytes, what: str) -> dict[str, Any]:
    try:
        value = canonical.loads(raw, depth_max=8, members_max=200)
    except canonical.JsonError as error:
        refuse(f"the {what} not strict JSON: {str(error)[:80]!r}", error)
    if type(value) is not dict:
        refuse(f"the {what} not a JSON object")
    return value
