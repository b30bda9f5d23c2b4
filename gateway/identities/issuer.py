"""A trusted issuer of tokens: the gateway itself, or another whose word counts for some agents or users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

TTL_S_MAX = 3_600
"""No token of the gateway lives longer than this, whatever a file says."""

Kind = Literal["self", "oidc", "kubernetes", "spiffe"]
Use = Literal["exchange", "direct"]
Check = Literal["jwks", "tokenreview"]


@dataclass(frozen=True, slots=True)
class Source:
    """Where an issuer's keys are: an https URL (http on loopback), or a file; `ca` are the authorities to trust instead of the system's."""

    url: str = ""
    file: Path | None = None
    ca: Path | None = None
    token: Path | None = None

    @property
    def shown(self) -> str:
        return self.url or str(self.file)


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may sign tokens. `max_ttl_s` caps every token of it; the rest is for others than `self`.

    `url` is what `iss` must be; empty for a SPIFFE trust domain whose tokens name no issuer. `typs` with None: the header may lack `typ`.
    `require` must hold of every token, whichever agent it is for. `use`: good at the token endpoint only, or on tool calls, too.
    `unnamed_key`: its tokens may lack `kid`, as long as it has one key only.
    `review` is the Kubernetes API that is asked whether a token still counts. `user_claim` names the user where the token is a person's.
    """

    name: str
    kind: Kind
    max_ttl_s: int = TTL_S_MAX
    url: str = ""
    trust_domain: str = ""
    source: Source = Source()
    audience: str = ""
    algorithms: tuple[str, ...] = ()
    typs: tuple[str | None, ...] = ()
    require: Mapping[str, str] = field(default_factory=dict)
    use: Use = "exchange"
    check: Check = "jwks"
    review: str = ""
    single_use: bool = False
    user_claim: str = "sub"
    unnamed_key: bool = False
    disabled: bool = False
