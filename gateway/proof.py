"""How a caller shows that a token is its own: by having it, or by a proof of the key that it is bound to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from gateway.secret import Secret

Scheme = Literal["bearer", "dpop"]
"""How a token was presented: as good for whoever has it, or with a proof."""


@dataclass(frozen=True, slots=True)
class Proof:
    """A proof of possession as it came (RFC 9449), and what it must be for: the method, and the URL without its query as callers know it."""

    text: Secret
    method: str
    url: str
