"""How a caller presents its token (RFC 6750, 9449): the scheme of Authorization, the token, and the proof that it holds a key."""

from __future__ import annotations

from gateway.proof import Proof, Scheme
from gateway.secret import Secret

_SCHEMES: dict[str, Scheme] = {"bearer": "bearer", "token": "bearer", "dpop": "dpop"}


def token_of(value: str) -> tuple[str, Scheme]:
    """The token in a field's value and how it was presented; empty when there is none."""
    name, _, rest = value.partition(" ")
    scheme = _SCHEMES.get(name.lower())
    return (rest.strip(" "), scheme) if scheme else ("", "bearer")


def proof_of(value: str | None, method: str, url: str) -> Proof | None:
    """The proof in the DPoP field. It came once: gateway.doors.head."""
    return Proof(Secret(value), method, url) if value else None
