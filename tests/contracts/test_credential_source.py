"""The contract of a credential source, on every one of them: on this machine, and at a service."""

from __future__ import annotations

import asyncio
import json
import os
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qsl

import pytest

from gateway.config.sources import GithubAppSettings, LeaseSettings, OAuth2Settings, StsSettings, VaultSettings
from gateway.fetch import Fetcher
from gateway.inject.assertion import ClientKey
from gateway.inject.environment import EnvironmentSource
from gateway.inject.file import FileSource
from gateway.inject.github_app import GithubAppSource
from gateway.inject.oauth2 import OAuth2Source
from gateway.inject.source import SECRET_BYTES_MAX, CredentialSource, Unreadable
from gateway.inject.sts import StsSource
from gateway.inject.vault import Vault
from gateway.inject.vault_kv import VaultSource
from gateway.inject.vault_lease import LeaseSource
from tests.inject.world import need, voucher, write_key
from tests.simulators.aws import session
from tests.simulators.token_endpoint import CLIENT, CLIENT_SECRET
from tests.simulators.upstreams import Behaviour, Seen, answer, upstream

POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}]}
Keep = Callable[[bytes | None], Awaitable[CredentialSource]]
"""keep(bytes) keeps them where the source hands them out, None nothing; gives the source."""


def handing_out(raw: bytes | None) -> Behaviour:
    """A token endpoint and a vault that hand out exactly these bytes. (That the real ones are spoken to rightly is tested with the real ones.)"""
    text = None if raw is None else raw.decode("utf-8", "surrogateescape")

    async def behave(seen: Seen, writer: asyncio.StreamWriter) -> None:
        told: dict[str, object] = {"access_token": text, "token_type": "Bearer", "expires_in": 60}
        if seen.target.endswith("/login"):
            told = {"auth": {"client_token": "t", "lease_duration": 3600, "renewable": True}}
        elif seen.target.startswith("/app/"):
            told = {"token": text, "expires_at": "2999-01-01T00:00:00Z", "permissions": {"issues": "read"}, "repositories": [{"name": "site"}]}
        elif seen.target.startswith("/v1/kv/"):
            told = {"data": {"data": {"token": text}, "metadata": {"version": 3}}}
        elif seen.target.startswith("/v1/"):
            told = {"lease_id": "CANARY-lease", "lease_duration": 60, "data": {"token": text}}
        if b"AssumeRoleWithWebIdentity" in seen.body:
            writer.write(answer(200, session(dict(parse_qsl(seen.body.decode()))["RoleSessionName"], SessionToken=text)))
            return
        if seen.method == "DELETE":
            writer.write(answer(204, b""))
            return
        writer.write(answer(201 if seen.target.startswith("/app/") else 200, json.dumps(told, ensure_ascii=False).encode("utf-8", "surrogateescape")))

    return behave


@pytest.fixture(params=["env", "file", "oauth2 basic", "oauth2 key", "oauth2 exchange", "vault stored", "vault lease", "github app", "sts"])
async def keep(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keep]:
    ends: list[asyncio.Event] = []

    def local(raw: bytes | None) -> CredentialSource:
        if request.param == "env":
            if raw is None:
                return EnvironmentSource("PORTREEVE_TEST_UNSET")
            monkeypatch.setenv("PORTREEVE_TEST_SECRET", os.fsdecode(raw))
            return EnvironmentSource("PORTREEVE_TEST_SECRET")
        file = tmp_path / "secret"
        if raw is not None:
            file.write_bytes(raw)
            file.chmod(0o600)
        return FileSource(file)

    async def token(raw: bytes | None) -> CredentialSource:
        ready, over, url = asyncio.Event(), asyncio.Event(), ""
        ends.append(over)
        behaviour = handing_out(raw)

        async def serve() -> None:
            nonlocal url
            async with upstream(behaviour) as up:
                url = up.url
                ready.set()
                await over.wait()

        tasks.append(asyncio.create_task(serve()))
        await ready.wait()
        how, _, client = request.param.partition(" ")
        if how == "github":
            write_key(tmp_path / "app", "RS256")
            app = GithubAppSettings("1", "2", tmp_path / "app", "site", {"issues": "read"}, url)
            return GithubAppSource(app, ClientKey(tmp_path / "app"), Fetcher())
        if how == "sts":
            return StsSource(
                StsSettings("arn:aws:iam::123456789012:role/r", "eu-central-1", "s3", POLICY, endpoint=url), Fetcher(), voucher(tmp_path)[0]
            )
        if how == "vault":
            vault = Vault(VaultSettings(url, "r"), "g", voucher(tmp_path)[0])
            return VaultSource("kv/a#token", vault) if client == "stored" else LeaseSource(LeaseSettings("mq/creds/r", "token"), vault)
        file = tmp_path / "client"
        if client == "key":
            write_key(file)
            settings = OAuth2Settings(url, CLIENT, "private_key_jwt", client_key=file, revocation_url=url)
            return OAuth2Source(settings, ClientKey(file), Fetcher(), voucher(tmp_path)[0])
        file.touch(0o600)
        file.write_text(CLIENT_SECRET)
        settings = OAuth2Settings(url, CLIENT, grant="token_exchange" if client == "exchange" else "client_credentials", subject="agent")
        return OAuth2Source(settings, FileSource(file), Fetcher(), voucher(tmp_path)[0])

    async def kept(raw: bytes | None) -> CredentialSource:
        return local(raw) if request.param in ("env", "file") else await token(raw)

    tasks: list[asyncio.Task[None]] = []
    yield kept
    for end in ends:
        end.set()
    await asyncio.gather(*tasks)


async def refuses(source: CredentialSource) -> Unreadable:
    with pytest.raises(Unreadable) as caught:
        await source.fetch(need())
    assert caught.value.reason and caught.value.remedy
    return caught.value


async def test_it_gives_the_secret(keep: Keep):
    source = await keep(b"CANARY")
    source.check()
    assert (await source.fetch(need())).secret.reveal() == "CANARY"


async def test_what_is_looked_at_each_time_is_the_same_object_and_what_is_not_says_how_long_it_lives(keep: Keep):
    source = await keep(b"CANARY")
    first, second = await source.fetch(need()), await source.fetch(need())
    assert first.secret is second.secret if first.life_s is None else first.life_s > 0


@pytest.mark.parametrize("raw", [None, b"", b"CANARY\r\nx: y", b"CANARY\x01", b"CANARY\x7f", b"CANARY\xff", b"C\n\n", b"x" * (SECRET_BYTES_MAX + 1)])
async def test_it_refuses_what_could_not_be_sent_as_it_stands_and_shows_none_of_it(keep: Keep, raw: bytes | None):
    unreadable = await refuses(await keep(raw))
    text = "".join(traceback.format_exception(unreadable)) + unreadable.remedy
    assert "CANARY" not in text and CLIENT_SECRET not in text


async def test_the_scope_of_one_need_is_always_the_same(keep: Keep):
    source = await keep(b"CANARY")
    assert source.scope(need()) == source.scope(need())


async def test_what_was_handed_out_can_be_given_back_and_nothing_shows_it(keep: Keep):
    source = await keep(b"CANARY")
    fetched = await source.fetch(need())
    await source.give_back(fetched)
    assert "CANARY" not in repr(fetched) + repr(source)


async def test_what_is_renewed_is_the_same_secret(keep: Keep):
    source = await keep(b"CANARY")
    fetched = await source.fetch(need())
    renewed = await source.renew(fetched)
    assert (renewed is not None and renewed.secret is fetched.secret) if fetched.lease == "CANARY-lease" else renewed is None
