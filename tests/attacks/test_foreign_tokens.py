"""Foreign tokens that an attacker would try at the token door: in each exactly one thing is wrong, and each is refused for that thing."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import REFUSALS, Refusal
from gateway.identify.foreign import Expected
from gateway.identify.keyset import KeySet
from tests.attacks.test_tokens import json_values
from tests.identify.foreigners import EXPECTED, GATEWAY, URL, Foreigner, jwk_of
from tests.identify.forge import ABSENT, NOW, encoded, segment

THEM = Foreigner()
OTHER = Foreigner()
Make = Callable[[], str]


def header(**changes: Any) -> Make:
    return lambda: THEM.token(changes)


def claims(**changes: Any) -> Make:
    return lambda: THEM.token(**changes)


def signed(kid: str, alg: str, by: str = "", **changes: Any) -> Make:
    """`kid` and `alg` in the header, signed right by the key `kid` with the algorithm `by`."""
    return lambda: THEM.token({"kid": kid, "alg": alg, **changes}, THEM.sign(kid, by or alg))


def hs(key: Callable[[], bytes], alg: str = "HS256", digest: str = "sha256", kid: str = "rsa") -> Make:
    return lambda: THEM.token({"alg": alg, "kid": kid}, lambda text: hmac.digest(key(), text, digest))


def pem(kid: str, encoding: Encoding = Encoding.PEM, form: PublicFormat = PublicFormat.SubjectPublicKeyInfo) -> Callable[[], bytes]:
    return lambda: THEM.private[kid].public_key().public_bytes(encoding, form)


def raw_claims(text: str) -> Make:
    return lambda: THEM.sealed(encoded(THEM.header()), text.replace("...", encoded(THEM.claims()).decode()[1:-1]).encode("utf-8", "surrogatepass"))


def raw_header(text: str) -> Make:
    return lambda: THEM.sealed(text.encode("utf-8", "surrogatepass"), encoded(THEM.claims()))


def nested(depth: int) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": "a"}
    for _ in range(depth - 1):
        act = {"sub": "a", "act": act}
    return act


def detached(text: str) -> str:
    """RFC 7797: an unencoded payload of which only the signature covers the text."""
    head = segment(encoded({"alg": "ES256", "kid": "ec", "typ": "JWT", "b64": False, "crit": ["b64"]}))
    return f"{head}..{segment(THEM.sign('ec', 'ES256')(f'{head}.{text}'.encode()))}"


# What pyjwt had to mend, each tried against our reading. The comments name the advisory.
ADVISORIES: dict[str, tuple[Make, str]] = {
    "CVE-2017-11424: PKCS#1 PEM as HMAC secret": (hs(pem("rsa", Encoding.PEM, PublicFormat.PKCS1)), "algorithm of this key"),
    "CVE-2022-29217: an SSH key as HMAC secret": (hs(pem("ed", Encoding.OpenSSH, PublicFormat.OpenSSH), kid="ed"), "algorithm of this key"),
    "GHSA-75c5-xw7c-p5pm: a part of the issuer": (claims(iss=URL[:-5]), "iss is not"),
    "GHSA-75c5-xw7c-p5pm: one letter of the issuer": (claims(iss="h"), "iss is not"),
    "GHSA-752w-5fwx-jx9f: crit with an unknown extension": (header(crit=["exp"], exp=NOW + 1), "'crit'"),
    "CVE-2026-48526: the JWK's text as HMAC secret": (
        hs(lambda: json.dumps(jwk_of(THEM.private["rsa"].public_key(), "rsa")).encode()),
        "algorithm of this key",
    ),
    "CVE-2026-48523: an algorithm of the list that is not the key's": (signed("rsa", "PS256"), "algorithm of this key"),
    "CVE-2026-48525: an unencoded payload": (lambda: detached('{"sub":"x"}'), "strict JSON"),
    "GHSA-r6x4-923q-g947: DER as HMAC secret": (hs(pem("rsa", Encoding.DER)), "algorithm of this key"),
    "GHSA-ffc3-869f-jxw9: an EC key in PEM as HMAC secret": (hs(pem("ec"), kid="ec"), "algorithm of this key"),
    "GHSA-p4g4-x82p-q773: PEM with a newline more": (hs(lambda: pem("rsa")() + b"\n"), "algorithm of this key"),
    "GHSA-w2cx-738m-mc7w: PEM without its newline": (hs(lambda: pem("rsa")().strip()), "algorithm of this key"),
    "GHSA-8wjv-2p76-3863: claims nested beyond the stack": (raw_claims('{...,"x":' + "[" * 1_500 + "]" * 1_500 + "}"), "strict JSON"),
    "GHSA-w6j9-cwv2-h6wq: a header nested beyond the stack": (raw_header('{"alg":' * 500 + "1" + "}" * 500), "strict JSON"),
    "GHSA-hxm8-2xgr-2p9m: stray letters in base64": (lambda: THEM.token().replace(".", "!.", 1), "base64url"),
    "GHSA-hxm8-2xgr-2p9m: padding": (lambda: THEM.token() + "==", "base64url"),
    "GHSA-pxh4-856f-4h89: the empty HMAC key": (hs(lambda: b""), "algorithm of this key"),
    "HS384 with the public key": (hs(pem("rsa"), "HS384", "sha384"), "algorithm of this key"),
    "HS512 with the public key": (hs(pem("rsa"), "HS512", "sha512"), "algorithm of this key"),
}

FORM: dict[str, tuple[Make, str]] = {
    "alg none": (lambda: THEM.token({"alg": "none"}).rsplit(".", 1)[0] + ".", "base64url"),
    "alg none with a signature": (header(alg="none"), "algorithm of this key"),
    "alg NONE": (header(alg="NONE"), "algorithm of this key"),
    "an encrypted token": (lambda: THEM.token() + ".AAAA.AAAA", "three segments"),
    "the JSON serialization": (lambda: json.dumps({"payload": "AAAA", "signatures": []}), "three segments"),
    "the flattened serialization": (lambda: '{"protected":"e30","payload":"e30","signature":"e30"}', "three segments"),
    "a nested token": (header(cty="JWT"), "'cty'"),
    "jku": (header(jku="https://evil.example/jwks"), "'jku'"),
    "jku of the issuer itself": (header(jku=URL + "jwks"), "'jku'"),
    "jwk": (lambda: OTHER.token({"jwk": jwk_of(OTHER.private["ec"].public_key(), "ec")}), "'jwk'"),
    "x5c": (header(x5c=["AAAA"]), "'x5c'"),
    "x5u": (header(x5u="https://evil.example/"), "'x5u'"),
    "zip": (header(zip="DEF"), "'zip'"),
    "p2c of a slow key derivation": (header(alg="PBES2-HS256+A128KW", p2c=2**31, p2s="AAAA"), "'p2c'"),
    "epk": (header(epk={"kty": "EC"}), "'epk'"),
    "an unknown member": (header(ver="1"), "'ver'"),
    "typ of an access token": (header(typ="at+jwt"), "typ"),
    "typ of a DPoP proof": (header(typ="dpop+jwt"), "typ"),
    "typ of a logout token": (header(typ="logout+jwt"), "typ"),
    "typ of a security event": (header(typ="secevent+jwt"), "typ"),
    "typ in another case": (header(typ="jwt"), "typ"),
    "typ null": (header(typ=None), "typ"),
    "typ a list": (header(typ=["JWT"]), "typ"),
    "kid of another key": (header(kid="rsa"), "algorithm of this key"),
    "kid unknown": (header(kid="next"), "kid is not"),
    "kid missing": (header(kid=ABSENT), "kid or alg"),
    "kid empty": (header(kid=""), "kid is not"),
    "kid an object": (header(kid={"a": 1}), "kid or alg"),
    "kid a path": (header(kid="../../../../dev/null"), "kid is not"),
    "kid an SQL injection": (header(kid="x' UNION SELECT 'key"), "kid is not"),
    "kid of a file": (header(kid="file:///proc/sys/kernel/randomize_va_space"), "kid is not"),
    "a duplicate kid": (raw_header('{"kid":"rsa","alg":"ES256","typ":"JWT","kid":"ec"}'), "duplicate key"),
    "a duplicate alg": (raw_header('{"alg":"none","kid":"ec","typ":"JWT","alg":"ES256"}'), "duplicate key"),
    "a megabyte": (claims(pad="A" * 1_000_000), "8 KiB"),
    "a letter that is not ASCII": (lambda: THEM.token() + "é", "ASCII"),
}

SIGNATURES: dict[str, tuple[Make, str]] = {
    "another issuer's key of the same name": (OTHER.token, "signature"),
    "another issuer's RSA key of the same name": (lambda: OTHER.token({"kid": "rsa", "alg": "RS256"}, OTHER.sign("rsa", "RS256")), "signature"),
    "another issuer's Ed25519 key": (lambda: OTHER.token({"kid": "ed", "alg": "EdDSA"}, OTHER.sign("ed", "EdDSA")), "signature"),
    "RS256 in the header, PSS in the signature": (signed("rsa", "RS256", "PS256"), "signature"),
    "RS512 in the signature": (signed("rsa", "RS256", "RS512"), "signature"),
    "RS384 in the header": (signed("rsa", "RS384"), "algorithm of this key"),
    "RS512 in the header": (signed("rsa", "RS512"), "algorithm of this key"),
    "PKCS#1 without the hash's name": (lambda: THEM.token({"kid": "rsa", "alg": "RS256"}, bare_pkcs1), "signature"),
    "an RSA signature with a byte more": (
        lambda: THEM.token({"kid": "rsa", "alg": "RS256"}, lambda t: THEM.sign("rsa", "RS256")(t) + b"\0"),
        "signature",
    ),
    "an RSA signature with a zero in front": (
        lambda: THEM.token({"kid": "rsa", "alg": "RS256"}, lambda t: b"\0" + THEM.sign("rsa", "RS256")(t)),
        "signature",
    ),
    "an RSA signature of zero": (lambda: THEM.token({"kid": "rsa", "alg": "RS256"}, lambda _: bytes(256)), "signature"),
    "an RSA signature of one": (lambda: THEM.token({"kid": "rsa", "alg": "RS256"}, lambda _: bytes(255) + b"\1"), "signature"),
    "an RSA signature larger than the modulus": (lambda: THEM.token({"kid": "rsa", "alg": "RS256"}, lambda _: b"\xff" * 256), "signature"),
    "a short RSA signature": (lambda: THEM.token({"kid": "rsa", "alg": "RS256"}, lambda _: b"\1"), "signature"),
    "ES384 by the key of P-256": (header(alg="ES384"), "algorithm of this key"),
    "ES256 in the header for the key of P-384": (header(kid="ec384"), "algorithm of this key"),
    "zeros for P-384": (lambda: THEM.token({"kid": "ec384", "alg": "ES384"}, lambda _: bytes(96)), "signature"),
    "a signature of P-256 for P-384": (lambda: THEM.token({"kid": "ec384", "alg": "ES384"}, THEM.sign("ec", "ES256")), "signature"),
    "zeros for P-256": (lambda: THEM.token(sign=lambda _: bytes(64)), "signature"),
    "zeros for Ed25519": (lambda: THEM.token({"kid": "ed", "alg": "EdDSA"}, lambda _: bytes(64)), "signature"),
    "Ed25519 with S beyond the order": (
        lambda: THEM.token({"kid": "ed", "alg": "EdDSA"}, lambda t: larger_s(THEM.sign("ed", "EdDSA")(t))),
        "signature",
    ),
    "Ed448 in the header": (header(kid="ed", alg="Ed448"), "algorithm of this key"),
    "ES256K": (header(alg="ES256K"), "algorithm of this key"),
    "an empty signature": (lambda: THEM.token().rsplit(".", 1)[0] + ".", "base64url"),
}

CLAIMS: dict[str, tuple[Make, str]] = {
    "iss missing": (claims(iss=ABSENT), "iss is missing"),
    "iss a list": (claims(iss=[URL]), "iss is missing or not one text"),
    "iss an object": (claims(iss={"a": URL}), "iss is missing or not one text"),
    "iss without its slash": (claims(iss=URL[:-1]), "iss is not"),
    "iss in upper case": (claims(iss=URL.upper()), "iss is not"),
    "iss with a query": (claims(iss=URL + "?x"), "iss is not"),
    "iss of another tenant": (claims(iss=URL + "other/"), "iss is not"),
    "iss with a newline": (claims(iss=URL + "\n"), "alphabet"),
    "aud missing": (claims(aud=ABSENT), "aud is missing"),
    "aud another": (claims(aud="https://other.example"), "aud is not"),
    "aud of the tools": (claims(aud=GATEWAY + "/tools"), "aud is not"),
    "aud with a slash": (claims(aud=GATEWAY + "/"), "aud is not"),
    "aud for somebody else, too": (claims(aud=[GATEWAY, "https://other.example"]), "names more than one"),
    "aud the same twice": (claims(aud=[GATEWAY, GATEWAY]), "names more than one"),
    "aud empty": (claims(aud=[]), "names more than one"),
    "aud nested": (claims(aud=[[GATEWAY]]), "names more than one"),
    "aud an object": (claims(aud={GATEWAY: True}), "names more than one"),
    "aud null": (claims(aud=None), "aud is missing"),
    "exp missing": (claims(exp=ABSENT), "exp is missing"),
    "exp a text": (claims(exp=str(NOW + 300)), "exp is missing or not a whole number"),
    "exp a float": (claims(exp=NOW + 0.5), "exp is missing or not a whole number"),
    "exp true": (claims(exp=True), "exp is missing or not a whole number"),
    "exp 1e30": (claims(exp=1e30), "exp is missing or not a whole number"),
    "exp beyond 64 bits": (raw_claims('{"exp":1' + "0" * 400 + "}"), "strict JSON"),
    "exp negative": (claims(exp=-5), "exp is missing or not a whole number"),
    "exp now": (claims(iat=NOW - 5, exp=NOW), "expired 0 s ago"),
    "exp long ago": (claims(iat=0, exp=5), "expired"),
    "exp an hour and a second after iat": (claims(exp=NOW + 3_601), "within 3600 s"),
    "exp ten years away": (claims(exp=NOW + 315_360_000), "within 3600 s"),
    "exp before iat": (claims(iat=NOW + 20, exp=NOW + 10), "within 3600 s"),
    "iat missing": (claims(iat=ABSENT), "iat is missing"),
    "iat a text": (claims(iat="0"), "iat is missing or not a whole number"),
    "iat half a minute ahead": (claims(iat=NOW + 31), "not valid for another 31 s"),
    "nbf ahead": (claims(nbf=NOW + 60), "not valid for another 60 s"),
    "nbf a text": (claims(nbf="x"), "nbf is missing or not a whole number"),
    "NaN": (raw_claims('{...,"x":NaN}'), "strict JSON"),
    "a duplicate sub": (raw_claims('{...,"sub":"admin"}'), "duplicate key"),
    "a duplicate deep inside": (raw_claims('{...,"kubernetes.io":{"namespace":"a","namespace":"b"}}'), "duplicate key"),
    "a duplicate in escaped spelling": (raw_claims('{...,"\\u0073ub":"admin"}'), "duplicate key"),
    "too many claims": (claims(**{f"c{n}": n for n in range(300)}), "strict JSON"),
    "sub missing": (claims(sub=ABSENT), "sub is missing"),
    "sub null": (claims(sub=None), "sub is missing"),
    "sub a number": (claims(sub=42), "sub is missing or not one text"),
    "sub empty": (claims(sub=""), "alphabet"),
    "sub with a newline": (claims(sub="repo:acme/site\n"), "alphabet"),
    "sub with a NUL": (claims(sub="repo:acme/site\0"), "alphabet"),
    "sub with a quote": (claims(sub='repo:"acme"'), "alphabet"),
    "sub with a backslash": (claims(sub="repo:acme\\site"), "alphabet"),
    "sub with a look-alike letter": (claims(sub="repo:\u0430cme/site"), "alphabet"),
    "sub with a right-to-left override": (claims(sub="repo:\u202eacme"), "alphabet"),
    "sub with a space at the end": (claims(sub="repo:acme "), "alphabet"),
    "sub too long": (claims(sub="a" * 513), "alphabet"),
    "jti a number": (claims(jti=1), "jti is missing or not one text"),
    "jti with a line of log": (claims(jti='x\n{"n":1}'), "alphabet"),
    "client_id with a quote": (claims(client_id='a"b'), "alphabet"),
    "scope a list": (claims(scope=["a"]), "scope is missing or not one text"),
    "act a text": (claims(act="planner"), "act is not an object"),
    "act a list": (claims(act=[]), "act is not an object"),
    "act without a name": (claims(act={}), "sub is missing"),
    "act with a newline": (claims(act={"sub": "a\n"}), "alphabet"),
    "act five deep": (claims(act=nested(5)), "act chain"),
    "claims a list": (raw_claims("[]"), "not a JSON object"),
    "claims a text": (raw_claims('"x"'), "not a JSON object"),
}

ATTACKS = {
    f"{group}: {name}": attack
    for group, table in {"advisory": ADVISORIES, "form": FORM, "signature": SIGNATURES, "claims": CLAIMS}.items()
    for name, attack in table.items()
}


def bare_pkcs1(text: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(text)
    return THEM.private["rsa"].sign(digest.finalize(), padding.PKCS1v15(), hashes.SHA1())


def larger_s(signature: bytes) -> bytes:
    order = 2**252 + 27742317777372353535851937790883648493
    return signature[:32] + (int.from_bytes(signature[32:], "little") + order).to_bytes(32, "little")


def refused(text: str, expected: Expected = EXPECTED, keys: KeySet | None = None) -> str:
    with pytest.raises(Refusal) as caught:
        THEM.prove(text, expected, keys=keys)
    assert (caught.value.code, caught.value.detail) == ("invalid_token", REFUSALS["invalid_token"].title)
    assert caught.value.reason.isprintable() and caught.value.reason.isascii()
    return caught.value.reason


@pytest.mark.parametrize(("make", "reason"), ATTACKS.values(), ids=ATTACKS.keys())
def test_a_foreign_attack_token_is_refused_for_its_fault(make: Make, reason: str):
    assert reason in refused(make())


def test_a_good_foreign_token_is_not_in_the_table():
    assert len(ATTACKS) >= 130
    assert THEM.prove(THEM.token()).subject == "repo:acme/site"


def test_an_algorithm_that_the_issuer_may_not_use_is_refused_even_with_its_own_key():
    only = replace(EXPECTED, algorithms=frozenset({"RS256"}))
    assert "may use" in refused(THEM.token(), only)
    assert THEM.prove(THEM.token({"kid": "rsa", "alg": "RS256"}, THEM.sign("rsa", "RS256")), only).key_id == "rsa"


@pytest.mark.parametrize(
    ("change", "why"),
    [({"e": "AQ"}, "exponent"), ({"use": "enc"}, "kid is not"), ({"key_ops": ["encrypt"]}, "key_ops"), ({"alg": "RS512"}, "alg is not one")],
)
def test_a_key_that_is_unfit_verifies_nothing(change: dict[str, Any], why: str):
    weak = jwk_of(THEM.private["rsa"].public_key(), "rsa") | change
    text = THEM.token({"kid": "rsa", "alg": "RS256"}, THEM.sign("rsa", "RS256"))
    assert why in refused(text, keys=KeySet.read(encoded(THEM.jwks(rsa=weak))))


def test_a_key_of_1024_bits_verifies_nothing():
    weak = rsa.generate_private_key(65537, 1024)
    text = THEM.token({"kid": "rsa", "alg": "RS256"}, lambda t: weak.sign(t, padding.PKCS1v15(), hashes.SHA256()))
    assert "1024 bits" in refused(text, keys=KeySet.read(encoded(THEM.jwks(rsa=jwk_of(weak.public_key(), "rsa")))))


@pytest.mark.parametrize("name", ["client_id", "jti"])
def test_an_access_token_must_name_itself_and_its_client(name: str):
    access = Expected(URL, frozenset({GATEWAY}))
    good = {"client_id": "bot", "jti": "one"}
    assert THEM.prove(THEM.token({"typ": "at+jwt"}, **good), access).subject == "repo:acme/site"
    assert f"{name} is missing" in refused(THEM.token({"typ": "at+jwt"}, **{**good, name: ABSENT}), access)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["iss", "sub", "aud", "iat", "exp", "nbf", "jti", "act", "scope", "client_id", "new"]), value=json_values)
def test_any_value_in_any_foreign_claim_is_a_refusal_or_an_answer_and_never_another_exception(name: str, value: Any):
    try:
        THEM.prove(THEM.token(**{name: value}))
    except Refusal as refusal:
        assert refusal.code == "invalid_token"


@settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.binary(max_size=60), body=st.binary(max_size=120))
def test_any_bytes_that_they_signed_are_a_refusal_and_never_another_exception(header: bytes, body: bytes):
    refused(THEM.sealed(header, body))
    refused(THEM.sealed(encoded(THEM.header()), body))
