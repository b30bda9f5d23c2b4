"""Step one as a whole: a token, however it is presented, is one identity or refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.call import Identity
from gateway.errors import Refusal
from gateway.identify.dpop import Proofs
from gateway.identify.federation import Federation, KeySources
from gateway.identify.identifier import Identifier
from gateway.identities import Revoked
from gateway.identities.issuer import Issuer, Source
from gateway.identities.model import Denial, FederatedCredential
from gateway.proof import Proof, Scheme
from gateway.secret import Secret
from tests.identify.foreigners import GATEWAY, URL, Foreigner
from tests.identify.forge import NOW, Bench, snapshot
from tests.journeys.token_clients import Key

TOOL = "https://gw.example.com/tools/tickets/tickets"
THEM = Foreigner()


class World:
    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder / "keys")
        (folder / "jwks.json").write_text(json.dumps(THEM.jwks()))
        source = Source(file=folder / "jwks.json")
        self.issuer = Issuer("idp", "oidc", url=URL, source=source, audience=GATEWAY, algorithms=("ES256",), typs=("JWT",), use="direct")
        self.sources = KeySources(lambda *_: None)
        self.bench.clock.at = NOW - 1_000
        self.proofs = Proofs(self.bench.clock)
        self.bench.clock.at = NOW

    async def identifier(self, *, revoked: Revoked | None = None, issuer: Issuer | None = None, **changes: Any) -> Identifier:
        match = FederatedCredential("idp", {"sub": "repo:acme/site"})
        known = snapshot(revoked=revoked or Revoked(), credentials=(match,), **changes)
        known = replace(known, issuers={**known.issuers, "idp": issuer or self.issuer})
        await self.sources.replace(known.issuers)
        return Identifier(self.bench.verifier(known), Federation(known, self.sources, self.bench.clock), self.proofs, self.bench.clock)

    async def identify(self, text: str, scheme: Scheme = "bearer", proof: str | None = None, **more: Any) -> Identity:
        found = await self.identifier(**more)
        return await found.identify(Secret(text), scheme, Proof(Secret(proof), "GET", TOOL) if proof else None)

    async def refused(self, text: str, *args: Any, **more: Any) -> str:
        with pytest.raises(Refusal) as caught:
            await self.identify(text, *args, **more)
        assert caught.value.code == "invalid_token"
        return caught.value.reason


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    found = World(tmp_path)
    yield found
    await found.sources.close()


async def test_our_own_bearer_token_is_what_the_verifier_says(world: World):
    text = world.bench.token()
    assert await world.identify(text) == world.bench.verifier().verify(Secret(text))


async def test_a_bound_token_with_its_proof_is_proven_possession(world: World):
    key = Key("")
    text = world.bench.token(cnf={"jkt": key.thumbprint})
    identity = await world.identify(text, "dpop", key.proof("GET", TOOL, text, iat=NOW))
    assert (identity.agent, identity.proof_of_possession, identity.bound_to) == ("support-bot", True, key.thumbprint)


async def test_a_bound_token_is_refused_in_every_other_way(world: World):
    key = Key("")
    text = world.bench.token(cnf={"jkt": key.thumbprint})
    proof = key.proof("GET", TOOL, text, iat=NOW)
    assert "as a bearer token" in await world.refused(text)
    assert "as a bearer token" in await world.refused(text, "bearer", proof)
    assert "without a proof" in await world.refused(text, "dpop")
    assert "another key" in await world.refused(text, "dpop", Key("").proof("GET", TOOL, text, iat=NOW))
    assert "not bound to a key" in await world.refused(world.bench.token(), "dpop", proof)


async def test_a_direct_token_is_the_agent_that_its_issuer_vouches_for(world: World):
    identity = await world.identify(THEM.token(jti="0123456789abcdef"))
    assert (identity.agent, identity.issuer, identity.subject, identity.token_id) == ("support-bot", URL, "repo:acme/site", "0123456789abcdef")
    assert (identity.scopes, identity.user, identity.proof_of_possession) == (("tickets:read", "tickets:write"), None, False)
    unnamed = await world.identify(THEM.token(jti="short"))
    assert len(unnamed.token_id) == 64


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"status": "suspended"}, "is suspended"),
        ({"pop": "required"}, "bound to a key"),
        ({"revoked": Revoked({("agent", "support-bot"): Denial("agent", "support-bot", "stop")})}, "revoked: stop"),
        ({"revoked": Revoked({("jti", "0123456789abcdef"): Denial("jti", "0123456789abcdef", "lost")})}, "revoked: lost"),
        ({"revoked": Revoked({("kid", "ec"): Denial("kid", "ec", "stolen")})}, "revoked: stolen"),
    ],
)
async def test_a_direct_token_of_an_agent_that_may_not_now_is_refused(world: World, more: dict[str, Any], reason: str):
    assert reason in await world.refused(THEM.token(jti="0123456789abcdef"), **more)


async def test_a_direct_token_is_refused_where_its_issuer_is_for_exchange(world: World):
    assert "token endpoint only" in await world.refused(THEM.token(), issuer=replace(world.issuer, use="exchange"))


async def test_a_direct_token_that_was_remembered_ends_with_its_time(world: World):
    found = await world.identifier()
    text = Secret(THEM.token())
    first = await found.identify(text)
    assert await found.identify(text) is first
    world.bench.clock.at = NOW + 300
    with pytest.raises(Refusal, match="expired"):
        await found.identify(text)


@pytest.mark.parametrize(("issuer", "kind"), [(URL, "oidc"), ("spiffe://mesh.example", "spiffe")])
async def test_a_call_with_a_direct_token_is_over_when_its_issuer_is(world: World, issuer: str, kind: str):
    """Streams, and calls that wait, are asked about again when a file changes."""
    mesh = Issuer("mesh", "spiffe", trust_domain="mesh.example", source=world.issuer.source, audience=GATEWAY)
    known = world.issuer if kind == "oidc" else mesh
    identity = Identity("support-bot", issuer, "spiffe://mesh.example/bot" if kind == "spiffe" else "x", "t", "ec", GATEWAY, NOW + 300)
    for changed, over in ((known, False), (replace(known, disabled=True), True)):
        snap = snapshot()
        snap = replace(snap, issuers={**snap.issuers, "idp": changed})
        assert bool(world.bench.verifier(snap).against(identity)) is over
    assert world.bench.verifier().against(identity), "no file names it"


async def test_nothing_presented_is_refused(world: World):
    with pytest.raises(Refusal):
        await (await world.identifier()).identify(None)
