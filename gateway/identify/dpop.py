"""Proof of possession (RFC 9449): a small token, made for one request, that its sender holds the key which a token is bound to.

A proof counts once, for the method and URL it names, within a minute of the time it names, and together with the access token whose hash it
holds. It proves nothing about who the sender is; the token does that.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Never
from urllib.parse import urlsplit

from gateway.errors import Refusal
from gateway.identify.foreign import CHECKS, seconds
from gateway.identify.token import Parsed, ascii_bytes, parse
from gateway.identities.jwk import OTHER_NAMES, JwkError, VerifyingKey, read_jwk
from gateway.proof import Proof
from gateway.stores.once import MemoryOnce, Once

TYP = "dpop+jwt"
AGE_S_MAX = 60
"""How far a proof's time may be from ours, either way."""
KEYS_MAX = 1_024
"""How many keys are remembered, so that reading one is not paid for with each call."""

_MEMBERS = frozenset({"typ", "alg", "jwk"})
_ID = re.compile(r"[!-~]{1,256}")
_PORTS = {"http": 80, "https": 443}


class Proofs:
    """Checks proofs and remembers those that were used. `now` in seconds since the epoch.

    Proofs from before this process began are refused: nobody knows any more whether they were used. One that is ahead of its time could be used
    again after a restart, because by its time it would be from after it; such ones are remembered by `ahead`, which outlives the process.
    """

    def __init__(self, now: Callable[[], float] = time.time, once: Once | None = None, ahead: Once | None = None) -> None:
        self._now = now
        self._once: Once = once or MemoryOnce(now)
        self._ahead = ahead
        self._began = int(now())
        self._keys: OrderedDict[str, VerifyingKey] = OrderedDict()

    async def check(self, proof: Proof, token: bytes | None) -> str:
        """The thumbprint of the key that the proof proves. `token` is the access token that it goes with; None at the token endpoint.

        Raises Refusal("invalid_token") with a private reason, or Refusal("overloaded") when no more proofs can be remembered.
        """
        parsed = parse(ascii_bytes(proof.text))
        key = self._key(parsed)
        if not CHECKS[key.alg].verify(parsed.signed, key.key, parsed.signature):
            _refuse("its signature does not verify")
        claims = parsed.claims
        if claims.get("htm") != proof.method:
            _refuse("htm is not the method of this request")
        if not _same(claims.get("htu"), proof.url):
            _refuse("htu is not the URL of this request")
        issued_at, now = seconds(claims, "iat"), self._now()
        if abs(issued_at - now) > AGE_S_MAX:
            _refuse(f"iat is {int(now) - issued_at} s ago, and a proof counts for {AGE_S_MAX} s; compare the clocks")
        if issued_at < self._began:
            _refuse("it was made before this gateway began, so it may have been used")
        if token is not None and claims.get("ath") != _segment(hashlib.sha256(token).digest()):
            _refuse("ath is not the hash of this token")
        name = claims.get("jti")
        if type(name) is not str or not _ID.fullmatch(name):
            _refuse("jti is missing or no short printable text")
        known = f"{key.thumbprint} {name}"
        if not await self._once.take(known, now + 2 * AGE_S_MAX):
            _refuse("it was used before")
        if issued_at > now and self._ahead is not None and not await self._ahead.take(f"proof {known}", now + 2 * AGE_S_MAX):
            _refuse("it was used before this gateway began")
        return key.thumbprint

    def _key(self, parsed: Parsed) -> VerifyingKey:
        """The key that the proof brings along: any sound public key will do, since it only has to be the same as in the token."""
        header = parsed.header
        if header.keys() != _MEMBERS or header["typ"] != TYP:
            _refuse("its header is not typ dpop+jwt, alg and jwk")
        name = parsed.signed.split(b".", 1)[0].decode("ascii")
        known = self._keys.get(name)
        if known is not None:
            return known
        jwk, alg = header["jwk"], header["alg"]
        if type(jwk) is not dict or type(alg) is not str:
            _refuse("its jwk is no object or its alg no text")
        try:
            key = read_jwk(jwk, rsa=alg)
        except JwkError as error:
            _refuse(f"its jwk is not a public key to trust: {error}")
        if OTHER_NAMES.get(alg, alg) != key.alg:
            _refuse("its alg is not the algorithm of its key")
        self._keys[name] = key
        if len(self._keys) > KEYS_MAX:
            self._keys.popitem(last=False)
        return key


def _refuse(reason: str) -> Never:
    raise Refusal("invalid_token", reason=f"proof of possession: {reason}")


def _same(named: Any, url: str) -> bool:
    """Whether a proof names this URL: scheme, host, port and path, without query and fragment (RFC 9449 section 4.3 step 9)."""
    if type(named) is not str or not named.isascii() or not named.isprintable() or "\\" in named:
        return False
    try:
        return _parts(named) == _parts(url)
    except ValueError:
        return False


def _parts(url: str) -> tuple[str, str, int, str]:
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or "@" in parts.netloc:
        raise ValueError("not an http URL")
    return parts.scheme, (parts.hostname or "").lower(), parts.port or _PORTS[parts.scheme], parts.path or "/"


def _segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")
