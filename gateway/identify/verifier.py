"""Decides whether a token proves an identity, now, with the agents and denials of one snapshot.

Order: the cache, the form, the issuer (it chooses the keys; other issuers' keys are never searched), the key (it chooses the algorithm), the
signature, the claims, the registry. A new snapshot means a new Verifier, so a cached token never outlives a change.
"""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import OrderedDict
from collections.abc import Callable

from jwt import get_algorithm_by_name

from gateway.call import Identity
from gateway.identify.claims import Claims, check
from gateway.identify.keys import SigningKeys
from gateway.identify.token import OWN, Parsed, admit, ascii_bytes, parse, refuse
from gateway.identities.issuer import TTL_S_MAX
from gateway.identities.model import Agent, Identities
from gateway.secret import Secret
from gateway.stores.ended import Ended
from gateway.stores.halts import HaltBoard
from gateway.stores.revocations import MemoryRevocations

CLOCK_SKEW_S = 5
"""How far ahead the clock of a machine that mints may be. Never added to a token's life."""

_ES256 = get_algorithm_by_name("ES256")


class Verifier:
    """Verifies the tokens of one issuer, the gateway itself, for one audience.

    `now` gives seconds since the epoch. At most `cache_entries_max` verified tokens are remembered, by SHA-256, never by text.
    """

    def __init__(  # noqa: PLR0917 - each is a different type, and the composition root names them
        self,
        identities: Identities,
        keys: SigningKeys,
        audience: str,
        issuer: str,
        now: Callable[[], float] = time.time,
        cache_entries_max: int = 10_000,
        ended: Ended | None = None,
    ) -> None:
        self.identities = identities
        self._keys = keys
        self._audience = audience
        self._issuer = issuer
        self._now = now
        self._entries_max = cache_entries_max
        self._ended = ended or Ended(HaltBoard(), MemoryRevocations())
        self.board = self._ended.board
        self._verified: OrderedDict[bytes, tuple[float, Identity]] = OrderedDict()

    def verify(self, token: Secret | None) -> Identity:
        """Whose bearer token it is. Raises Refusal("invalid_token") with a private reason for every other text, and nothing else.

        About 150 us for a token seen first (ES256 takes 100), 2 us after that.
        """
        if token is None:
            refuse("no token was presented")
        raw = ascii_bytes(token)
        identity = self.remembered(raw) or self.prove(raw, parse(raw))
        if identity.bound_to:
            refuse("the token is bound to a key and came as a bearer token")
        return identity

    def issued(self, parsed: Parsed) -> bool:
        """Whether the token says that it is this gateway's. Not believed yet."""
        return parsed.claims.get("iss") == self._issuer

    def remembered(self, raw: bytes) -> Identity | None:
        """Whose token it is, if it was verified before, still holds, and was not revoked since."""
        known = self._verified.get(hashlib.sha256(raw).digest())
        if known is None or self._now() >= known[0]:
            return None
        self.check_revocations(known[1])
        return known[1]

    def prove(self, raw: bytes, parsed: Parsed) -> Identity:
        """Whose token it is, bound to a key or not: who asks MUST look at `bound_to`. Raises Refusal("invalid_token")."""
        until, identity = self._prove(parsed, self._now())
        self.check_revocations(identity)
        self.remember(raw, identity, until)
        return identity

    def remember(self, raw: bytes, identity: Identity, until: float) -> None:
        """Keep the answer for a token until then, by its SHA-256."""
        self._verified[hashlib.sha256(raw).digest()] = (until, identity)
        if len(self._verified) > self._entries_max:
            self._verified.popitem(last=False)

    def check_revocations(self, identity: Identity) -> None:
        """Raises Refusal: "invalid_token" when the token or one that it came from no longer counts, "state_unavailable" when nobody can tell.

        A dead token of a halted agent passes: its call is denied as halted, with a record of its own, and gets no leave (see halting.py).
        """
        self.board.check_readable()
        why = self._ended.why(identity)
        if why and not self.board.halted(identity, ""):
            refuse(why)

    def against(self, identity: Identity) -> str:
        """Why a token that verified once would not be taken now; empty when it would. Expiry is not looked at: a call may outlive its token."""
        revoked, now = self.identities.revoked, self._now()
        if identity.issuer == self._issuer:
            if identity.key_id not in self._keys.public and now < identity.expires_at:  # a key that leaked can claim any epoch
                return "the key that signed the token is no key of this issuer any more"
        elif not self.identities.trusts(identity.issuer, identity.subject):
            return "the issuer of the token is not in force any more"
        denial = revoked.denies("jti", identity.token_id, now) or revoked.denies("kid", identity.key_id, now)
        if denial is not None:
            return f"the {denial.kind} is revoked: {denial.reason}"
        for agent in (identity.agent, *identity.actors):
            why = self.standing(agent, for_user=identity.user is not None)
            if why:
                return why
        return self._ended.why(identity)

    def standing(self, agent: str, *, for_user: bool = False) -> str:
        """Why no token of this agent would be taken now, whatever else it says; empty when one could be. For questions about an agent."""
        now = self._now()
        found = self.identities.agents.get(agent)
        if found is None:
            return f"the agent {agent} is not registered"
        denial = self.identities.revoked.denies("agent", agent, now)
        if denial is not None:
            return f"the agent is revoked: {denial.reason}"
        if for_user and not found.delegation.may_act_for_users:
            return f"the agent {agent} may not act for users"
        why = found.unusable_because(now)
        return f"the agent {agent} {why}" if why else ""

    def _prove(self, parsed: Parsed, now: float) -> tuple[float, Identity]:
        token = admit(parsed, OWN)
        if not self.issued(parsed):
            refuse("iss is not this gateway")
        key = self._keys.public.get(token.kid)
        if key is None:
            refuse("kid is not a key of this issuer")
        if token.alg != key.alg:
            refuse("alg is not the algorithm of this key")
        if not _ES256.verify(token.signed, key.key, token.signature):
            refuse("the signature does not verify")
        claims = check(token.claims)
        self._check_times(claims, now)
        if claims.audience != self._audience:
            refuse("aud is not this gateway's tools")
        self.check_denials(claims.token_id, token.kid, claims.chain)
        agents = self._agents(claims, now)
        _check_binding(agents[0], claims)
        until = min([claims.expires_at, *(agent.expires_at for agent in agents if agent.expires_at is not None)])
        return until, Identity(
            agent=agents[0].id,
            issuer=claims.issuer,
            subject=claims.subject,
            token_id=claims.token_id,
            key_id=token.kid,
            audience=claims.audience,
            expires_at=claims.expires_at,
            user=claims.user,
            actors=claims.chain[1:],
            scopes=claims.scopes,
            run=claims.run,
            bound_to=claims.bound_to,
            ancestors=claims.ancestors,
            epoch=claims.epoch,
        )

    def _check_times(self, claims: Claims, now: float) -> None:
        if now >= claims.expires_at:
            refuse(f"expired {int(now) - claims.expires_at} s ago")
        if max(claims.issued_at, claims.not_before) > now + CLOCK_SKEW_S:
            refuse(f"not valid for another {max(claims.issued_at, claims.not_before) - int(now)} s; compare the clocks")
        if not 0 < claims.expires_at - claims.issued_at <= min(self.identities.own_issuer.max_ttl_s, TTL_S_MAX):
            refuse("exp is not within the longest life after iat")

    def check_denials(self, token_id: str, kid: str, agents: tuple[str, ...]) -> None:
        """Raises Refusal("invalid_token") when `revoked.toml` names the token, its key or one of the agents."""
        revoked, now = self.identities.revoked, self._now()
        denial = revoked.denies("jti", token_id, now) or revoked.denies("kid", kid, now)
        for agent in agents:
            denial = denial or revoked.denies("agent", agent, now)
        if denial is not None:
            refuse(f"the {denial.kind} is revoked: {denial.reason}")

    def _agents(self, claims: Claims, now: float) -> tuple[Agent, ...]:
        """The registered agents of the chain. Each must be usable: stopping one stops everything delegated from it."""
        found: list[Agent] = []
        for name in claims.chain:
            agent = self.identities.agents.get(name)
            if agent is None:
                refuse(f"the agent {name} is not registered")
            why = agent.unusable_because(now)
            if why:
                refuse(f"the agent {name} {why}")
            if claims.user is not None and not agent.delegation.may_act_for_users:
                refuse(f"the agent {name} may not act for users")
            _check_ceilings(agent, claims)
            found.append(agent)
        for depth, (actor, origin) in enumerate(itertools.pairwise(found)):
            if actor.id not in origin.delegation.may_delegate_to or origin.delegation.max_depth <= depth:
                refuse(f"the agent {origin.id} may not delegate to {actor.id} here")
        return tuple(found)


def _check_binding(agent: Agent, claims: Claims) -> None:
    if agent.pop == "required" and not claims.bound_to:
        refuse(f"the agent {agent.id} needs tokens that are bound to a key")
    if agent.pop == "none" and claims.bound_to:
        refuse(f"the agent {agent.id} has bearer tokens only")


def _check_ceilings(agent: Agent, claims: Claims) -> None:
    """What the agent's file allows its tokens: narrowing the file narrows tokens that are already out."""
    if claims.expires_at - claims.issued_at > agent.ttl_s:
        refuse(f"lives longer than the agent {agent.id} may have")
    if agent.audiences and claims.audience not in agent.audiences:
        refuse(f"aud is not one of the agent {agent.id}")
    if not set(claims.scopes) <= set(agent.scopes):
        refuse(f"scope is beyond the agent {agent.id}")
