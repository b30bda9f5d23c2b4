"""A JWK is a key only when nothing about it is weak, private, ambiguous or meant for something else."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt import get_algorithm_by_name

from gateway.identities.jwk import JwkError, read_jwk

EC_KEY = {
    "kty": "EC",
    "crv": "P-256",
    "kid": "a",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
}
RSA_KEY = {**json.loads(get_algorithm_by_name("RS256").to_jwk(rsa.generate_private_key(65537, 2048).public_key())), "key_ops": ["verify"]}
ED_KEY = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}


def number(value: int) -> str:
    return base64.urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8 or 1, "big")).rstrip(b"=").decode()


def small(text: str) -> str:
    return base64.urlsafe_b64encode(bytes.fromhex(text)).rstrip(b"=").decode()


def roca() -> str:
    """A modulus as CVE-2017-15361 made them: each prime is a power of 65537 modulo the primorial."""
    primorial = 1
    for prime in (2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53, 59, 61, 67, 71, 73, 79, 83, 89, 97, 101, 103, 107, 109, 113, 127, 131,
                  137, 139, 149, 151, 157, 163, 167):  # fmt: skip
        primorial *= prime
    return number(pow(65_537, 4_711, primorial) + primorial * ((1 << 2_047) // primorial + 1))


def test_one_key_of_each_kind_is_read_with_the_one_algorithm_it_may_have():
    assert [read_jwk(key).alg for key in (EC_KEY, RSA_KEY, ED_KEY)] == ["ES256", "RS256", "EdDSA"]
    assert read_jwk({**RSA_KEY, "alg": "PS256"}).alg == "PS256"
    assert read_jwk(RSA_KEY, rsa="PS256").alg == "PS256"
    assert read_jwk({**ED_KEY, "alg": "Ed25519"}).alg == "EdDSA"
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    assert read_jwk({**json.loads(get_algorithm_by_name("ES384").to_jwk(key)), "use": "sig"}).alg == "ES384"


def test_the_thumbprint_is_that_of_rfc_8037_appendix_a_3():
    assert read_jwk(ED_KEY).thumbprint == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


N = int.from_bytes(base64.urlsafe_b64decode(RSA_KEY["n"] + "=="), "big")
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a private key": ({**EC_KEY, "d": "AA"}, "private"),
    "a symmetric key": ({"kty": "oct", "k": "AAAA"}, "symmetric"),
    "another kind": ({"kty": "AKP"}, "kty"),
    "no kind": ({}, "kty"),
    "a kind that is a list": ({"kty": ["EC"]}, "kty"),
    "for encryption": ({**EC_KEY, "use": "enc"}, "use"),
    "use null": ({**EC_KEY, "use": None}, "use"),
    "use a list": ({**EC_KEY, "use": ["sig"]}, "use"),
    "key_ops for encryption": ({**EC_KEY, "key_ops": ["encrypt"]}, "key_ops"),
    "key_ops with signing": ({**EC_KEY, "key_ops": ["sign", "verify"]}, "key_ops"),
    "key_ops empty": ({**EC_KEY, "key_ops": []}, "key_ops"),
    "key_ops a text": ({**EC_KEY, "key_ops": "verify"}, "key_ops"),
    "kid a number": ({**EC_KEY, "kid": 1}, "kid"),
    "kid empty": ({**EC_KEY, "kid": ""}, "kid"),
    "kid with a newline": ({**EC_KEY, "kid": "a\n"}, "kid"),
    "kid long": ({**EC_KEY, "kid": "a" * 257}, "kid"),
    "alg none": ({**EC_KEY, "alg": "none"}, "alg"),
    "alg of another curve": ({**EC_KEY, "alg": "ES384"}, "alg"),
    "alg of another kind": ({**EC_KEY, "alg": "RS256"}, "alg"),
    "alg symmetric": ({**RSA_KEY, "alg": "HS256"}, "alg"),
    "alg a list": ({**EC_KEY, "alg": ["ES256"]}, "alg"),
    "alg null": ({**EC_KEY, "alg": None}, "alg"),
    "a weaker hash": ({**RSA_KEY, "alg": "RS1"}, "alg"),
    "curve secp256k1": ({**EC_KEY, "crv": "secp256k1"}, "crv"),
    "curve P-521": ({**EC_KEY, "crv": "P-521"}, "crv"),
    "curve a list": ({**EC_KEY, "crv": ["P-256"]}, "crv"),
    "x missing": ({k: v for k, v in EC_KEY.items() if k != "x"}, "x"),
    "x a number": ({**EC_KEY, "x": 1}, "x"),
    "x padded": ({**EC_KEY, "x": EC_KEY["x"] + "="}, "x"),
    "x in another spelling": ({**EC_KEY, "x": EC_KEY["x"][:-1] + "V"}, "canonical"),
    "x short": ({**EC_KEY, "x": "AAAA"}, "as long as"),
    "x with a zero in front": ({**EC_KEY, "x": number(1 << 260)}, "as long as"),
    "a point off the curve": ({**EC_KEY, "y": EC_KEY["x"]}, "no point"),
    "the point at infinity": ({**EC_KEY, "x": "A" * 43, "y": "A" * 43}, "no point"),
    "1024 bits": ({**RSA_KEY, "n": number(N >> 1024 | 1)}, "1024 bits"),
    "2047 bits": ({**RSA_KEY, "n": number(N >> 1 | 1)}, "2047 bits"),
    "16384 bits": ({**RSA_KEY, "n": number((1 << 16_383) + 1)}, "16384 bits"),
    "a megabyte of modulus": ({**RSA_KEY, "n": "A" * 1_000_000}, "n is missing"),
    "an even modulus": ({**RSA_KEY, "n": number(N - 1)}, "odd"),
    "exponent 1": ({**RSA_KEY, "e": "AQ"}, "exponent"),
    "exponent 0": ({**RSA_KEY, "e": "AA"}, "zero"),
    "exponent 2": ({**RSA_KEY, "e": "Ag"}, "exponent"),
    "an even exponent": ({**RSA_KEY, "e": number(65_538)}, "odd"),
    "an exponent that costs": ({**RSA_KEY, "e": number((1 << 2_046) + 1)}, "exponent"),
    "a zero before the modulus": ({**RSA_KEY, "n": base64.urlsafe_b64encode(b"\0" + N.to_bytes(256, "big")).rstrip(b"=").decode()}, "zero"),
    "the fingerprint of ROCA": ({**RSA_KEY, "n": roca()}, "ROCA"),
    "X25519": ({**ED_KEY, "crv": "X25519"}, "crv"),
    "Ed448": ({**ED_KEY, "crv": "Ed448"}, "crv"),
    "31 bytes": ({**ED_KEY, "x": small("11" * 31)}, "no point"),
    "the neutral point": ({**ED_KEY, "x": small("01" + "00" * 31)}, "no point"),
    "the neutral point with a sign": ({**ED_KEY, "x": small("01" + "00" * 30 + "80")}, "no point"),
    "a point of order two": ({**ED_KEY, "x": small("ec" + "ff" * 30 + "7f")}, "no point"),
    "a point of order four": ({**ED_KEY, "x": small("00" * 32)}, "no point"),
    "a point of order eight": ({**ED_KEY, "x": small("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05")}, "no point"),
    "another point of order eight": ({**ED_KEY, "x": small("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a")}, "no point"),
    "the prime itself": ({**ED_KEY, "x": small("ed" + "ff" * 30 + "7f")}, "no point"),
}


@pytest.mark.parametrize(("jwk", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_key_to_trust_is_refused_for_that(jwk: dict[str, Any], why: str):
    with pytest.raises(JwkError) as caught:
        read_jwk(jwk)
    assert why in str(caught.value)


def test_what_points_elsewhere_is_not_followed_and_does_no_harm():
    assert read_jwk({**EC_KEY, "x5u": "https://evil.example/", "x5c": ["AAAA"], "iss": "x"}).kid == "a"


def test_ordinary_keys_do_not_have_the_fingerprint_of_roca():
    for _ in range(3):
        key = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
        assert read_jwk({"kty": "RSA", "n": number(key.n), "e": "AQAB"}).alg == "RS256"
