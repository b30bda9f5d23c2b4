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

Attribute = str | int | bool | list[str]
"""What an agent's attribute may be; policies see it as `principal.NAME`."""

Status = Literal["active", "suspended", "retired"]

TTL_S_DEFAULT = 300
TTL_S_MAX = 3_600
"""No token lives longer than this, whatever a file says."""

CHAIN_MAX = 4
"""Members of an `act` chain at most: the acting agent and those who delegated to it."""

# One strict alphabet for every name that ends in a log line, a Cedar entity id or a shell: no control character, no quote, no look-alike letter.
AGENT_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")
SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9:._/-]{0,127}")
USER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+-]{0,127}")
TOKEN_ID = re.compile(r"[A-Za-z0-9_-]{16,64}")
RUN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,63}")


@dataclass(frozen=True, slots=True)
class Delegation:
    """What an agent may do on behalf of others, and who may act for it. The defaults allow nothing."""

    may_act_for_users: bool = False
    may_delegate_to: tuple[str, ...] = ()
    max_depth: int = 0


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

    @property
    def expires_at(self) -> int | None:
        """The first second at which the registration no longer holds."""
        if self.expires is None:
            return None
        return int(datetime(self.expires.year, self.expires.month, self.expires.day, tzinfo=UTC).timestamp() + timedelta(days=1).total_seconds())

    def unusable_because(self, now: float) -> str:
        """Why no token of this agent counts at `now`; empty when it does."""
        if self.status != "active":
            return f"is {self.status}"
        end = self.expires_at
        return f"expired after {self.expires}" if end is not None and now >= end else ""


@dataclass(frozen=True, slots=True)
class Issuer:
    """Who may sign tokens. Only `self`, the gateway's own keys, is built; `max_ttl_s` caps every token of this issuer."""

    name: str
    kind: Literal["self"]
    max_ttl_s: int = TTL_S_MAX


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

    @property
    def own_issuer(self) -> Issuer:
        """The gateway itself; the loader makes sure that there is exactly one."""
        return next(issuer for issuer in self.issuers.values() if issuer.kind == "self")
