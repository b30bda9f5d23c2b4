"""A published key set is believed as a whole or not at all; keys that are not for us are left aside."""

from __future__ import annotations

import json
from typing import Any

import pytest

from gateway.identify.keyset import BYTES_MAX, JWT_SVID, KeySet, KeySetError
from tests.identify.foreigners import Foreigner, jwk_of

THEM = Foreigner()
EC = jwk_of(THEM.private["ec"].public_key(), "ec")
RSA = jwk_of(THEM.private["rsa"].public_key(), "rsa")


def read(*keys: Any, **more: Any) -> KeySet:
    return KeySet.read(json.dumps({"keys": list(keys)}).encode(), **more)


def test_the_usable_keys_are_found_by_kid():
    assert {kid: key.alg for kid, key in THEM.keys().keys.items()} == {"ec": "ES256", "ec384": "ES384", "rsa": "RS256", "ed": "EdDSA"}


def test_an_empty_set_is_a_set_without_keys():
    assert not read().keys


def test_keys_for_encryption_and_keys_without_a_name_are_left_aside():
    found = read(EC, {**RSA, "use": "enc", "kid": "ec"}, {k: v for k, v in RSA.items() if k != "kid"}, {**RSA, "kid": 7})
    assert list(found.keys) == ["ec"] and not found.unusable


def test_a_weak_key_is_named_with_its_fault_and_does_not_spoil_the_others():
    found = read(EC, {**RSA, "e": "AQ"}, {"kty": "AKP", "kid": "pq", "alg": "ML-DSA-44"})
    assert list(found.keys) == ["ec"]
    assert "exponent" in found.unusable["rsa"] and "kty" in found.unusable["pq"]


def test_of_a_spiffe_bundle_only_the_keys_for_jwt_svids_count():
    bundle = ({**EC, "use": "jwt-svid"}, {**RSA, "use": "x509-svid"}, jwk_of(THEM.private["ed"].public_key(), "ed", use="sig"))
    assert list(read(*bundle, uses=JWT_SVID).keys) == ["ec"]
    assert list(read(*bundle).keys) == ["ed"]


SETS: dict[str, tuple[bytes, str]] = {
    "no JSON": (b"keys", "strict JSON"),
    "a page of HTML": (b"<html>", "strict JSON"),
    "a list": (b"[]", "not an object"),
    "null": (b"null", "not an object"),
    "no keys": (b"{}", "not an object"),
    "keys an object": (b'{"keys":{}}', "not an object"),
    "a key that is a text": (b'{"keys":["a"]}', "not an object"),
    "a duplicate member": (b'{"keys":[],"keys":[]}', "strict JSON"),
    "a duplicate member in a key": (b'{"keys":[{"kty":"EC","kty":"RSA"}]}', "strict JSON"),
    "a symmetric key": (json.dumps({"keys": [EC, {"kty": "oct", "k": "AAAA", "kid": "s"}]}).encode(), "symmetric"),
    "a symmetric key without its secret": (json.dumps({"keys": [EC, {"kty": "oct", "kid": "s"}]}).encode(), "symmetric"),
    "a private key": (json.dumps({"keys": [{**EC, "d": "AAAA"}]}).encode(), "private"),
    "a name twice": (json.dumps({"keys": [EC, {**RSA, "kid": "ec"}]}).encode(), "same kid"),
    "a weak key's name twice": (json.dumps({"keys": [{**RSA, "e": "AQ", "kid": "ec"}, EC]}).encode(), "same kid"),
    "65 keys": (json.dumps({"keys": [{**EC, "kid": str(n)} for n in range(65)]}).encode(), "more than 64"),
    "too many bytes": (b" " * (BYTES_MAX + 1), "larger than"),
    "deep nesting": (b'{"keys":' + b"[" * 500 + b"]" * 500 + b"}", "strict JSON"),
}


@pytest.mark.parametrize(("raw", "why"), SETS.values(), ids=SETS.keys())
def test_a_set_that_two_could_read_differently_is_none(raw: bytes, why: str):
    with pytest.raises(KeySetError) as caught:
        KeySet.read(raw)
    assert why in str(caught.value)
