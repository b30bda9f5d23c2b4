"""A client certificate and its key: what belongs together is used, also while the two are being replaced, and nothing shows the key."""

from __future__ import annotations

import datetime as dt
import traceback
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway.inject.certificate import MISMATCH_S_MAX, CertificateSource
from gateway.inject.file import FileSource
from gateway.inject.source import Fetched, Unleased, Unreadable, key_of
from gateway.secret import Secret
from tests.inject.world import need
from tests.simulators.authority import ClientAuthority


@pytest.fixture(scope="module")
def clients(tmp_path_factory: pytest.TempPathFactory) -> ClientAuthority:
    return ClientAuthority(tmp_path_factory.mktemp("clients"))


class Pair:
    """Two files, and a source that reads them on a clock of its own."""

    def __init__(self, folder: Path, certificate: bytes = b"", key: bytes = b"") -> None:
        self.folder = folder
        self.now = dt.datetime.now(dt.UTC).timestamp()
        if certificate:
            self.write("tls.crt", certificate, 0o644)
            self.write("tls.key", key)
        chain = FileSource(folder / "tls.crt", now=lambda: self.now, parse=key_of, is_public=True)
        self.source = CertificateSource("c", chain, FileSource(folder / "tls.key", now=lambda: self.now, parse=key_of), lambda: self.now)

    def write(self, name: str, content: bytes, mode: int = 0o600) -> None:
        (self.folder / name).write_bytes(content)
        (self.folder / name).chmod(mode)
        self.now += 1.0

    async def fetched(self) -> Fetched:
        return await self.source.fetch(need())

    async def shown(self) -> str:
        found = (await self.fetched()).certificate
        assert found is not None
        return found.fingerprint

    async def refuses(self, reason: str) -> None:
        with pytest.raises(Unreadable, match=reason) as caught:
            await self.fetched()
        text = "".join(traceback.format_exception(caught.value)) + caught.value.remedy
        assert caught.value.remedy and "PRIVATE" not in text and "MII" not in text


async def test_a_pair_is_handed_out_with_its_fingerprint_and_end_and_is_the_same_while_it_is_unchanged(tmp_path, clients):
    certificate, key, fingerprint = clients.issue("a", dt.timedelta(days=3))
    pair = Pair(tmp_path, certificate, key)
    pair.source.check()
    first, second = await pair.fetched(), await pair.fetched()
    assert first is second and first.life_s is None and pair.source.is_local
    assert first.certificate.fingerprint == fingerprint and abs(first.certificate.ends_at_s - pair.now - 3 * 86_400) < 60
    assert load_pem_private_key(first.certificate.pem.reveal().encode(), None) and certificate.decode() in first.certificate.pem.reveal()
    assert "PRIVATE" not in repr(first) + repr(pair.source)


async def test_what_leads_to_the_authority_goes_along_and_one_file_may_hold_both(tmp_path, clients):
    certificate, key, fingerprint = clients.issue("a")
    between, _, _ = clients.issue("between", use=None)
    pair = Pair(tmp_path, key + certificate + between, key + certificate + between)
    assert await pair.shown() == fingerprint
    assert (await pair.fetched()).secret.reveal().count("BEGIN CERTIFICATE") == 2


async def test_another_pair_is_used_when_both_are_there_and_the_old_one_until_then(tmp_path, clients):
    pair = Pair(tmp_path, *clients.issue("old")[:2])
    old = await pair.shown()
    certificate, key, new = clients.issue("new")
    pair.write("tls.crt", certificate)
    assert await pair.shown() == old
    pair.write("tls.key", key)
    assert await pair.shown() == new


async def test_a_certificate_that_is_renewed_for_the_same_key_is_another_secret(tmp_path, clients):
    private = ec.generate_private_key(ec.SECP256R1())
    pair = Pair(tmp_path, *clients.issue("a", key=private)[:2])
    first = await pair.fetched()
    pair.write("tls.crt", clients.issue("a", key=private)[0])
    second = await pair.fetched()
    assert first.certificate.fingerprint != second.certificate.fingerprint and first.secret is not second.secret


async def test_two_that_never_come_to_belong_together_are_refused(tmp_path, clients):
    pair = Pair(tmp_path, *clients.issue("old")[:2])
    old = await pair.shown()
    pair.write("tls.key", clients.issue("new")[1])
    assert await pair.shown() == old
    pair.now += MISMATCH_S_MAX
    await pair.refuses("do not belong together")
    pair.now -= 100  # a clock that is set back does not bring the old one back
    await pair.refuses("do not belong together")
    fresh = Pair(tmp_path)
    await fresh.refuses("do not belong together")
    with pytest.raises(Unreadable):
        fresh.source.check()


