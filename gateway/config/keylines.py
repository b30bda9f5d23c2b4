"""Verifier keys as settings: the public keys of logs and witnesses in the one-line form of c2sp.org/signed-note."""

from __future__ import annotations

import base64
import hashlib
import re

from gateway.config.kinds import Fault

_VERIFIER_KEY = re.compile(r"([^\s+\x00-\x1f\x7f]{1,255})\+([0-9a-f]{8})\+([A-Za-z0-9+/]{44})")


def witness_key(text: str) -> str:
    """The verifier key line of a witness."""
    return _verifier_key(text, b"\x04", "a witness prints it when it starts: portreeve log witness serve")


def log_key(text: str) -> str:
    """The verifier key line of a log."""
    return _verifier_key(text, b"\x01", "it stands in the log's log.vkey: NAME+ID+KEY")


def _verifier_key(text: str, kind: bytes, remedy: str) -> str:
    """NAME+ID+KEY as c2sp.org/signed-note has it: an Ed25519 key of this kind, under the id that belongs to it."""
    found = _VERIFIER_KEY.fullmatch(text)
    raw = base64.b64decode(found[3]) if found else b""
    if not found or raw[:1] != kind or hashlib.sha256(found[1].encode() + b"\n" + raw).hexdigest()[:8] != found[2]:
        raise Fault("bad_key", "is not a verifier key of the right kind", remedy)
    return text
