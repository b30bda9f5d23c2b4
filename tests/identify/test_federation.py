"""A foreign token leads to one issuer, and through it to one agent or one user; whatever leads nowhere is refused."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.identify.federation import Federation, KeySources, Vouched
from gateway.identify.token import ascii_bytes, parse
from gateway.identities import Agent, Delegation, Identities, Issuer, Revoked
from gateway.identities.issuer import Source
from gateway.identities.model import FederatedCredential
from gateway.secret import Secret
from tests.identify.foreigners import GATEWAY, Foreigner
from tests.identify.forge import ABSENT, NOW, Clock
from tests.simulators.issuer import IssuerWorld
from tests.simulators.upstreams import upstream

CI, CLUSTER, MESH = Foreigner(), Foreigner(), Foreigner()
CLUSTER_URL = "https://kubernetes.default.svc"
ACCOUNT = {"kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "bot", "uid": "7f6c"}}}


def agent(name: str, *matches: tuple[str, Mapping[str, str]], **more: Any) -> Agent:
    return Agent(name, "team:a", "", "active", credentials=tuple(FederatedCredential(issuer, match) for issuer, match in matches), **more)


AGENTS = {
    a.id: a
    for a in (
        agent("site", ("ci", {"sub": "repo:acme/site"})),
        agent("shops", ("ci", {"sub": "repo:acme/shop-*", "environment": "production"})),
        agent("bot", ("cluster", {"sub": "system:serviceaccount:agents:bot", "kubernetes.io/serviceaccount/uid": "7f6c"})),
        agent("svid", ("mesh", {"sub": "spiffe://example.org/ns/agents/*"})),
        agent("assistant", delegation=Delegation(may_act_for_users=True, user_issuers=("ci",))),
    )
}


@dataclass
class World:
    cluster: IssuerWorld
    issuers: dict[str, Issuer]
    sources: KeySources

    async def vouch(self, text: str) -> Vouched:
        federation = Federation(Identities(AGENTS, self.issuers, Revoked(), "sha256:0"), self.sources, Clock())
        await self.sources.replace(self.issuers)
        raw = ascii_bytes(Secret(text))
        return await federation.vouch(raw, parse(raw))

    async def agent(self, text: str) -> str:
        federation = Federation(Identities(AGENTS, self.issuers, Revoked(), "sha256:0"), self.sources, Clock())
        return federation.agent(await self.vouch(text)).id

    async def refused(self, text: str) -> str:
        with pytest.raises(Refusal) as caught:
            await self.agent(text)
        assert caught.value.code == "invalid_token"
        return caught.value.reason


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    (tmp_path / "ci.json").write_text(json.dumps(CI.jwks()))
    (tmp_path / "mesh.json").write_text(json.dumps({"keys": [{**key, "use": "jwt-svid"} for key in MESH.jwks()["keys"]]}))
    (tmp_path / "token").write_text("reviewer")
    common: dict[str, Any] = {"audience": GATEWAY, "algorithms": ("ES256",), "typs": ("JWT", None), "max_ttl_s": 3_600}
    cluster = IssuerWorld(CLUSTER.jwks())
    async with upstream(cluster) as up:
        source = Source(url=f"{up.url}/jwks", token=tmp_path / "token")
        issuers = {
            "gateway": Issuer("gateway", "self"),
            "ci": Issuer("ci", "oidc", url="https://ci.example", source=Source(file=tmp_path / "ci.json"), require={"org": "acme"}, **common),
            "cluster": Issuer("cluster", "kubernetes", url=CLUSTER_URL, source=source, check="tokenreview", review=up.url, **common),
            "mesh": Issuer("mesh", "spiffe", trust_domain="example.org", source=Source(file=tmp_path / "mesh.json"), **common),
        }
        sources = KeySources(lambda *_: None)
        yield World(cluster, issuers, sources)
        await sources.close()


def ci(**claims: Any) -> str:
    return CI.token(**{"iss": "https://ci.example", "org": "acme", **claims})


def pod(**claims: Any) -> str:
    return CLUSTER.token(**{"iss": CLUSTER_URL, "sub": "system:serviceaccount:agents:bot", "aud": [GATEWAY], **ACCOUNT, **claims})


def svid(by: Foreigner = MESH, **claims: Any) -> str:
    return by.token(**{"iss": ABSENT, "iat": ABSENT, "jti": ABSENT, "sub": "spiffe://example.org/ns/agents/a", **claims})


async def test_a_token_leads_to_the_agent_whose_match_it_meets(world: World):
    assert await world.agent(ci()) == "site"
    assert await world.agent(ci(sub="repo:acme/shop-eu", environment="production")) == "shops"
    assert await world.agent(svid()) == "svid"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ci(sub="repo:acme/other"), "stands for no agent"),
        (ci(sub="repo:acme/shop-eu"), "stands for no agent"),
        (ci(sub="repo:acme/shop-eu", environment="test"), "stands for no agent"),
        (ci(sub="repo:acme/shop-eu/x", environment="production"), "stands for no agent"),
        (ci(org="evil"), "claim org is not what issuer ci requires"),
        (ci(org=ABSENT), "claim org"),
        (ci(org=["acme"]), "claim org"),
        (ci(cnf={"jkt": "A" * 43}), "bound to a key"),
        (ci(iss="https://ci.example/"), "neither this gateway nor an issuer"),
        (ci(iss=["https://ci.example"]), "neither this gateway nor an issuer"),
        (ci(iss=ABSENT), "neither this gateway nor an issuer"),
        (CLUSTER.token(iss="https://ci.example", org="acme"), "signature"),
        (svid(CI), "signature"),
        (svid(sub="spiffe://evil.org/ns/agents/a"), "neither this gateway nor an issuer"),
        (svid(sub="spiffe://example.org.evil.org/ns/agents/a"), "neither this gateway nor an issuer"),
        (svid(sub="spiffe://example.org"), "trust domain"),
        (svid(sub="spiffe://example.org/ns/agents/a/b"), "stands for no agent"),
        (svid(exp=NOW + 3_601), "within 3600 s"),
        (svid(aud=[GATEWAY, "https://other.example"]), "more than one"),
        (MESH.token(iss="https://ci.example", org="acme", sub="spiffe://example.org/ns/agents/a"), "signature"),
    ],
)
async def test_a_token_that_leads_nowhere_is_refused(world: World, text: str, reason: str):
    assert reason in await world.refused(text)


async def test_a_token_of_one_issuer_is_never_checked_with_the_keys_of_another(world: World):
    """Both sets have a key of the same kid; only that of the issuer that the token names counts."""
    assert "signature" in await world.refused(CI.token(iss=CLUSTER_URL, sub="system:serviceaccount:agents:bot", **ACCOUNT))


async def test_a_token_that_names_no_key_is_taken_from_an_issuer_of_one_key_where_that_is_said(world: World, tmp_path: Path):
    unnamed = CI.token({"kid": ABSENT}, iss="https://ci.example", org="acme")
    assert "kid or alg" in await world.refused(unnamed)
    world.issuers["ci"] = replace(world.issuers["ci"], unnamed_key=True)
    assert "does not have exactly one" in await world.refused(unnamed)
    assert await world.agent(ci()) == "site"
    (tmp_path / "one.json").write_text(json.dumps({"keys": [CI.jwks()["keys"][0]]}))
    world.issuers["ci"] = replace(world.issuers["ci"], source=Source(file=tmp_path / "one.json"))
    assert await world.agent(unnamed) == "site"
    assert "signature" in await world.refused(MESH.token({"kid": ABSENT}, iss="https://ci.example", org="acme"))
    assert "kid or alg" in await world.refused(CI.token({"kid": None}, iss="https://ci.example", org="acme"))


async def test_a_mesh_whose_tokens_name_their_issuer_is_not_believed_without_that(world: World):
    world.issuers["mesh"] = replace(world.issuers["mesh"], url="https://spire.example.org")
    assert await world.agent(svid(iss="https://spire.example.org")) == "svid"
    assert "iss is missing" in await world.refused(svid())
    assert "iss is not this issuer" in await world.refused(svid(iss="https://evil.example"))


async def test_a_disabled_issuer_vouches_for_nobody(world: World):
    world.issuers["ci"] = replace(world.issuers["ci"], disabled=True)
    assert "disabled" in await world.refused(ci())


async def test_a_service_account_is_taken_when_the_cluster_says_that_it_still_counts(world: World):
    world.cluster.review = {"authenticated": True, "user": {"username": "system:serviceaccount:agents:bot"}, "audiences": [GATEWAY]}
    text = pod()
    assert [await world.agent(text) for _ in range(3)] == ["bot"] * 3
    assert len(world.cluster.reviews) == 1 and world.cluster.review_headers == ["Bearer reviewer"]
    assert world.cluster.reviews[0]["spec"] == {"token": text, "audiences": [GATEWAY]}
    assert "stands for no agent" in await world.refused(pod(**{"kubernetes.io": {"serviceaccount": {"name": "bot", "uid": "another"}}}))


@pytest.mark.parametrize(
    ("review", "reason"),
    [
        ({"authenticated": False, "error": "token has been invalidated"}, "does not count any more"),
        ({"authenticated": True, "user": {"username": "system:serviceaccount:agents:other"}, "audiences": [GATEWAY]}, "somebody else's"),
        ({"authenticated": True, "user": {"username": "system:serviceaccount:agents:bot"}, "audiences": ["https://other"]}, "is for this gateway"),
        ({"authenticated": True, "user": {"username": "system:serviceaccount:agents:bot"}}, "is for this gateway"),
        ({"authenticated": "true", "user": {"username": "system:serviceaccount:agents:bot"}, "audiences": [GATEWAY]}, "does not count any more"),
        ({"authenticated": True, "user": "bot", "audiences": [GATEWAY]}, "does not count any more"),
        ({}, "does not count any more"),
        (None, "does not count any more"),
    ],
)
async def test_a_deleted_pod_or_a_doubtful_answer_is_a_no_and_is_asked_again(world: World, review: Any, reason: str):
    world.cluster.review = review
    text = pod()
    for _ in range(2):
        assert reason in await world.refused(text)
    assert len(world.cluster.reviews) == 2


async def test_a_cluster_that_cannot_be_asked_vouches_for_nobody(world: World):
    world.cluster.review = {"authenticated": True, "user": {"username": "system:serviceaccount:agents:bot"}, "audiences": [GATEWAY]}
    await world.vouch(pod())
    world.cluster.status = 500
    assert "status 500" in await world.refused(pod(jti="another"))


async def test_the_user_is_named_with_its_issuer_so_that_two_issuers_cannot_be_confused(world: World):
    federation = Federation(Identities(AGENTS, world.issuers, Revoked(), "sha256:0"), world.sources, Clock())
    world.issuers["ci"] = replace(world.issuers["ci"], user_claim="email")
    vouched = await world.vouch(ci(email="alice@example.com"))
    assert federation.user(vouched, AGENTS["assistant"]) == "ci:alice@example.com"
    with pytest.raises(Refusal, match="may not act for users of issuer ci"):
        federation.user(vouched, AGENTS["site"])
    for name in ("", "a b", "al\u0131ce", "a" * 200, 7, None):
        with pytest.raises(Refusal):
            federation.user(await world.vouch(ci(email=name)), AGENTS["assistant"])


async def test_what_an_issuer_has_fetched_outlives_a_reload_that_does_not_change_it(world: World):
    world.cluster.review = {"authenticated": True, "user": {"username": "system:serviceaccount:agents:bot"}, "audiences": [GATEWAY]}
    await world.agent(pod())
    await world.sources.replace(dict(world.issuers))
    await world.agent(pod())
    assert world.cluster.asked == 1
    changed = {**world.issuers, "cluster": replace(world.issuers["cluster"], max_ttl_s=600)}
    await world.sources.replace(changed)
    with pytest.raises(Refusal, match="not in force"):
        world.sources.get(world.issuers["cluster"])
    assert set(world.sources.ages()) == {"ci", "cluster", "mesh"}