async def test_a_key_that_is_gone_or_open_to_others_is_withdrawn_at_once(tmp_path, clients):
    pair = Pair(tmp_path, *clients.issue("a")[:2])
    await pair.shown()
    (tmp_path / "tls.key").chmod(0o640)
    pair.now += 1
    await pair.refuses("others may use it")
    (tmp_path / "tls.key").unlink()
    pair.now += 1
    await pair.refuses("cannot open")


async def test_a_certificate_may_be_read_by_others_but_not_written(tmp_path, clients):
    pair = Pair(tmp_path, *clients.issue("a")[:2])
    assert await pair.shown()
    (tmp_path / "tls.crt").chmod(0o664)
    pair.now += 1
    await pair.refuses("others may use it")


async def test_a_certificate_that_has_ended_is_not_shown(tmp_path, clients):
    pair = Pair(tmp_path, *clients.issue("a", dt.timedelta(minutes=5))[:2])
    assert await pair.shown()
    pair.now += 301
    await pair.refuses("ended at")


@pytest.mark.parametrize("use", [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CODE_SIGNING])
async def test_a_certificate_that_is_meant_for_something_else_is_refused(tmp_path, clients, use):
    await Pair(tmp_path, *clients.issue("a", use=use)[:2]).refuses("not meant for a client")


@pytest.mark.parametrize("use", [None, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE])
async def test_a_certificate_that_is_meant_for_everything_is_taken(tmp_path, clients, use):
    assert await Pair(tmp_path, *clients.issue("a", use=use)[:2]).shown()


@pytest.mark.parametrize("make", [lambda: rsa.generate_private_key(65_537, 2_048), lambda: ec.generate_private_key(ec.SECP384R1())])
async def test_keys_of_other_kinds_are_taken(tmp_path, clients, make):
    assert await Pair(tmp_path, *clients.issue("a", key=make())[:2]).shown()


@pytest.mark.parametrize("make", [lambda: rsa.generate_private_key(65_537, 1_024), lambda: dsa.generate_private_key(2_048)])
async def test_weak_and_odd_keys_are_refused(tmp_path, clients, make):
    await Pair(tmp_path, *clients.issue("a", key=make())[:2]).refuses("of a kind that is not used")


async def test_a_key_with_a_passphrase_asks_nobody_for_it(tmp_path, clients):
    private = ed25519.Ed25519PrivateKey.generate()
    certificate, _, _ = clients.issue("a", key=private)
    await Pair(tmp_path, certificate, private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"x"))).refuses(
        "no private key"
    )


@pytest.mark.parametrize("text", [b"CANARY", b"-----BEGIN CERTIFICATE-----\nMIICANARY\n-----END CERTIFICATE-----\n"])
async def test_what_is_no_certificate_or_no_key_is_refused_and_not_shown(tmp_path, clients, text):
    certificate, key, _ = clients.issue("a")
    await Pair(tmp_path, text, key).refuses("no certificate")
    await Pair(tmp_path, certificate, text.replace(b"CERTIFICATE", b"PRIVATE KEY")).refuses("no private key")


async def test_a_chain_has_an_end(tmp_path, clients):
    for use in (None, ExtendedKeyUsageOID.CLIENT_AUTH):
        certificate, key, _ = clients.issue("a", use=use)
        await Pair(tmp_path, certificate * 11, key).refuses("more than 10")


class Handing(Unleased):
    """A source elsewhere that hands out a text for a time."""

    kind = "handing"

    def __init__(self, text: bytes) -> None:
        self.text = text

    def check(self) -> None:
        """Nothing is known here."""

    def scope(self, need: object) -> str:
        return ""

    async def fetch(self, need: object) -> Fetched:
        return Fetched(Secret(self.text.decode()), 60.0, "7")


async def test_a_pair_from_elsewhere_is_good_for_as_long_as_its_parts(tmp_path, clients):
    certificate, key, fingerprint = clients.issue("a")
    source = CertificateSource("c", Handing(certificate), Handing(key))
    source.check()
    fetched = await source.fetch(need())
    assert (fetched.life_s, fetched.version, fetched.certificate.fingerprint, source.is_local) == (60.0, "7", fingerprint, False)
