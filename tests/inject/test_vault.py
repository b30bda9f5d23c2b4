"""Secrets of a real OpenBao: stored ones, and ones that an engine makes, renews and ends."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from gateway.config.model import CredentialSettings
from gateway.config.sources import LeaseSettings, MtlsSettings, VaultSettings
from gateway.inject.kept import Kept
from gateway.inject.opening import NO_SERVICES, open_certificate
from gateway.inject.source import Unreachable, Unreadable
from gateway.inject.vault import Vault
from gateway.inject.vault_kv import VaultSource
from gateway.inject.vault_lease import LeaseSource
from tests.inject.vaults import broker_role, let_in, mount
from tests.inject.world import need, voucher
from tests.simulators.authority import ClientAuthority
from tests.simulators.broker import Broker
from tests.simulators.openbao import Bao, bao
from tests.simulators.upstreams import answer, upstream

LEASE = LeaseSettings("rabbitmq/creds/reader", "password", "username")


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    with bao(tmp_path_factory.mktemp("bao")) as found:
        mount(found)
        yield found


class Bench:
    """A vault that lets the gateway in, on a clock of its own."""

    def __init__(self, real: Bao, tmp_path, **role) -> None:
        self.said, public = voucher(tmp_path)
        self.settings = let_in(real, public, **role)
        self.now = 1000.0
        self.vault = Vault(self.settings, "g", self.said, lambda: self.now)


@pytest.fixture
def bench(real: Bao, tmp_path) -> Bench:
    return Bench(real, tmp_path)


async def test_a_stored_secret_is_read_with_its_version_and_again_after_a_minute(real, bench):
    real.ask("kv/data/crm/key", {"data": {"token": "CANARY-1"}})
    source = VaultSource("kv/crm/key#token", bench.vault)
    first = await source.fetch(need())
    assert (first.secret.reveal(), first.version, first.life_s) == ("CANARY-1", "1", 60.0)
    real.ask("kv/data/crm/key", {"data": {"token": "CANARY-2"}})
    second = await source.fetch(need())
    assert (second.secret.reveal(), second.version) == ("CANARY-2", "2")


@pytest.mark.parametrize("reference", ["kv/none#token", "kv/other/key#missing", "kv/other/key#number", "sys/other#token"])
async def test_what_is_not_there_or_no_text_is_refused_without_what_is(real, bench, reference):
    real.ask("kv/data/other/key", {"data": {"token": "CANARY", "number": 7}})
    with pytest.raises(Unreachable) as caught:
        await VaultSource(reference, bench.vault).fetch(need())
    assert "CANARY" not in caught.value.reason


@pytest.mark.parametrize("spoil", ["name", "role", "audience", "key"])
async def test_only_the_gateway_that_the_role_is_bound_to_gets_in(real, bench, tmp_path, spoil):
    settings, said, name = bench.settings, bench.said, "g"
    if spoil == "name":
        name = "another"
    elif spoil == "role":
        settings = VaultSettings(settings.url, "another")
    elif spoil == "audience":
        settings = VaultSettings(settings.url, settings.role, audience="https://another.example")
    else:
        said = voucher(tmp_path / "another")[0]
    with pytest.raises(Unreachable, match="did not let the gateway in"):
        await Vault(settings, name, said).ask("kv/data/crm/key")


async def test_calls_at_once_log_in_once(real, bench):
    real.ask("kv/data/many", {"data": {"t": "CANARY"}})
    source, before = VaultSource("kv/many#t", bench.vault), logins(real)
    await asyncio.gather(*(source.fetch(need()) for _ in range(20)))
    assert logins(real) == before + 1


def logins(real: Bao) -> int:
    return len(real.ask("auth/token/accessors?list=true")["data"]["keys"])


async def test_the_gateways_token_is_renewed_at_two_thirds_and_replaced_when_it_does_not_count_any_more(real, bench):
    real.ask("kv/data/renewed", {"data": {"t": "CANARY"}})
    source, before = VaultSource("kv/renewed#t", bench.vault), logins(real)
    await source.fetch(need())
    bench.now += 3600 * 0.7
    assert bench.vault.left_s < 1200
    await source.fetch(need())
    assert bench.vault.left_s > 3500 and logins(real) == before + 1
    token = bench.vault._pass.token.reveal()
    real.ask("auth/token/revoke", {"token": token})
    assert (await source.fetch(need())).secret.reveal() == "CANARY"
    assert logins(real) == before + 1


async def test_the_token_is_given_back_at_the_end(real, bench):
    real.ask("kv/data/end", {"data": {"t": "CANARY"}})
    before = logins(real)
    await VaultSource("kv/end#t", bench.vault).fetch(need())
    await bench.vault.close()
    assert logins(real) == before
    await bench.vault.close()


async def test_a_user_is_made_for_each_agent_renewed_while_it_is_used_and_ended_when_the_agent_is_stopped(real, bench):
    broker = Broker()
    async with upstream(broker) as up:
        broker_role(real, up.url, "reader", ttl="30m")
        source = LeaseSource(LEASE, bench.vault)
        kept = Kept("mq", source, now=lambda: bench.now)
        one, other = [await kept.fetch(need(agent), source.scope(need())) for agent in "ab"]
        assert one.user != other.user and one.secret != other.secret
        assert broker.users == {one.user.reveal(), other.user.reveal()} and one.life_s == 1800
        bench.now += 1800 * 0.7
        assert (await kept.fetch(need("a"), source.scope(need()))).secret is one.secret
        await settle(kept)
        bench.now += 1800 * 0.5
        assert (await kept.fetch(need("a"), source.scope(need()))).secret is one.secret, "its lease goes on"
        assert broker.made == 2
        kept.revoke("agent", "a")
        await settle(kept)
        assert broker.users == {other.user.reveal()}
        await kept.close()
        assert broker.users == set()


async def settle(kept: Kept) -> None:
    while kept._tasks:
        await asyncio.wait(kept._tasks)


async def test_a_lease_whose_longest_life_is_near_is_replaced_and_no_lease_outlives_the_gateways_token(real, tmp_path):
    bench, broker = Bench(real, tmp_path, ttl="10m"), Broker()
    async with upstream(broker) as up:
        broker_role(real, up.url, "reader", ttl="30m", max_ttl="30m")
        source = LeaseSource(LEASE, bench.vault)
        first = await source.fetch(need())
        assert first.life_s <= 600
        await asyncio.to_thread(real.ask, "sys/leases/revoke", {"lease_id": first.lease})
        assert await source.renew(first) is None
        await bench.vault.close()


async def test_closing_ends_with_the_token_what_nobody_gave_back(real, bench):
    broker = Broker()
    async with upstream(broker) as up:
        broker_role(real, up.url, "reader")
        await LeaseSource(LEASE, bench.vault).fetch(need())
        assert len(broker.users) == 1
        await bench.vault.close()
        async with asyncio.timeout(10):
            while broker.users:  # it ends them behind its answer
                await asyncio.sleep(0.01)


async def test_a_lease_of_another_shape_is_given_back_at_once(real, bench):
    broker = Broker()
    async with upstream(broker) as up:
        broker_role(real, up.url, "reader")
        with pytest.raises(Unreachable, match="no text in the field token"):
            await LeaseSource(LeaseSettings("rabbitmq/creds/reader", "token"), bench.vault).fetch(need())
        assert broker.made == 1 and broker.users == set()


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"<html>CANARY", b'{"auth":"CANARY"}', b'{"auth":{"client_token":"CANARY\\r\\nx: y","lease_duration":1}}']
)
async def test_what_is_no_vault_is_told_apart_without_its_text(tmp_path, body):
    async def odd(seen, writer) -> None:
        writer.write(answer(200, body))

    async with upstream(odd) as up:
        with pytest.raises(Unreadable) as caught:
            await Vault(VaultSettings(up.url, "r"), "g", voucher(tmp_path)[0]).ask("kv/data/x")
    assert "CANARY" not in str(caught.value) and caught.value.remedy


async def test_a_certificate_and_its_key_are_read_together_though_they_have_lines(real, bench, tmp_path):
    clients = ClientAuthority(tmp_path)
    fields = ("certificate", "key")
    settings = CredentialSettings("c", ("up.example",), mtls=MtlsSettings("vault:kv/client#certificate", "vault:kv/client#key"))
    source = open_certificate(settings, tmp_path, NO_SERVICES, bench.vault)
    for version in ("1", "2"):
        *pems, fingerprint = clients.issue("a")
        real.ask("kv/data/client", {"data": {name: pem.decode() for name, pem in zip(fields, pems, strict=True)}})
        fetched = await source.fetch(need())
        assert (fetched.certificate.fingerprint, fetched.version, fetched.life_s, source.is_local) == (fingerprint, version, 60.0, False)
