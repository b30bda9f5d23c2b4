"""Turns a refusal into an answer: RFC 9457 problem details. The only place where refusals become bytes."""

from __future__ import annotations

import os

from gateway.call import Refused
from gateway.canonical import Json, dumps_in_order
from gateway.errors import REFUSALS
from gateway.identities.jwk import ALGORITHMS

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, header fields and body of an answer."""

_BUSY = frozenset((429, 503))
_ADVICE = "The token is missing, malformed, ended, or needs a proof. Get a fresh one where resource_metadata says."
_PROOF_ALGS = " ".join(ALGORITHMS)


def problem(refused: Refused, *, base_url: str | None = None) -> Answer:
    """Return the answer for a refusal. The private reason stays out of it; `base_url` is the gateway's own, for 401 (RFC 9728).

    A refusal that never became a call gets its call id here.
    """
    refusal, call_id = refused.refusal, refused.call_id or os.urandom(16).hex()
    kind = REFUSALS[refusal.code]
    said: dict[str, Json] = {
        "type": f"urn:portreeve:error:{refusal.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "hint": kind.hint,
        "call": call_id,
    }
    if refused.receipt is not None:
        said["decision"] = {"log": refused.receipt.origin, "n": refused.receipt.n}
    if refusal.pointer:
        said["pointer"] = refusal.pointer
    body = dumps_in_order(said)
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"portreeve-call", call_id.encode("ascii")),
    ]
    if refused.receipt is not None:
        headers.append((b"portreeve-decision", str(refused.receipt).encode("ascii")))
    if kind.status == 401:
        headers.append((b"www-authenticate", _challenge(base_url)))
    if kind.status in _BUSY and refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode("ascii")))
    return kind.status, headers, body


def _challenge(base_url: str | None) -> bytes:
    """RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1. The same whatever was wrong with the token: a stranger learns nothing from it."""
    shared = f'realm="portreeve", error="invalid_token", error_description="{_ADVICE}"'
    if base_url:
        shared += f', resource_metadata="{base_url.rstrip("/")}/.well-known/oauth-protected-resource"'
    return f'Bearer {shared}, DPoP {shared}, algs="{_PROOF_ALGS}"'.encode("ascii")
