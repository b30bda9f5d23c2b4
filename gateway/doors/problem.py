"""Turns a refusal into an answer: RFC 9457 problem details. The only place where refusals become bytes.

Agents rarely see the answer itself: they see what a vendor's client makes of it. Those show `message` and drop the rest, so it says all that the caller
needs; they send a call again on 5xx unless `x-should-retry` says not to; and those of MCP read nothing but messages of JSON-RPC (ADR 0022).
"""

from __future__ import annotations

import os

from gateway.call import Refused
from gateway.canonical import Json, dumps_in_order
from gateway.errors import REFUSALS
from gateway.identities.jwk import ALGORITHMS

Answer = tuple[int, list[tuple[bytes, bytes]], bytes]
"""Status, header fields and body of an answer."""

_BUSY = frozenset((429, 503))
_RPC_CODE = -31_000
"""Less the HTTP status: -31403. JSON-RPC and MCP keep -32768 to -32000 to themselves."""
_ADVICE = "The token is missing, malformed, ended, or needs a proof. Get a fresh one where resource_metadata says."
_PROOF_ALGS = " ".join(ALGORITHMS)


def problem(refused: Refused, *, base_url: str | None = None, rpc: bool = False) -> Answer:
    """Return the answer for a refusal. The private reason stays out of it; `base_url` is the gateway's own, for 401 (RFC 9728).

    A refusal that never became a call gets its call id here. `rpc`: as an error of JSON-RPC, with the problem as its data.
    """
    refusal, call_id = refused.refusal, refused.call_id or os.urandom(16).hex()
    kind = REFUSALS[refusal.code]
    wait_s = refusal.retry_after_s if kind.status in _BUSY else None
    said: dict[str, Json] = {
        "type": f"urn:portreeve:error:{refusal.code}",
        "title": kind.title,
        "status": kind.status,
        "detail": refusal.detail,
        "code": refusal.code,
        "hint": kind.hint,
        "message": _message(refused, kind.hint, wait_s),
        "call": call_id,
    }
    if refused.receipt is not None:
        said["decision"] = {"log": refused.receipt.origin, "n": refused.receipt.n}
    if refusal.pointer:
        said["pointer"] = refusal.pointer
    if wait_s is not None:
        said["retry_after_s"] = wait_s
    if rpc:
        said = {"jsonrpc": "2.0", "id": None, "error": {"code": _RPC_CODE - kind.status, "message": said["message"], "data": said}}
    body = dumps_in_order(said)
    headers = [
        (b"content-type", b"application/json" if rpc else b"application/problem+json"),
        (b"content-length", str(len(body)).encode("ascii")),
        (b"cache-control", b"no-store"),
        (b"portreeve-call", call_id.encode("ascii")),
    ]
    if refused.receipt is not None:
        headers.append((b"portreeve-decision", str(refused.receipt).encode("ascii")))
    if kind.status == 401:
        headers.append((b"www-authenticate", _challenge(base_url)))
    if wait_s is not None:
        headers.append((b"retry-after", str(wait_s).encode("ascii")))
    if refusal.outcome == "unknown":
        headers.append((b"x-should-retry", b"false"))
    return kind.status, headers, body


def _message(refused: Refused, hint: str, wait_s: int | None) -> str:
    """The refusal in one line: what it is, what to do, and what to ask about it by."""
    refusal, receipt = refused.refusal, refused.receipt
    stop = "" if refusal.detail.endswith((".", "!", "?")) else "."
    pointer = f"{refusal.pointer}: " if refusal.pointer else ""
    wait = f", again in {wait_s} s" if wait_s is not None else ""
    record = f", {receipt.origin}#{receipt.n}" if receipt is not None else ""
    return f"{pointer}{refusal.detail}{stop} {hint} [{refusal.code}{wait}{record}]"


def _challenge(base_url: str | None) -> bytes:
    """RFC 6750 section 3, RFC 9449 section 7.1, RFC 9728 section 5.1. The same whatever was wrong with the token: a stranger learns nothing from it."""
    shared = f'realm="portreeve", error="invalid_token", error_description="{_ADVICE}"'
    if base_url:
        shared += f', resource_metadata="{base_url.rstrip("/")}/.well-known/oauth-protected-resource"'
    return f'Bearer {shared}, DPoP {shared}, algs="{_PROOF_ALGS}"'.encode("ascii")
