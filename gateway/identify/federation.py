"""Which agent, or which user, a token of another issuer stands for.

The issuer is chosen by what the token says of itself, before any key is looked at; then its keys, its rules, and the match in the agents' files.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from gateway.fetch import Fetcher
from gateway.identify.foreign import THUMBPRINTS, Expected, Proven, prove
from gateway.identify.keysource import KeySource, Told
from gateway.identify.review import Reviewer
from gateway.identify.token import Parsed, admit, refuse
from gateway.identities.issuer import Issuer
from gateway.identities.matching import unmatched
from gateway.identities.model import USER, Agent, FederatedCredential, Identities


@dataclass(frozen=True, slots=True)
class Vouched:
    """A token that verified, and the issuer that vouches for it."""

    issuer: Issuer
    proven: Proven


class KeySources:
    """The key sources and reviewers of all foreign issuers. They outlive a reload when nothing about their issuer changed."""

    def __init__(self, told: Told, make_fetcher: Callable[[Issuer], Fetcher] = lambda issuer: Fetcher(issuer.source.ca)) -> None:
        self._told = told
        self._make_fetcher = make_fetcher
        self._sources: dict[str, tuple[KeySource, Reviewer]] = {}

    async def replace(self, issuers: Mapping[str, Issuer]) -> None:
        """Put these issuers in force: new ones begin to fetch, those that are gone or disabled stop."""
        gone = [name for name, (source, _) in self._sources.items() if source.issuer != issuers.get(name)]
        closing = [self._sources.pop(name)[0].close() for name in gone]
        for name, issuer in issuers.items():
            if issuer.kind != "self" and not issuer.disabled and name not in self._sources:
                fetcher = self._make_fetcher(issuer)
                self._sources[name] = (KeySource(issuer, fetcher, self._told), Reviewer(issuer, fetcher))
                self._sources[name][0].begin()
        await asyncio.gather(*closing)

    def get(self, issuer: Issuer) -> tuple[KeySource, Reviewer]:
        """Raises Refusal("invalid_token") when the issuer is not in force any more."""
        found = self._sources.get(issuer.name)
        if found is None or found[0].issuer != issuer:
            refuse(f"the issuer {issuer.name} is not in force")
        return found

    def ages(self) -> Mapping[str, float | None]:
        """Seconds since the keys of each issuer were fetched; None where there are none."""
        return {name: source.age_s for name, (source, _) in self._sources.items()}

    async def close(self) -> None:
        await self.replace({})


class Federation:
    """The foreign issuers of one snapshot, and the agents that their tokens stand for."""

    def __init__(self, identities: Identities, sources: KeySources, now: Callable[[], float]) -> None:
        self._sources = sources
        self._now = now
        foreign = [issuer for issuer in identities.issuers.values() if issuer.kind != "self"]
        self._by_url = {issuer.url: issuer for issuer in foreign if issuer.url}
        self._by_trust_domain = {issuer.trust_domain: issuer for issuer in foreign if issuer.trust_domain}
        self._by_subject: dict[tuple[str, str], list[tuple[Agent, FederatedCredential]]] = {}
        for agent in identities.agents.values():
            for credential in agent.credentials:
                if isinstance(credential, FederatedCredential):
                    subject = credential.match.get("sub", "*")
                    key = (credential.issuer, "" if "*" in subject else subject)
                    self._by_subject.setdefault(key, []).append((agent, credential))

    async def vouch(self, raw: bytes, parsed: Parsed) -> Vouched:
        """Verify a foreign token by the rules of its issuer. Raises Refusal("invalid_token")."""
        issuer = self._issuer(parsed)
        source, reviewer = self._sources.get(issuer)
        only = await source.only_kid() if issuer.unnamed_key and "kid" not in parsed.header else None
        token = admit(parsed, frozenset(issuer.typs), THUMBPRINTS, only)
        if "cnf" in token.claims:
            refuse("the token is bound to a key in a way that cannot be checked here")
        keys = await source.keys(token.kid)
        proven = prove(token, keys, expected(issuer), self._now())
        if issuer.kind == "spiffe" and not proven.subject.startswith(f"spiffe://{issuer.trust_domain}/"):
            refuse(f"sub is not in the trust domain of issuer {issuer.name}")
        wrong = unmatched(issuer.require, proven.claims)
        if wrong:
            refuse(f"the claim {wrong} is not what issuer {issuer.name} requires")
        if issuer.check == "tokenreview":
            await reviewer.review(raw, proven)
        return Vouched(issuer, proven)

    def agent(self, vouched: Vouched) -> Agent:
        """The one agent that the token stands for. Raises Refusal("invalid_token")."""
        name, claims = vouched.issuer.name, vouched.proven.claims
        candidates: Iterable[tuple[Agent, FederatedCredential]] = (
            *self._by_subject.get((name, vouched.proven.subject), ()),
            *self._by_subject.get((name, ""), ()),
        )
        found = {agent.id: agent for agent, credential in candidates if not unmatched(credential.match, claims)}
        if len(found) != 1:
            refuse(f"the token of issuer {name} stands for {'more than one agent' if found else 'no agent'}")
        return next(iter(found.values()))

    def user(self, vouched: Vouched, agent: Agent) -> str:
        """The user whose token it is, for whom the agent may act: ISSUER:NAME. Raises Refusal("invalid_token")."""
        issuer, claims = vouched.issuer, vouched.proven.claims
        if issuer.name not in agent.delegation.user_issuers:
            refuse(f"the agent {agent.id} may not act for users of issuer {issuer.name}")
        if "act" in claims:
            refuse("the user's token is somebody else's to act with already")
        allowed = claims.get("may_act")
        if "may_act" in claims and (type(allowed) is not dict or allowed.get("sub") not in {agent.id, f"agent:{agent.id}"}):
            refuse("the user's token names somebody else who may act (may_act)")
        value = claims.get(issuer.user_claim)
        user = f"{issuer.name}:{value}"
        if type(value) is not str or not USER.fullmatch(value) or not USER.fullmatch(user):
            refuse(f"the claim {issuer.user_claim} names no user in the alphabet of users")
        return user

    def _issuer(self, parsed: Parsed) -> Issuer:
        """By `iss`; for a JWT-SVID without one, by the trust domain of its subject. Only configured issuers, and never all of them."""
        named, subject = parsed.claims.get("iss"), parsed.claims.get("sub")
        issuer = self._by_url.get(named) if type(named) is str else None
        if issuer is None and type(subject) is str and subject.startswith("spiffe://"):
            issuer = self._by_trust_domain.get(subject.removeprefix("spiffe://").partition("/")[0])
        if issuer is None:
            refuse("iss is neither this gateway nor an issuer that is trusted")
        if issuer.disabled:
            refuse(f"the issuer {issuer.name} is disabled")
        return issuer


def expected(issuer: Issuer) -> Expected:
    """What a token of this issuer must be."""
    spiffe = issuer.kind == "spiffe"
    return Expected(
        issuer.url or None,
        frozenset({issuer.audience}),
        algorithms=frozenset(issuer.algorithms),
        typs=frozenset(issuer.typs),
        max_ttl_s=issuer.max_ttl_s,
        more_header=THUMBPRINTS,
        named_issuer=bool(issuer.url),
        issued_at=not spiffe,
    )
