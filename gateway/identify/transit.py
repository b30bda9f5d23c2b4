"""Signing keys that never leave an OpenBao or Vault: its transit engine signs, and its versions are our next, active and retired keys.

The newest version that is old enough to be known everywhere signs; a newer one is `next`, older ones are `retired` until the service no longer
lets them verify (`min_decryption_version`). So a rotation there is one here, without a moment in which a token is refused.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key

from gateway.canonical import Json, JsonError, dumps, loads
from gateway.config.model import Settings
from gateway.errors import Problem, Problems, Refusal
from gateway.fetch import Fetched, Fetcher, FetchError
from gateway.identify.keys import KEYS_MAX, PublicKey, SigningKeys, State, thumbprint
from gateway.identify.rotation import PUBLISHED_S
from gateway.secret import Secret

ANSWER_BYTES_MAX = 262_144
_TOKEN_BYTES_MAX = 4_096
_SIGNATURE_BYTES = 64


def open_keys(settings: Settings) -> SigningKeys:
    """The deployment's signing keys: of its transit engine when it has one, else of its folder. Blocking. Raises Problems."""
    if settings.transit is None:
        return SigningKeys.open(settings.keys)
    assert settings.transit_token is not None  # the loader saw to it
    return Transit(settings.transit, settings.transit_token).keys()


@dataclass(frozen=True, slots=True)
class Transit:
    """One key of a transit engine, by the URL of the key (`.../v1/transit/keys/NAME`). `now` in seconds since the epoch."""

    url: str
    token_file: Path
    fetcher: Fetcher = field(default_factory=Fetcher)
    now: Callable[[], float] = time.time
    lock: threading.Lock = field(default_factory=threading.Lock, compare=False)

    def keys(self) -> SigningKeys:
        """Every version that still verifies. Blocking. Raises Problems."""
        try:
            told = self.ask(self.url)
            least = max(1, told["min_decryption_version"])
            found = {int(number): _key_of(version) for number, version in told["keys"].items() if int(number) >= least}
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise self._fault("it is no ecdsa-p256 key of a transit engine") from error
        except Refusal as refusal:
            raise self._fault(refusal.reason) from refusal
        if not found:
            raise self._fault("no version of it may verify")
        newest = sorted(found, reverse=True)[:KEYS_MAX]
        ripe = [number for number in newest if found[number][1] + PUBLISHED_S <= self.now()]
        active = ripe[0] if ripe else newest[-1]  # of a key that is new altogether the oldest
        public: dict[str, PublicKey] = {}
        for number in newest:
            key, _ = found[number]
            state: State = "active" if number == active else "next" if number > active else "retired"
            public[thumbprint(key)] = PublicKey(thumbprint(key), "ES256", key, state)
        return SigningKeys(thumbprint(found[active][0]), TransitSigner(self, active), MappingProxyType(public))

    def ask(self, url: str, body: dict[str, Json] | None = None) -> dict[str, Any]:
        """The `data` of an answer. Blocking, in a thread that runs no event loop. Raises Refusal("overloaded")."""
        try:
            headers = {"x-vault-token": self._token().reveal(), "content-type": "application/json"}
            with self.lock:  # the fetcher is one loop's at a time
                answer = asyncio.run(self._send(url, body, headers))
            if answer.status != 200:
                raise self._no(f"it answered with status {answer.status}")
            data: dict[str, Any] = loads(answer.body)["data"]
        except (FetchError, OSError, JsonError, KeyError, TypeError, ValueError) as error:
            raise self._no(str(error)[:120] if isinstance(error, FetchError) else type(error).__name__) from None
        return data

    async def _send(self, url: str, body: dict[str, Json] | None, headers: dict[str, str]) -> Fetched:
        if body is None:
            return await self.fetcher.get(url, bytes_max=ANSWER_BYTES_MAX, headers=headers)
        return await self.fetcher.post(url, dumps(body), bytes_max=ANSWER_BYTES_MAX, headers=headers)

    def _token(self) -> Secret:
        """Read at each use, so that whoever renews it need not tell us."""
        with self.token_file.open("rb") as file:
            return Secret(file.read(_TOKEN_BYTES_MAX).decode("ascii").strip())

    def _no(self, why: str) -> Refusal:
        return Refusal("overloaded", reason=f"the transit engine cannot be used: {why}", retry_after_s=1)

    def _fault(self, why: str) -> Problems:
        remedy = "make the key with type=ecdsa-p256, and let the token read transit/keys/NAME and update transit/sign/NAME/sha2-256"
        return Problems([Problem("transit_unusable", f"the signing key cannot be used: {why}", key="gateway.transit", remedy=remedy)])


@dataclass(frozen=True, slots=True)
class TransitSigner:
    """One version of a key; about a millisecond a signature."""

    transit: Transit
    version: int
    is_remote: bool = True

    def sign(self, signed: bytes) -> bytes:
        parts = urlsplit(self.transit.url)
        mount, _, name = parts.path.rpartition("/keys/")
        url = urlunsplit(parts._replace(path=f"{mount}/sign/{name}/sha2-256"))
        body: dict[str, Json] = {"input": base64.b64encode(signed).decode("ascii"), "marshaling_algorithm": "jws", "key_version": self.version}
        try:
            text: str = self.transit.ask(url, body)["signature"]
            prefix, _, encoded = text.rpartition(":")
            signature = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        except (KeyError, AttributeError, TypeError, ValueError, binascii.Error) as error:
            raise Refusal("overloaded", reason="the transit engine gave no signature", retry_after_s=1) from error
        if len(signature) != _SIGNATURE_BYTES or not prefix.endswith(f":v{self.version}"):
            raise Refusal("overloaded", reason="the transit engine signed with another key", retry_after_s=1)
        return signature


def _key_of(version: dict[str, Any]) -> tuple[EllipticCurvePublicKey, float]:
    """A version's public key and when it was made, in seconds since the epoch. Raises TypeError or ValueError for a key of another kind."""
    key = load_pem_public_key(version["public_key"].encode("ascii"))
    if not isinstance(key, EllipticCurvePublicKey) or not isinstance(key.curve, SECP256R1):
        raise TypeError("not on P-256")
    made = version["creation_time"].split(".")[0].removesuffix("Z") + "+00:00"
    return key, datetime.fromisoformat(made).timestamp()
