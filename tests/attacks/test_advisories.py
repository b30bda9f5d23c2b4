"""Every advisory of the JWT library under our verifier, and every section of RFC 8725, with the test that would notice it here.

The table names attacks of `test_foreign_tokens` and `test_tokens` by their ids, and tests by themselves, so that none can go unnoticed.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.fetch import Fetcher, FetchError
from gateway.identify.keysource import KeySource
from gateway.identities.issuer import Issuer, Source
from tests.attacks import test_foreign_tokens as foreign
from tests.attacks import test_proofs as proofs
from tests.attacks import test_tokens as own
from tests.identify import test_federation as federation
from tests.identify import test_keyset as keyset
from tests.identify import test_keysource as keysource
from tests.identities import test_jwk as jwk
from tests.simulators.upstreams import redirect, upstream

Test = str | Callable[..., Any]
KEYS = {"own": own.ATTACKS, "foreign": foreign.ATTACKS, "proof": proofs.PROOFS}


async def test_keys_are_never_read_from_a_file_that_an_url_names():
    for url in ("file:///etc/passwd", "file://localhost/etc/passwd", "ftp://127.0.0.1/keys", "data:application/json,{}", "/etc/passwd"):
        with pytest.raises(FetchError):
            await Fetcher(timeout_s=1).get(url, bytes_max=1_000)


async def test_an_issuer_that_sends_us_elsewhere_for_its_keys_is_not_followed():
    async with upstream(keysource.IssuerWorld(keysource.THEM.jwks())) as elsewhere, upstream(redirect(f"{elsewhere.url}/jwks")) as up:
        source = KeySource(Issuer("ci", "oidc", source=Source(url=f"{up.url}/jwks")), Fetcher(timeout_s=1), lambda *_: None)
        with pytest.raises(Refusal) as caught:
            await source.keys("ec")
        await source.close()
    assert "status 302" in caught.value.reason and elsewhere.seen == []


ADVISORIES: dict[str, tuple[Test, ...]] = {
    "CVE-2017-11424": ("foreign/advisory: CVE-2017-11424: PKCS#1 PEM as HMAC secret", "own/header: HS256 with the public key as PEM"),
    "CVE-2022-29217 GHSA-ffqj-6fqr-9h24": (
        "foreign/advisory: CVE-2022-29217: an SSH key as HMAC secret",
        "own/header: HS256 with the public key as DER",
    ),
    "GHSA-75c5-xw7c-p5pm": (
        "foreign/advisory: GHSA-75c5-xw7c-p5pm: a part of the issuer",
        "foreign/advisory: GHSA-75c5-xw7c-p5pm: one letter of the issuer",
    ),
    "GHSA-752w-5fwx-jx9f": ("foreign/advisory: GHSA-752w-5fwx-jx9f: crit with an unknown extension", "own/header: crit", "proof/crit"),
    "GHSA-xgmm-8j9v-c9wx CVE-2026-48526": (
        "foreign/advisory: CVE-2026-48526: the JWK's text as HMAC secret",
        "own/header: HS256 with the JWK's text",
    ),
    "GHSA-jq35-7prp-9v3f CVE-2026-48523": (
        "foreign/advisory: CVE-2026-48523: an algorithm of the list that is not the key's",
        foreign.test_an_algorithm_that_the_issuer_may_not_use_is_refused_even_with_its_own_key,
    ),
    "GHSA-993g-76c3-p5m4 CVE-2026-48522": (test_keys_are_never_read_from_a_file_that_an_url_names,),
    "GHSA-fhv5-28vv-h8m8": (
        keysource.test_what_is_no_key_set_changes_nothing,
        keysource.test_an_issuer_that_is_down_for_an_hour_harms_no_token_with_a_known_key,
    ),
    "GHSA-w7vc-732c-9m39 CVE-2026-48525": ("foreign/advisory: CVE-2026-48525: an unencoded payload", "own/header: b64 false"),
    "GHSA-r6x4-923q-g947": ("foreign/advisory: GHSA-r6x4-923q-g947: DER as HMAC secret",),
    "GHSA-ffc3-869f-jxw9": ("foreign/advisory: GHSA-ffc3-869f-jxw9: an EC key in PEM as HMAC secret",),
    "GHSA-p4g4-x82p-q773": ("foreign/advisory: GHSA-p4g4-x82p-q773: PEM with a newline more",),
    "GHSA-w2cx-738m-mc7w": ("foreign/advisory: GHSA-w2cx-738m-mc7w: PEM without its newline",),
    "GHSA-9v7f-9g4p-ffgj": (test_an_issuer_that_sends_us_elsewhere_for_its_keys_is_not_followed,),
    "GHSA-2gx3-rcp4-g85q": (keysource.test_an_unknown_name_of_a_key_fetches_at_most_every_thirty_seconds,),
    "GHSA-8wjv-2p76-3863": ("foreign/advisory: GHSA-8wjv-2p76-3863: claims nested beyond the stack", "own/chain: act nested beyond reason"),
    "GHSA-w6j9-cwv2-h6wq": ("foreign/advisory: GHSA-w6j9-cwv2-h6wq: a header nested beyond the stack",),
    "GHSA-hxm8-2xgr-2p9m": ("foreign/advisory: GHSA-hxm8-2xgr-2p9m: stray letters in base64", "own/form: stray bits in the signature"),
    "GHSA-pxh4-856f-4h89": ("foreign/advisory: GHSA-pxh4-856f-4h89: the empty HMAC key", "own/header: HS256 with the empty key"),
    "CVE-2025-45768 GHSA-xpf8-484v-j9w6": (foreign.test_a_key_of_1024_bits_verifies_nothing, "proof/alg symmetric with an RSA key"),
}
RFC_8725: dict[str, tuple[Test, ...]] = {
    "3.1 algorithm verification": (
        "own/header: alg none with a signature",
        "own/header: alg ES384",
        "foreign/signature: RS256 in the header, PSS in the signature",
    ),
    "3.2 appropriate algorithms": (
        "own/header: no signature, alg none",
        "foreign/form: alg NONE",
        jwk.test_what_is_no_key_to_trust_is_refused_for_that,
    ),
    "3.3 all cryptographic operations": ("foreign/form: an encrypted token", "foreign/form: a nested token"),
    "3.4 cryptographic inputs": (
        "foreign/signature: Ed25519 with S beyond the order",
        "proof/a key off the curve",
        "own/signature: zeros, the psychic signature",
    ),
    "3.5 sufficient entropy": (foreign.test_a_key_of_1024_bits_verifies_nothing,),
    "3.6 no compression": ("own/header: zip", "foreign/form: zip"),
    "3.7 UTF-8": ("own/header: a header in UTF-16", "own/header: a header that is not UTF-8"),
    "3.8 issuer and subject": ("foreign/claims: iss of another tenant", "foreign/signature: another issuer's key of the same name"),
    "3.9 audience": ("foreign/claims: aud for somebody else, too", "own/claims: aud a list with another"),
    "3.10 received claims": (
        "own/header: kid an SQL injection",
        "foreign/form: jku",
        "foreign/form: x5u",
        "own/claims: sub that breaks out of a Cedar entity",
    ),
    "3.11 explicit typing": ("own/header: typ JWT", "own/header: typ of a DPoP proof", "foreign/form: typ of a security event"),
    "3.12 mutually exclusive rules": ("proof/an access token", "foreign/form: typ of an access token"),
    "bis: iterations of a key derivation": ("foreign/form: p2c of a slow key derivation",),
    "bis: one serialization": ("foreign/form: the JSON serialization", "foreign/form: the flattened serialization"),
    "bis: duplicate members": (
        "own/header: a duplicate alg",
        "foreign/claims: a duplicate in escaped spelling",
        keyset.test_a_set_that_two_could_read_differently_is_none,
    ),
    "bis: keys of one issuer for another": (federation.test_a_token_of_one_issuer_is_never_checked_with_the_keys_of_another,),
}
"""The sections of RFC 8725, and what its revision adds."""


@pytest.mark.parametrize("tests", [*ADVISORIES.values(), *RFC_8725.values()], ids=[*ADVISORIES, *RFC_8725])
def test_each_is_tried(tests: tuple[Test, ...]):
    assert tests
    for test in tests:
        if isinstance(test, str):
            table, _, name = test.partition("/")
            assert name in KEYS[table], f"no attack is called {test}"
        else:
            assert test.__name__.startswith("test_")


def test_the_library_is_one_in_which_all_of_them_are_mended():
    assert tuple(int(part) for part in importlib.metadata.version("pyjwt").split(".")[:3]) >= (2, 15, 1)
