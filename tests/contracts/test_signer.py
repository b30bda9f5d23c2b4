"""The contract of a signer, on a key in a file and on one in the transit engine of a real OpenBao."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from jwt import get_algorithm_by_name

from gateway.errors import Problems, Refusal
from gateway.identify import SigningKeys
from gateway.identify.rotation import PUBLISHED_S
from gateway.identify.transit import Transit
from tests.simulators.openbao import ROOT_TOKEN, Bao, bao

ES256 = get_algorithm_by_name("ES256")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bao]:
    with bao(tmp_path_factory.mktemp("bao")) as found:
        found.ask("sys/mounts/transit", {"type": "transit"})
        yield found


@pytest.fixture
def transit(running: Bao, tmp_path: Path) -> Transit:
    name = f"k{tmp_path.parent.name}-{tmp_path.name}".replace("_", "-")
    running.ask(f"transit/keys/{name}", {"type": "ecdsa-p256"})
    token = tmp_path / "token"
    token.write_text(ROOT_TOKEN + "\n")
    return Transit(f"{running.url}/v1/transit/keys/{name}", token)


@pytest.fixture(params=["file", "transit"])
def keys(request: pytest.FixtureRequest, tmp_path: Path) -> SigningKeys:
    if request.param == "file":
        return SigningKeys.open(tmp_path / "keys")
    found: Transit = request.getfixturevalue("transit")
    return found.keys()


@pytest.mark.parametrize("signed", [b"", b"a.b", bytes(range(256)) * 20])
def test_a_signature_is_64_bytes_of_es256_by_the_active_key_over_exactly_what_was_given(keys: SigningKeys, signed: bytes):
    signature = keys.signer.sign(signed)
    assert len(signature) == 64
    assert ES256.verify(signed, keys.public[keys.kid].key, signature)
    assert not ES256.verify(signed + b"x", keys.public[keys.kid].key, signature)


def test_nothing_shows_a_key_or_the_way_to_it(keys: SigningKeys):
    assert "PRIVATE" not in repr(keys) and ROOT_TOKEN not in repr(keys) and "private" not in str(keys.jwks())


def test_a_version_is_next_until_it_is_known_everywhere_then_signs_and_the_older_one_still_verifies(running: Bao, transit: Transit):
    first = transit.keys()
    running.ask(transit.url.partition("/v1/")[2] + "/rotate", {})
    both = transit.keys()
    assert (both.kid, {key.state for key in both.public.values()}) == (first.kid, {"active", "next"})
    later = Transit(transit.url, transit.token_file, now=lambda: transit.now() + PUBLISHED_S + 5)
    after = later.keys()
    assert after.kid != first.kid and after.public[first.kid].state == "retired"
    assert ES256.verify(b"x", after.public[after.kid].key, after.signer.sign(b"x"))
    assert ES256.verify(b"x", after.public[first.kid].key, both.signer.sign(b"x"))


def test_a_version_that_may_not_verify_any_more_is_gone(running: Bao, transit: Transit):
    first = transit.keys()
    path = transit.url.partition("/v1/")[2]
    running.ask(path + "/rotate", {})
    running.ask(path + "/config", {"min_decryption_version": 2})
    after = transit.keys()
    assert first.kid not in after.public and len(after.public) == 1


def test_a_key_of_another_kind_is_refused(running: Bao, transit: Transit):
    running.ask("transit/keys/rsa", {"type": "rsa-2048"})
    with pytest.raises(Problems, match="no ecdsa-p256 key"):
        Transit(transit.url.rpartition("/")[0] + "/rsa", transit.token_file).keys()


@pytest.mark.parametrize("spoil", ["token", "key", "server", "no token"])
def test_what_cannot_be_asked_is_refused_without_a_secret_in_the_text(running: Bao, transit: Transit, spoil: str):
    keys = transit.keys()
    if spoil == "token":
        transit.token_file.write_text("wrong-CANARY")
    elif spoil == "no token":
        transit.token_file.unlink()
    elif spoil == "key":
        path = transit.url.partition("/v1/")[2]
        running.ask(path + "/config", {"deletion_allowed": True})
        running.ask(path + "/rotate", {})
        running.ask(path + "/config", {"min_encryption_version": 2, "min_decryption_version": 2})
    elif spoil == "server":
        object.__setattr__(transit, "url", "http://127.0.0.1:1/v1/transit/keys/gone")
    with pytest.raises(Refusal) as caught:
        keys.signer.sign(b"x")
    assert caught.value.code == "overloaded"
    assert "CANARY" not in caught.value.reason and ROOT_TOKEN not in caught.value.reason
