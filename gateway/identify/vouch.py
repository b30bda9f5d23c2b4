"""Statements of the gateway for other services: who it is, and for whom it asks (RFC 7523, RFC 8693). No token of a tool call is made here."""

from __future__ import annotations

import asyncio
import base64
import secrets
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor

from gateway import canonical
from gateway.canonical import Json
from gateway.errors import Refusal
from gateway.identify.keys import SigningKeys
from gateway.secret import Secret

LIFE_S = 60
TYP = "JWT"
"""Never `at+jwt`: our own verifier and every strict resource server refuse a statement that is presented as an access token."""


class Voucher:
    """Signs with the keys that are in force at that moment. `keys` and `issuer` are asked each time: a rotation needs no word to anybody."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._signers = ThreadPoolExecutor(1, thread_name_prefix="vouching")  # starts no thread before it is used
        self._keys: Callable[[], tuple[SigningKeys, str]] | None = None

    def sign_with(self, keys: Callable[[], tuple[SigningKeys, str]]) -> None:
        """From now on: `keys` gives the signing keys in force and the gateway's URL."""
        self._keys = keys

    async def __call__(self, subject: str, audience: str, more: Mapping[str, Json]) -> Secret:
        """A statement about `subject` for `audience`, good for a minute. Raises Refusal("overloaded")."""
        if self._keys is None:
            raise Refusal("overloaded", reason="the gateway does not sign yet", retry_after_s=1)
        keys, issuer = self._keys()
        now_s = int(self._now())
        claims: dict[str, Json] = {
            **more,
            "iss": issuer,
            "sub": subject,
            "aud": audience,
            "iat": now_s,
            "exp": now_s + LIFE_S,
            "jti": secrets.token_urlsafe(16),
        }
        header: dict[str, Json] = {"typ": TYP, "alg": "ES256", "kid": keys.kid}
        signed = _segment(header) + b"." + _segment(claims)
        sign = keys.signer.sign
        signature = await self._elsewhere(sign, signed) if keys.signer.is_remote else sign(signed)
        return Secret((signed + b"." + base64.urlsafe_b64encode(signature).rstrip(b"=")).decode("ascii"))

    async def _elsewhere(self, sign: Callable[[bytes], bytes], signed: bytes) -> bytes:
        """In a thread of its own, as the token service does: one that hangs must not take the threads that others need."""
        return await asyncio.get_running_loop().run_in_executor(self._signers, sign, signed)


def _segment(value: dict[str, Json]) -> bytes:
    return base64.urlsafe_b64encode(canonical.dumps_in_order(value)).rstrip(b"=")
