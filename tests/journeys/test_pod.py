"""An agent in a pod of Kubernetes: the projected token that its platform renews is all that gateway.client needs."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.client import GatewayAuth, async_client
from gateway.errors import Problem
from tests.identify.foreigners import Foreigner
from tests.identify.forge import ABSENT
from tests.journeys.place import Place, records, running, write_place
from tests.journeys.token_clients import URL, write_agent
from tests.simulators.issuer import IssuerWorld
from tests.simulators.upstreams import echo, upstream

ISSUER = "https://kubernetes.default.svc.cluster.local"
SUBJECT, UID = "system:serviceaccount:agents:bot", "7f6c0a0e-0000-4000-8000-000000000001"
ISSUERS = """schema = 1
[issuer.gateway]
kind = "self"
[issuer.cluster]
kind = "kubernetes"
url = "{issuer}"
jwks = "{api}/openid/v1/jwks"
token = "file:../reviewer"
audience = "{audience}"
algs = ["RS256"]
{more}
"""
CLUSTER = Foreigner()
GOOD = {"authenticated": True, "user": {"username": SUBJECT}, "audiences": [URL]}


class Volume:
    """A projected volume as the kubelet keeps it: the file is a link into a folder that is swapped in one rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "gateway"
        self.writes = 0
        folder.mkdir()
        self.path.symlink_to("..data/gateway")

    def renew(self, **changes: object) -> str:
        """Project another token of the pod; gives its `jti`."""
        self.writes += 1
        now, name = int(time.time()), f"token-{self.writes}"
        account = {"namespace": "agents", "serviceaccount": {"name": "bot", "uid": UID}, "pod": {"name": "bot-0"}}
        claims = {"iss": ISSUER, "sub": SUBJECT, "aud": [URL], "iat": now, "exp": now + 600, "jti": name, "kubernetes.io": account, **changes}
        text = CLUSTER.token(header={"typ": ABSENT, "alg": "RS256", "kid": "rsa"}, sign=CLUSTER.sign("rsa", "RS256"), **claims)
        made = self.folder / f"..{name}"
        made.mkdir()
        (made / "gateway").write_text(text)
        link = self.folder / "..data_tmp"
        link.symlink_to(made.name)
        link.rename(self.folder / "..data")
        return name


@contextlib.asynccontextmanager
async def cluster(folder: Path, check: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Place, IssuerWorld, Volume]]:
    """A gateway that trusts a cluster, and the environment of a pod in it."""
    api = IssuerWorld(CLUSTER.jwks(), review=GOOD)
    async with upstream(echo) as up, upstream(api) as kubernetes:
        write_place(folder, up.port)
        more = f'check = "tokenreview"\nreview = "{kubernetes.url}"' if check == "tokenreview" else ""
        text = ISSUERS.format(issuer=ISSUER, api=kubernetes.url, audience=URL, more=more)
        (folder / "identities" / "issuers.toml").write_text(text)
        (folder / "reviewer").write_text("a-token-of-the-gateway's-own-account")
        match = f'{{ sub = "{SUBJECT}", "kubernetes.io/serviceaccount/uid" = "{UID}" }}'
        write_agent(folder, "bot", f'[[credential]]\nkind = "federated"\nissuer = "cluster"\nmatch = {match}\n')
        volume = Volume(folder / "volume")
        volume.renew()
        async with running(folder) as place:
            monkeypatch.setenv("PORTREEVE_URL", place.gateway.addresses["agents"])
            monkeypatch.setenv("PORTREEVE_ISSUER", URL)
            monkeypatch.setenv("PORTREEVE_PLATFORM_TOKEN_FILE", str(volume.path))
            yield place, api, volume


@pytest.mark.parametrize("check", ["jwks", "tokenreview"])
async def test_a_pod_calls_with_nothing_but_what_the_platform_projects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str):
    async with cluster(tmp_path, check, monkeypatch) as (place, api, volume):
        auth = GatewayAuth()
        async with async_client(auth=auth) as http:
            assert (await http.get("/tools/notes/notes/7")).status_code == 200
            first = auth.tokens.get().token
            volume.renew()
            await asyncio.to_thread(auth.tokens.revoke)  # as when it has ended: the next one is asked for with what is projected now
            assert (await http.post("/tools/notes/notes", json={"text": "hello"})).status_code == 200
            assert auth.tokens.get().token != first
        assert [record["agent"] for record in records(place.folder, "token") if record.get("agent")][-2:] == ["bot", "bot"]
        assert records(place.folder, "call")[-1]["who"]["agent"] == "bot"
        assert len(api.reviews) == (2 if check == "tokenreview" else 0)
        assert api.review_headers == ["Bearer a-token-of-the-gateway's-own-account"] * len(api.reviews)


async def test_a_pod_that_was_deleted_gets_no_token_where_the_cluster_is_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with cluster(tmp_path, "tokenreview", monkeypatch) as (_, api, volume):
        api.review = {**GOOD, "authenticated": False}
        volume.renew()
        with pytest.raises(Problem) as caught:
            async with async_client() as http:
                await http.get("/tools/notes/notes/7")
        assert caught.value.code == "invalid_grant" and "audience" in caught.value.remedy


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["https://kubernetes.default.svc"]},
        {"sub": "system:serviceaccount:agents:other"},
        {"kubernetes.io": {"namespace": "agents", "serviceaccount": {"name": "bot", "uid": "another-account-of-that-name"}}},
    ],
    ids=["for the api", "another account", "made anew under the name"],
)
async def test_the_token_of_another_account_or_for_another_service_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict):
    async with cluster(tmp_path, "jwks", monkeypatch) as (_, _, volume):
        volume.renew(**changes)
        with pytest.raises(Problem) as caught:
            async with async_client() as http:
                await http.get("/tools/notes/notes/7")
        assert caught.value.code == "invalid_grant"
