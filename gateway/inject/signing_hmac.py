"""`[credential.NAME.hmac]`: an HMAC (RFC 2104) over parts of the request, as webhooks and many services of their own ask for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

from gateway.config.signed import BODY_PARTS, parts, pieces
from gateway.config.sources import HmacSettings
from gateway.inject.signing import Unsigned
from gateway.inject.source import Fetched, Unreadable
from gateway.secret import Secret

NONCE_BYTES = 16


def _nonce() -> str:
    return secrets.token_hex(NONCE_BYTES)


class HmacSigner:
    """Signs by one table of settings."""

    def __init__(self, settings: HmacSettings, nonce: Callable[[], str] = _nonce) -> None:
        self.fields = frozenset(name.lower() for name in settings.headers)
        self._settings = settings
        self._nonce = nonce
        self._string = pieces(settings.string)
        self._headers = [(name.lower(), pieces(template)) for name, template in settings.headers.items()]
        self._covers_body = bool(parts(settings.string) & BODY_PARTS)

    def check(self, fetched: Fetched) -> None:
        self._key(fetched.secret)

    def sign(self, request: Unsigned, fetched: Fetched, now_s: float) -> list[tuple[str, str | Secret]]:
        body = request.body
        if body is None:
            raise Unreadable("the body is signed, and this one streams: nobody knows its bytes before they leave", "describe it in a contract")
        if body and not self._covers_body:
            raise Unreadable("the call has a body, which the signature would not cover", "add {body_sha256} to string")
        values = self._values(request, body, now_s)
        mac = hmac.digest(self._key(fetched.secret), _filled(self._string, values), self._settings.algorithm)
        values["signature"] = mac.hex().encode() if self._settings.encoding == "hex" else base64.b64encode(mac)
        # a signature is as good as the key for this one call: it is shown to nobody either
        return [(name, Secret(_filled(template, values).decode("ascii"))) for name, template in self._headers]

    def _values(self, request: Unsigned, body: bytes, now_s: float) -> dict[str, bytes]:
        digest = hashlib.sha256(body)
        texts = {
            "method": request.method,
            "scheme": request.scheme,
            "host": request.authority,
            "path": request.path,
            "query": request.query,
            "target": f"{request.path}?{request.query}" if request.query else request.path,
            "content_type": ", ".join(value for name, value in request.headers if name == "content-type"),
            "timestamp": _written(now_s, self._settings.timestamp),
            "nonce": self._nonce(),
            "key_id": self._settings.key_id or "",
            "body_sha256": digest.hexdigest(),
        }
        coded = base64.b64encode(digest.digest())
        return {"body": body, "body_sha256_base64": coded, **{name: text.encode("ascii") for name, text in texts.items()}}

    def _key(self, secret: Secret) -> bytes:
        text, form = secret.reveal(), self._settings.key
        try:
            key = bytes.fromhex(text) if form == "hex" else base64.b64decode(text, validate=True) if form == "base64" else text.encode()
        except ValueError:
            key = b""  # what went wrong would quote a part of it
        if not key:
            raise Unreadable(f"the secret is not {form}", "compare `key` with what the service says of its keys")
        return key


def _filled(template: list[str], values: dict[str, bytes]) -> bytes:
    return b"".join(values[piece] if number % 2 else piece.encode("ascii") for number, piece in enumerate(template))


def _written(now_s: float, form: str) -> str:
    if form == "milliseconds":
        return str(int(now_s * 1000))
    if form == "seconds":
        return str(int(now_s))
    when = datetime.fromtimestamp(int(now_s), UTC)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ") if form == "iso8601" else format_datetime(when, usegmt=True)
