"""A forger's bench: tokens in which exactly one thing is wrong, everything else as the gateway itself would write it, signed with its own key."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePrivateKey, generate_private_key
from jwt import get_algorithm_by_name

from gateway.identify import SigningKeys, Verifier
from gateway.identities import Agent, Delegation, Identities, Issuer, Revoked
from gateway.secret import Secret

NOW = 1_800_000_000
ISSUER = "https://gw.example.com"
AUDIENCE = "https://gw.example.com/tools"
ABSENT = object()
NOTHING_REVOKED = Revoked()


def segment(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def es256(key: EllipticCurvePrivateKey) -> Callable[[bytes], bytes]:
    return lambda signed: get_algorithm_by_name("ES256").sign(signed, key)


def agents(**changes: Any) -> dict[str, Agent]:
    """support-bot acts for users and is delegated to by planner; kb-search acts for nobody; `changes` go to support-bot."""
    bot = Agent("support-bot", "team:support", "Answers", "active", scopes=("tickets:read", "tickets:write"), ttl_s=900)
    bot = replace(bot, delegation=Delegation(may_act_for_users=True), expires=date(2030, 1, 1))
    planner = Agent("planner", "team:support", "Plans", "active", ttl_s=900, scopes=("tickets:read",))
    planner = replace(planner, delegation=Delegation(may_act_for_users=True, may_delegate_to=("support-bot",), max_depth=1))
    search = Agent("kb-search", "team:support", "Searches", "active")
    return {a.id: a for a in (replace(bot, **changes), planner, search)}


def snapshot(*, revoked: Revoked = NOTHING_REVOKED, max_ttl_s: int = 3_600, **changes: Any) -> Identities:
    return Identities(agents(**changes), {"gateway": Issuer("gateway", "self", max_ttl_s)}, revoked, "sha256:0")


@dataclass
class Clock:
    """A clock that tests set."""

    at: float = NOW

    def __call__(self) -> float:
        return self.at


@dataclass
class Bench:
    """The gateway's keys, somebody else's key, and the verifier under attack."""

    folder: Path
    clock: Clock = field(default_factory=Clock)

    def __post_init__(self) -> None:
        self.keys = SigningKeys.open(self.folder)
        self.stranger = generate_private_key(SECP256R1())

    def verifier(self, identities: Identities | None = None, *, entries: int = 16) -> Verifier:
        return Verifier(identities or snapshot(), self.keys, AUDIENCE, ISSUER, self.clock, entries)

    def header(self, **changes: Any) -> dict[str, Any]:
        return changed({"typ": "at+jwt", "alg": "ES256", "kid": self.keys.kid}, changes)

    def claims(self, **changes: Any) -> dict[str, Any]:
        claims = {
            "iss": ISSUER,
            "sub": "agent:support-bot",
            "client_id": "support-bot",
            "aud": AUDIENCE,
            "scope": "tickets:read",
            "iat": NOW,
            "exp": NOW + 300,
            "jti": "0123456789abcdef",
            "gw": {"auth": "local"},
        }
        return changed(claims, changes)

    def sealed(self, header: bytes, claims: bytes, sign: Callable[[bytes], bytes] | None = None) -> str:
        """Any bytes as header and claims, with a signature that is right unless `sign` makes another."""
        signed = f"{segment(header)}.{segment(claims)}".encode()
        return f"{signed.decode()}.{segment((sign or es256(self.keys.signer.private))(signed))}"

    def token(self, header: dict[str, Any] | None = None, sign: Callable[[bytes], bytes] | None = None, **claims: Any) -> str:
        return self.sealed(encoded(self.header(**(header or {}))), encoded(self.claims(**claims)), sign)


def changed(members: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**members, **changes}.items() if value is not ABSENT}


def encoded(value: object) -> bytes:
    """JSON as a careless library writes it: NaN, infinities and huge numbers included."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def secret(text: str) -> Secret:
    return Secret(text)
