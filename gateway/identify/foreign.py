"""Tokens that others signed: what must hold of them before anything in them is believed.

The same form and the same strictness as our own tokens, with what differs per issuer said in `Expected`: algorithms, `typ`, audience, the
longest life. Other issuers write claims that we do not know; those are left alone, but what we do read has one type and one alphabet.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from jwt import get_algorithm_by_name

from gateway.identify.claims import SECONDS_MAX
from gateway.identify.keyset import KeySet
from gateway.identify.token import OWN, UnverifiedToken, refuse
from gateway.identities.jwk import ALGORITHMS, OTHER_NAMES, VerifyingKey
from gateway.identities.model import CHAIN_MAX

SKEW_S = 30
"""How far ahead the clock of another issuer may be. Never added to a token's life."""
THUMBPRINTS = frozenset({"x5t", "x5t#S256"})
"""Header members that some issuers always write; they name a certificate, which is never looked for."""

TEXT = re.compile(
    r"[A-Za-z0-9!#$%&()*+,./:;=?@\[\]^_{|}~-](?:[A-Za-z0-9 !#$%&()*+,./:;=?@\[\]^_{|}~-]{0,510}[A-Za-z0-9!#$%&()*+,./:;=?@\[\]^_{|}~-])?"
)
"""What a name in a foreign token may hold: printable ASCII without quotes, backslash and angle brackets; spaces only inside."""

CHECKS = {name: get_algorithm_by_name(name) for name in ALGORITHMS}


@dataclass(frozen=True, slots=True)
class Expected:
    """What a token of one issuer must be. `issuer` and `audiences` None: any one text, for looking at a token only.

    `issued_at`: whether `iat` must be there (JWT-SVIDs may lack it; then their life counts from now).
    """

    issuer: str | None
    audiences: frozenset[str] | None
    algorithms: frozenset[str] = frozenset(ALGORITHMS)
    typs: frozenset[str | None] = OWN
    max_ttl_s: int = 3_600
    more_header: frozenset[str] = frozenset()
    named_issuer: bool = True
    issued_at: bool = True


@dataclass(frozen=True, slots=True)
class Proven:
    """A foreign token that verified: who says what, and until when. `token_id` is empty when it has no `jti`."""

    issuer: str
    subject: str
    token_id: str
    key_id: str
    expires_at: int
    claims: Mapping[str, Any] = field(repr=False)


def prove(token: UnverifiedToken, keys: KeySet, expected: Expected, now: float) -> Proven:
    """Check a token against its issuer's keys and rules. Raises Refusal("invalid_token"), with the reason for the log alone."""
    claims = token.claims
    issuer = _text(claims, "iss") if expected.named_issuer or "iss" in claims else ""
    if expected.issuer is not None and issuer != expected.issuer:
        refuse("iss is not this issuer")
    check_signature(token, key_of(token, keys, expected))
    expires_at = _check_times(claims, expected, now)
    audience = claims.get("aud")
    if type(audience) is list and len(audience) == 1:
        audience = audience[0]
    if type(audience) is not str:
        refuse("aud is missing or names more than one")
    if expected.audiences is not None and audience not in expected.audiences:
        refuse("aud is not this gateway")
    subject = _text(claims, "sub")
    profile = expected.typs == OWN  # RFC 9068 section 2.2: an access token names itself and its client
    token_id = _text(claims, "jti") if "jti" in claims or profile else ""
    if "client_id" in claims or profile:
        _text(claims, "client_id")
    if "scope" in claims:
        _text(claims, "scope")
    _check_actors(claims)
    return Proven(issuer, subject, token_id, token.kid, expires_at, claims)


def key_of(token: UnverifiedToken, keys: KeySet, expected: Expected) -> VerifyingKey:
    """The key chooses the algorithm, and the issuer's list must know it: the header chooses nothing but `kid`."""
    why = keys.unusable.get(token.kid)
    if why is not None:
        refuse(f"the key that kid names cannot be used: {why}")
    key = keys.keys.get(token.kid)
    if key is None:
        refuse("kid is not a key of this issuer")
    if OTHER_NAMES.get(token.alg, token.alg) != key.alg:
        refuse(f"alg is not {key.alg}, the algorithm of this key")
    if key.alg not in expected.algorithms:
        refuse("alg is not one that this issuer may use")
    return key


def check_signature(token: UnverifiedToken, key: VerifyingKey) -> None:
    """Raises Refusal when the signature is not that key's over these bytes."""
    if not CHECKS[key.alg].verify(token.signed, key.key, token.signature):
        refuse("the signature does not verify")


def _check_times(claims: Mapping[str, Any], expected: Expected, now: float) -> int:
    expires_at = seconds(claims, "exp")
    issued_at = seconds(claims, "iat") if expected.issued_at or "iat" in claims else int(now)
    not_before = seconds(claims, "nbf") if "nbf" in claims else issued_at
    if now >= expires_at:
        refuse(f"expired {int(now) - expires_at} s ago")
    if max(issued_at, not_before) > now + SKEW_S:
        refuse(f"not valid for another {max(issued_at, not_before) - int(now)} s; compare the clocks")
    if not 0 < expires_at - issued_at <= expected.max_ttl_s:
        refuse(f"exp is not within {expected.max_ttl_s} s after iat")
    return expires_at


def seconds(claims: Mapping[str, Any], name: str) -> int:
    """A claim that is a time in whole seconds: exactly an integer, not true, not a text, not 1e30."""
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= SECONDS_MAX:
        refuse(f"{name} is missing or not a whole number of seconds")
    return value


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    if type(value) is not str:
        refuse(f"{name} is missing or not one text")
    if not TEXT.fullmatch(value):
        refuse(f"{name} has characters outside its alphabet")
    return value


def _check_actors(claims: Mapping[str, Any]) -> None:
    holder: Any = claims
    for _ in range(CHAIN_MAX + 1):
        if "act" not in holder:
            return
        holder = holder["act"]
        if type(holder) is not dict:
            refuse("act is not an object")
        _text(holder, "sub")
    refuse(f"the act chain is longer than {CHAIN_MAX}")
