"""Agents that prove themselves with a key of their own (RFC 7523 section 3): which keys they have, and what an assertion must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from gateway.identify.foreign import Expected, Proven, prove
from gateway.identify.keyset import KeySet
from gateway.identify.token import Parsed, admit, refuse
from gateway.identities.jwk import VerifyingKey
from gateway.identities.model import Agent, EnrolledKeys, Identities, KeyCredential

ASSERTION_S_MAX = 300
TYPS: frozenset[str | None] = frozenset({None, "JWT", "client-authentication+jwt"})


class Enrolled(Protocol):
    """A key that an agent enrolled."""

    @property
    def key(self) -> VerifyingKey: ...


@dataclass(frozen=True, slots=True)
class Client:
    """An agent that proved itself, how, and by what. `name`, when it has one, MUST be used once until `expires_at`."""

    agent: Agent
    auth: str
    issuer: str
    key_id: str
    token_id: str
    expires_at: int
    name: str = ""

    @classmethod
    def by(cls, proven: Proven, agent: Agent, auth: str, name: str = "") -> Client:
        return cls(agent, auth, proven.issuer, proven.key_id, proven.token_id, proven.expires_at, name)


class Clients:
    """The agents of one snapshot with their keys. `enrolled` gives the keys that an agent enrolled; `audiences` is what assertions may be for."""

    def __init__(
        self, identities: Identities, enrolled: Callable[[str], Iterable[Enrolled]], audiences: frozenset[str], now: Callable[[], float]
    ) -> None:
        self._identities = identities
        self._enrolled = enrolled
        self._audiences = audiences
        self._now = now

    def names(self, parsed: Parsed) -> bool:
        """Whether the assertion says that it is an agent's own. Not believed yet."""
        issuer = parsed.claims.get("iss")
        return type(issuer) is str and issuer in self._identities.agents

    def prove(self, parsed: Parsed) -> Client:
        """The agent that signed the assertion. Raises Refusal("invalid_token"). The caller MUST see that `name` is used once."""
        agent = self._identities.agents[parsed.claims["iss"]]
        keys = dict(self._keys(agent))
        by_kid = KeySet({kid: key for kid, (key, _) in keys.items()})
        expected = Expected(agent.id, self._audiences, typs=TYPS, max_ttl_s=ASSERTION_S_MAX, issued_at=False)
        proven = prove(admit(parsed, TYPS), by_kid, expected, self._now())
        if proven.subject != agent.id:
            refuse("sub is not the agent that iss names")
        if not proven.token_id:
            refuse("jti is missing, so the assertion could be used again")
        return Client.by(proven, agent, keys[proven.key_id][1], f"assertion {agent.id} {proven.token_id}")

    def _keys(self, agent: Agent) -> Iterator[tuple[str, tuple[VerifyingKey, str]]]:
        """Each key that counts now, by kid, with the word for how it came to be known."""
        now = self._now()
        for credential in agent.credentials:
            if isinstance(credential, KeyCredential) and not credential.is_over(now):
                yield credential.kid, (credential.key, "key")
            elif isinstance(credential, EnrolledKeys) and not credential.is_over(now):
                for enrolled in self._enrolled(agent.id):
                    yield enrolled.key.kid, (enrolled.key, "enrolled")


def claimed(parsed: Parsed) -> str:
    """Who a token says it is from, for counting failures. Not believed."""
    for name in ("sub", "iss"):
        value = parsed.claims.get(name)
        if type(value) is str:
            return value[:256]
    return ""
