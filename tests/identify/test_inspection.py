"""A token that somebody looks hard at: whether its signature verifies is told apart from whether its type and claims are wanted."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from gateway.identify.foreign import Expected
from gateway.identify.inspection import Findings, inspect
from gateway.secret import Secret
from tests.identify.foreigners import GATEWAY, URL, Foreigner, jwk_of
from tests.identify.forge import ABSENT, NOW, encoded, segment

THEM = Foreigner()
JWKS = encoded(THEM.jwks())
EXPECTED = Expected(URL, frozenset({GATEWAY}), typs=frozenset({"JWT"}))


def look(text: str, jwks: bytes = JWKS, expected: Expected = EXPECTED, **how: Any) -> Findings:
    return inspect(Secret(text), jwks, expected, NOW, **how)


def signed(payload: bytes, **header: Any) -> str:
    return THEM.sealed(encoded(THEM.header(**header)), payload)


def alone(**changes: Any) -> dict[str, Any]:
    return {k: v for k, v in (jwk_of(THEM.private["ec"].public_key(), "ec") | changes).items() if v is not ABSENT}


def test_a_good_token_has_claims_and_nothing_against_it():
    found = look(THEM.token())
    assert (found.signature, found.code, found.reason) == ("valid", "", "") and dict(found.claims or {}) == THEM.claims()


@pytest.mark.parametrize(
    ("text", "signature", "code", "reason"),
    [
        ("", "not checked", "form", "three segments"),
        (THEM.token() + ".AAAA.AAAA", "not checked", "form", "encrypted one (JWE)"),
        ('{"payload":"AAAA"}', "not checked", "form", "only the compact serialization"),
        (THEM.token().rsplit(".", 1)[0] + ".", "not checked", "form", "the signature is empty"),
        ("." + THEM.token().split(".", 1)[1], "not checked", "form", "the header is empty"),
        (THEM.token({"jku": "https://evil.example"}), "not checked", "header", "'jku'"),
        (THEM.token({"kid": ABSENT}), "not checked", "header", "kid or alg"),
        (THEM.token({"kid": "other"}), "not checked", "key", "kid is not a key"),
        (THEM.token({"alg": "HS256"}), "not checked", "key", "alg is not ES256, the algorithm of this key"),
        (THEM.token(sign=lambda _: b"\1" * 64), "invalid", "signature", "does not verify"),
        (signed(b"no claims"), "valid", "claims", "the claims are not strict JSON"),
        (signed(b""), "valid", "claims", "the claims are not strict JSON"),
        (signed(b"[]"), "valid", "claims", "the claims are not a JSON object"),
        (THEM.token({"typ": "other"}), "valid", "typ", "typ is not JWT"),
        (THEM.token(exp=NOW), "valid", "claims", "expired 0 s ago"),
        (THEM.token(iss="https://evil.example"), "valid", "claims", "iss is not this issuer"),
    ],
)
def test_where_a_token_falls_is_told_with_how_far_its_signature_stood(text: str, signature: str, code: str, reason: str):
    found = look(text)
    assert (found.signature, found.code) == (signature, code) and reason in found.reason
    assert (found.payload is None) == (signature != "valid") and found.claims is None


def test_a_forged_token_is_called_forged_whatever_else_is_wrong_with_it():
    for change in ({"exp": 1}, {"iss": "https://evil.example"}, {"aud": ABSENT}):
        assert look(THEM.token({"typ": "other"}, lambda _: b"\1" * 64, **change)).code == "signature"


def test_the_signature_alone_can_be_asked_for():
    for payload in (b"no claims", b"", b"[]", encoded({"exp": 1})):
        found = look(signed(payload, typ=ABSENT), signature_only=True)
        assert (found.signature, found.code, found.payload) == ("valid", "", payload)
    assert look(signed(b'{"a":1}'), signature_only=True).claims == {"a": 1}
    assert look(signed(b'{"a":1,"a":2}'), signature_only=True).claims is None
    for bad in (THEM.token(sign=lambda _: b"\1" * 64), THEM.token({"crit": ["x"]}), THEM.token({"kid": "other"}), THEM.token({"alg": "none"})):
        assert look(bad, signature_only=True).code in {"signature", "header", "key"}


def test_a_key_that_is_alone_needs_no_set_and_for_its_signature_no_name():
    assert look(THEM.token(), encoded(alone())).code == ""
    assert look(THEM.token(), encoded(alone(kid=ABSENT))).code == "key"
    for key in (alone(), alone(kid=ABSENT)):
        for text in (THEM.token({"kid": ABSENT}), THEM.token()):
            for jwks in (key, {"keys": [key]}):
                assert look(text, encoded(jwks), signature_only=True).code == ""
    assert look(THEM.token({"kid": "other"}), encoded(alone()), signature_only=True).code == "key"
    assert look(THEM.token({"kid": ABSENT}), signature_only=True).code == "header", "one of several keys is never guessed"


@pytest.mark.parametrize(
    ("jwks", "reason"),
    [
        (b"", "not strict JSON"),
        (b"\xff\xfe", "not strict JSON"),
        (b"[" * 100_000, "not strict JSON"),
        (b"[]", "not an object with a list of keys"),
        (b'{"keys":[1]}', "not an object with a list of keys"),
        (b'{"keys":[],"keys":[]}', "duplicate key"),
        (encoded({"kty": "oct", "k": "AAAA", "kid": "ec"}), "symmetric or a private"),
        (encoded(json.loads(JWKS) | {"keys": [*json.loads(JWKS)["keys"], {"kty": "oct", "k": "AAAA"}]}), "symmetric or a private"),
        (encoded(alone(d="AAAA")), "symmetric or a private"),
        (encoded({"keys": [alone(), alone()]}), "the same kid"),
        (b" " * 262_145, "larger than"),
    ],
)
def test_a_key_set_that_cannot_be_used_is_told_from_a_bad_token(jwks: bytes, reason: str):
    for signature_only in (False, True):
        found = look(THEM.token(), jwks, signature_only=signature_only)
        assert (found.signature, found.code) == ("not checked", "key_set") and reason in found.reason


def test_a_key_for_something_else_is_named_as_that():
    found = look(THEM.token(), encoded(THEM.jwks(ec=alone(use="enc"))))
    assert (found.code, found.reason) == ("key", "the key that kid names is not for signatures: its use says so")


def test_any_type_can_be_taken_and_an_access_token_then_keeps_its_profile():
    for typ in ("other", "JWT", ABSENT):
        assert look(THEM.token({"typ": typ}), any_typ=True).code == ""
    assert look(THEM.token({"typ": None}), any_typ=True).code == "typ"
    assert "client_id" in look(THEM.token({"typ": "at+jwt"}), any_typ=True).reason


def test_what_verifies_here_verifies_for_the_gateway_and_what_does_not_does_not():
    for change in ({}, {"exp": NOW + 9_999}, {"aud": ["a", "b"]}, {"iat": ABSENT}, {"sub": "a\n"}, {"act": {"sub": 1}}):
        text = THEM.token(**change)
        try:
            THEM.prove(text, replace(EXPECTED))
        except Exception as error:
            assert look(text).reason == error.reason, change  # type: ignore[attr-defined]
        else:
            assert look(text).code == ""


def test_an_empty_payload_is_looked_at_like_any_other():
    assert look(f"{segment(encoded(THEM.header()))}..{segment(b'x' * 64)}").code == "signature"
