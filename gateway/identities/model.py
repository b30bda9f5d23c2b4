"""The values of an identities snapshot: agents, issuers, denials.

All frozen. Times are whole seconds since the epoch, UTC. Absence never grants: an empty tuple of scopes is no scope, a missing [delegation]
is no delegation.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Literal

from gateway.identities.issuer import Issuer
from gateway.identities.jwk import VerifyingKey

Attribute = str | int | bool | list[str]
"""What an agent's attribute may be; policies see it as `principal.NAME`."""

Status = Literal["active", "suspended", "retired"]

Pop = Literal["none", "optional", "required"]
"""Whether an agent's tokens are bound to a key that each call must prove (RFC 9449)."""

TTL_S_DEFAULT = 300
CHAIN_MAX = 4
"""Members of an `act` chain at most: the acting agent and those who delegated to it."""

# One strict alphabet for every name that ends in a log line, a Cedar entity id or a shell: no control character, no quote, no look-alike letter.
AGENT_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._/-]{0,127}")
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}")
ISSUER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
TOKEN_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


@dataclass(frozen=True, slots=True)
class Delegation:
    """What an agent may do on behalf of others, and who may act for it. The defaults allow nothing. `user_issuers` are names of issuers."""

    may_act_for_users: bool = False
    user_issuers: tuple[str, ...] = ()
    may_delegate_to: tuple[str, ...] = ()
    max_depth: int = 0


@dataclass(frozen=True, slots=True)
class KeyCredential:
    """A public key whose holder is the agent. `not_after` is its last day (UTC)."""

    kid: str
    key: VerifyingKey
    not_after: date | None = None

    def is_over(self, now: float) -> bool:
        return self.not_after is not None and now >= end_of(self.not_after)


@dataclass(frozen=True, slots=True)
class FederatedCredential:
    """Tokens of another issuer that prove the agent: every claim in `match` is what its pattern says (see matching.py)."""

    issuer: str
    match: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class EnrolledKeys:
    """Keys that the agent made itself and registered with a one-time code (see stores/enrolment.py). `not_after` is their last day (UTC)."""

    not_after: date | None = None

    def is_over(self, now: float) -> bool:
        return self.not_after is not None and now >= end_of(self.not_after)


Credential = KeyCredential | FederatedCredential | EnrolledKeys


def end_of(day: date) -> int:
    """The first second after a day, UTC."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() + timedelta(days=1).total_seconds())


@dataclass(frozen=True, slots=True)
class Agent:
    """One registered agent. `ttl_s` caps the life of its tokens; empty `audiences` means the gateway's own and no other.

    `expires` is the last day (UTC) on which the registration holds; None means it does not lapse.
    """

    id: str
    owner: str
    description: str
    status: Status
    expires: date | None = None
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    ttl_s: int = TTL_S_DEFAULT
    audiences: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()
    delegation: Delegation = Delegation()
    file: str = ""
    pop: Pop = "optional"
    credentials: tuple[Credential, ...] = ()

    @property
    def expires_at(self) -> int | None:
        """The first second at which the registration no longer holds."""
        return None if self.expires is None else end_of(self.expires)

    def unusable_because(self, now: float) -> str:
        """Why no token of this agent counts at `now`; empty when it does."""
        if self.status != "active":
            return f"is {self.status}"
        end = self.expires_at
        return f"expired after {self.expires}" if end is not None and now >= end else ""


@dataclass(frozen=True, slots=True)
class Denial:
    """One thing that no longer counts, why, and until when (None: for good)."""

    kind: Literal["jti", "kid", "agent"]
    value: str
    reason: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Revoked:
    """The denials of `revoked.toml`, looked up by kind and value."""

    denials: Mapping[tuple[str, str], Denial] = field(default_factory=dict)

    def denies(self, kind: Literal["jti", "kid", "agent"], value: str, now: float) -> Denial | None:
        """The denial in force at `now`, if there is one."""
        found = self.denials.get((kind, value))
        if found is None or (found.until is not None and now >= found.until):
            return None
        return found


@dataclass(frozen=True, slots=True)
class Identities:
    """Everything known about who may call, read in one go. `digest` names exactly these files with exactly these bytes."""

    agents: Mapping[str, Agent]
    issuers: Mapping[str, Issuer]
    revoked: Revoked
    digest: str
    files: tuple[str, ...] = ()

    def next_end(self, now: float) -> int | None:
        """When the next registration lapses after `now`; None when none will."""
        return min((agent.expires_at for agent in self.agents.values() if agent.expires_at is not None and agent.expires_at > now), default=None)

    def trusts(self, issuer: str, subject: str) -> bool:
        """Whether a token of another issuer, by its `iss` and `sub`, would still find that issuer in force."""
        return any(
            not one.disabled and ((one.url and one.url == issuer) or (one.trust_domain and subject.startswith(f"spiffe://{one.trust_domain}/")))
            for one in self.issuers.values()
            if one.kind != "self"
        )

    @property
    def own_issuer(self) -> Issuer:
        """The gateway itself; the loader makes sure that there is exactly one."""
        return next(issuer for issuer in self.issuers.values() if issuer.kind == "self")
