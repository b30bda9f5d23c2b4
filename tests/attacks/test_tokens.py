"""Tokens that an attacker would try. In each exactly one thing is wrong, and each must be refused for that thing, in the same public words."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import REFUSALS, Refusal
from gateway.identities import Delegation, Revoked
from gateway.identities.model import Denial
from tests.identify.forge import ABSENT, AUDIENCE, ISSUER, NOW, Bench, encoded, es256, secret, segment, snapshot

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""The order of P-256: r and s must lie between 1 and ORDER - 1."""

Make = Callable[[Bench], str]


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("keys") / "keys")


def header(**changes: Any) -> Make:
    return lambda b: b.token(changes)


def claims(**changes: Any) -> Make:
    return lambda b: b.token(**changes)


def raw_header(text: str) -> Make:
    return lambda b: b.sealed(text.replace("KID", b.keys.kid).encode("utf-8", "surrogatepass"), encoded(b.claims()))


def raw_claims(text: str) -> Make:
    """The text `...` stands for the members of good claims, without braces."""
    return lambda b: b.sealed(encoded(b.header()), text.replace("...", encoded(b.claims()).decode()[1:-1]).encode("utf-8", "surrogatepass"))


def signature(make: Callable[[bytes], bytes]) -> Make:
    """Another signature, made from the good one."""
    return lambda b: b.token(sign=lambda signed: make(es256(b.keys.signer.private)(signed)))


def signed(sign: Callable[[Bench, bytes], bytes], **changes: Any) -> Make:
    return lambda b: b.token(changes, lambda text: sign(b, text))


def edited(edit: Callable[[str], str]) -> Make:
    return lambda b: edit(b.token())


def part(number: int, edit: Callable[[str], str]) -> Make:
    def make(b: Bench) -> str:
        parts = b.token().split(".")
        parts[number] = edit(parts[number])
        return ".".join(parts)

    return make


def numbers(r: int, s: int) -> Callable[[bytes], bytes]:
    return lambda _: r.to_bytes(32, "big") + s.to_bytes(32, "big")


def hs256(key: Callable[[Bench], bytes]) -> Callable[[Bench, bytes], bytes]:
    return lambda b, text: hmac.digest(key(b), text, "sha256")


def public_pem(b: Bench) -> bytes:
    return b.keys.signer.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def public_der(b: Bench) -> bytes:
    return b.keys.signer.private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def jwk(b: Bench) -> bytes:
    return json.dumps(b.keys.jwks()["keys"][0]).encode()


def stray_bits(text: str) -> str:
    """The same bytes in another spelling: the last letter carries bits that decoding throws away."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    assert len(text) % 4
    return text[:-1] + alphabet[alphabet.index(text[-1]) ^ 1]


def nested(depth: int, **last: Any) -> dict[str, Any]:
    act: dict[str, Any] = {"sub": f"agent:a{depth}", **last}
    for level in range(depth - 1, 0, -1):
        act = {"sub": f"agent:a{level}", "act": act}
    return act


FORM: dict[str, tuple[Make, str]] = {
    "empty": (lambda _: "", "three segments"),
    "a space": (lambda _: " ", "three segments"),
    "only dots": (lambda _: "..", "base64url"),
    "one segment": (lambda _: "abc", "three segments"),
    "two segments": (edited(lambda t: t.rsplit(".", 1)[0]), "three segments"),
    "four segments": (edited(lambda t: t + ".AAAA"), "three segments"),
    "five segments, as of an encrypted token": (edited(lambda t: t + ".AAAA.AAAA"), "three segments"),
    "a dot at the end": (edited(lambda t: t + "."), "three segments"),
    "a dot at the start": (edited(lambda t: "." + t), "three segments"),
    "an empty header": (part(0, lambda _: ""), "base64url"),
    "empty claims": (part(1, lambda _: ""), "not strict JSON"),
    "an empty signature": (part(2, lambda _: ""), "base64url"),
    "a newline at the end": (edited(lambda t: t + "\n"), "base64url"),
    "a carriage return and newline at the end": (edited(lambda t: t + "\r\n"), "base64url"),
    "a space at the start": (edited(lambda t: " " + t), "base64url"),
    "a space at the end": (edited(lambda t: t + " "), "base64url"),
    "a tab inside": (part(1, lambda t: t[:4] + "\t" + t[4:]), "base64url"),
    "a NUL at the end": (edited(lambda t: t + "\0"), "base64url"),
    "padding on the header": (part(0, lambda t: t + "="), "base64url"),
    "padding on the signature": (part(2, lambda t: t + "=="), "base64url"),
    "too much padding": (part(2, lambda t: t + "===="), "base64url"),
    "standard base64 letters": (part(2, lambda t: "+/" + t[2:]), "base64url"),
    "a length that no bytes have": (part(2, lambda t: t[:-1]), "base64url"),
    "stray bits in the signature": (part(2, stray_bits), "canonical spelling"),
    "a percent sign": (part(1, lambda t: t + "%3D"), "base64url"),
    "a comma": (edited(lambda t: t + "," + t), "three segments"),
    "the scheme as part of the token": (edited(lambda t: "Bearer " + t), "base64url"),
    "two tokens": (edited(lambda t: t + " " + t), "three segments"),
    "a letter that is not ASCII": (part(1, lambda t: t + "é"), "not ASCII"),
    "a full-width letter": (part(1, lambda t: "\uff45" + t[1:]), "not ASCII"),
    "a zero-width space": (edited(lambda t: t + "\u200b"), "not ASCII"),
    "a byte order mark": (edited(lambda t: "\ufeff" + t), "not ASCII"),
    "a lone surrogate": (edited(lambda t: t + "\udcff"), "not ASCII"),
    "one byte beyond the limit": (edited(lambda t: t + "A" * (8_193 - len(t))), "larger than 8 KiB"),
    "a megabyte of claims": (claims(pad="A" * 1_000_000), "larger than 8 KiB"),
    "a megabyte of dots": (lambda _: "." * 1_000_000, "larger than 8 KiB"),
    "many dots within the limit": (lambda _: "." * 8_192, "three segments"),
}

HEADER: dict[str, tuple[Make, str]] = {
    "no signature, alg none": (lambda b: b.token({"alg": "none"}).rsplit(".", 1)[0] + ".", "base64url"),
    "alg none with a signature": (header(alg="none"), "algorithm of this key"),
    "alg None": (header(alg="None"), "algorithm of this key"),
    "alg nOnE": (header(alg="nOnE"), "algorithm of this key"),
    "alg empty": (header(alg=""), "algorithm of this key"),
    "alg es256 in lower case": (header(alg="es256"), "algorithm of this key"),
    "alg ES256 with a space": (header(alg="ES256 "), "algorithm of this key"),
    "alg ES384": (header(alg="ES384"), "algorithm of this key"),
    "alg ES512": (header(alg="ES512"), "algorithm of this key"),
    "alg ES256K": (header(alg="ES256K"), "algorithm of this key"),
    "alg EdDSA": (header(alg="EdDSA"), "algorithm of this key"),
    "alg missing": (header(alg=ABSENT), "kid or alg"),
    "alg null": (header(alg=None), "kid or alg"),
    "alg a list": (header(alg=["ES256", "none"]), "kid or alg"),
    "alg a number": (header(alg=256), "kid or alg"),
    "alg an object": (header(alg={"ES256": True}), "kid or alg"),
    "HS256 with the public key as PEM": (signed(hs256(public_pem), alg="HS256"), "algorithm of this key"),
    "HS256 with the public key as DER": (signed(hs256(public_der), alg="HS256"), "algorithm of this key"),
    "HS256 with the JWK's text": (signed(hs256(jwk), alg="HS256"), "algorithm of this key"),
    "HS256 with the empty key": (signed(hs256(lambda _: b""), alg="HS256"), "algorithm of this key"),
    "HS512 with the public key": (signed(lambda b, t: hmac.digest(public_pem(b), t, "sha512"), alg="HS512"), "algorithm of this key"),
    "ES256 in the header, HMAC in the signature": (signed(hs256(public_pem)), "signature"),
    "jku": (header(jku="https://evil.example/jwks.json"), "'jku'"),
    "jwk with the attacker's key": (lambda b: b.token({"jwk": {"kty": "EC"}}, es256(b.stranger)), "'jwk'"),
    "x5u": (header(x5u="https://evil.example/chain.pem"), "'x5u'"),
    "x5c": (header(x5c=["MIIB"]), "'x5c'"),
    "x5t": (header(x5t="AAAA"), "'x5t'"),
    "crit": (header(crit=["exp"]), "'crit'"),
    "an empty crit": (header(crit=[]), "'crit'"),
    "b64 false": (header(b64=False, crit=["b64"]), "'b64'"),
    "zip": (header(zip="DEF"), "'zip'"),
    "cty for a nested token": (header(cty="JWT"), "'cty'"),
    "enc": (header(enc="A256GCM"), "'enc'"),
    "an unknown member": (header(extra=1), "'extra'"),
    "a member with an empty name": (raw_header('{"typ":"at+jwt","alg":"ES256","kid":"KID","":1}'), "''"),
    "typ JWT": (header(typ="JWT"), "typ"),
    "typ missing": (header(typ=ABSENT), "typ"),
    "typ null": (header(typ=None), "typ"),
    "typ AT+JWT": (header(typ="AT+JWT"), "typ"),
    "typ at+JWT": (header(typ="at+JWT"), "typ"),
    "typ with the media type's prefix": (header(typ="application/at+jwt"), "typ"),
    "typ of a logout token": (header(typ="logout+jwt"), "typ"),
    "typ of a DPoP proof": (header(typ="dpop+jwt"), "typ"),
    "typ of an ID-JAG": (header(typ="oauth-id-jag+jwt"), "typ"),
    "typ of a transaction token": (header(typ="txntoken+jwt"), "typ"),
    "typ with a space": (header(typ="at+jwt "), "typ"),
    "typ a list": (header(typ=["at+jwt"]), "typ"),
    "kid missing": (header(kid=ABSENT), "kid or alg"),
    "kid null": (header(kid=None), "kid or alg"),
    "kid a number": (header(kid=0), "kid or alg"),
    "kid a list": (header(kid=["a"]), "kid or alg"),
    "kid empty": (header(kid=""), "kid is not a key"),
    "kid unknown": (header(kid="gw-2026-11-a"), "kid is not a key"),
    "kid a path": (header(kid="../../dev/null"), "kid is not a key"),
    "kid an SQL injection": (header(kid="' OR 1=1 --"), "kid is not a key"),
    "kid with a newline": (lambda b: b.token({"kid": b.keys.kid + "\n"}), "kid is not a key"),
    "kid with a NUL": (lambda b: b.token({"kid": b.keys.kid + "\0"}), "kid is not a key"),
    "kid of the key in other case": (lambda b: b.token({"kid": b.keys.kid.swapcase()}), "kid is not a key"),
    "a duplicate alg": (raw_header('{"alg":"none","typ":"at+jwt","alg":"ES256","kid":"KID"}'), "duplicate key"),
    "a duplicate kid": (raw_header('{"kid":"x","typ":"at+jwt","alg":"ES256","kid":"KID"}'), "duplicate key"),
    "a duplicate in escaped spelling": (raw_header('{"\\u0061lg":"none","typ":"at+jwt","alg":"ES256","kid":"KID"}'), "duplicate key"),
    "a header that is a list": (raw_header('["at+jwt"]'), "not a JSON object"),
    "a header that is a text": (raw_header('"at+jwt"'), "not a JSON object"),
    "a header that is null": (raw_header("null"), "not a JSON object"),
    "a header that is no JSON": (raw_header("{typ:at+jwt}"), "strict JSON"),
    "a header with a comment": (raw_header('{"typ":"at+jwt",/**/"alg":"ES256","kid":"KID"}'), "strict JSON"),
    "a header with a trailing comma": (raw_header('{"typ":"at+jwt","alg":"ES256","kid":"KID",}'), "strict JSON"),
    "a header with a byte order mark": (raw_header('\ufeff{"typ":"at+jwt","alg":"ES256","kid":"KID"}'), "strict JSON"),
    "a header with something behind it": (raw_header('{"typ":"at+jwt","alg":"ES256","kid":"KID"}{}'), "strict JSON"),
    "a header with a lone surrogate": (raw_header('{"typ":"at+jwt","alg":"ES256","kid":"\\ud800"}'), "strict JSON"),
    "a header that is not UTF-8": (lambda b: b.sealed(b'{"kid":"\xff\xfe"}', encoded(b.claims())), "strict JSON"),
    "a header in UTF-16": (lambda b: b.sealed('{"a":1}'.encode("utf-16"), encoded(b.claims())), "strict JSON"),
    "a deeply nested header": (raw_header('{"kid":' + "[" * 2_000 + "]" * 2_000 + "}"), "strict JSON"),
}

SIGNATURE: dict[str, tuple[Make, str]] = {
    "another key": (lambda b: b.token(sign=es256(b.stranger)), "signature"),
    "one bit flipped": (signature(lambda s: bytes([s[0] ^ 1]) + s[1:]), "signature"),
    "the last bit flipped": (signature(lambda s: s[:-1] + bytes([s[-1] ^ 1])), "signature"),
    "r and s swapped": (signature(lambda s: s[32:] + s[:32]), "signature"),
    "zeros, the psychic signature": (signature(numbers(0, 0)), "signature"),
    "r zero": (signature(lambda s: bytes(32) + s[32:]), "signature"),
    "s zero": (signature(lambda s: s[:32] + bytes(32)), "signature"),
    "r and s one": (signature(numbers(1, 1)), "signature"),
    "r the order": (signature(lambda s: ORDER.to_bytes(32, "big") + s[32:]), "signature"),
    "s the order": (signature(lambda s: s[:32] + ORDER.to_bytes(32, "big")), "signature"),
    "r and s the order": (signature(numbers(ORDER, ORDER)), "signature"),
    "all ones": (signature(lambda _: b"\xff" * 64), "signature"),
    "one byte short": (signature(lambda s: s[:63]), "signature"),
    "one byte long": (signature(lambda s: s + b"\0"), "signature"),
    "a zero in front": (signature(lambda s: b"\0" + s), "signature"),
    "twice": (signature(lambda s: s + s), "signature"),
    "half": (signature(lambda s: s[:32]), "signature"),
    "in DER": (signed(lambda b, t: b.keys.signer.private.sign(t, ECDSA(hashes.SHA256()))), "signature"),
    "widened to 66 byte numbers": (signature(lambda s: bytes(34) + s[:32] + bytes(34) + s[32:]), "signature"),
    "over SHA-384": (signed(lambda b, t: es256_over(b, t, hashes.SHA384())), "signature"),
    "by RSA": (signed(lambda _, t: RSA.sign(t, padding.PKCS1v15(), hashes.SHA256())), "signature"),
    "by Ed25519": (signed(lambda _, t: ED25519.sign(t)), "signature"),
    "a bare hash": (signed(lambda _, t: hashlib.sha512(t).digest()), "signature"),
    "of another token": (lambda b: b.token(jti="another-token-0000").rsplit(".", 1)[0] + "." + b.token().rsplit(".", 1)[1], "signature"),
    "of the same token for another agent": (lambda b: splice(b, b.claims(sub="agent:planner", client_id="planner")), "signature"),
    "of the same token with a later end": (lambda b: splice(b, b.claims(exp=NOW + 301)), "signature"),
    "of the same claims with a space": (lambda b: splice_raw(b, encoded(b.claims()) + b" "), "signature"),
}

CLAIMS: dict[str, tuple[Make, str]] = {
    "claims that are a list": (raw_claims("[]"), "not a JSON object"),
    "claims that are empty": (raw_claims("{}"), "iss"),
    "a duplicate sub": (raw_claims('{"sub":"agent:planner",...}'), "duplicate key"),
    "a duplicate exp": (raw_claims('{...,"exp":9999999999}'), "duplicate key"),
    "a duplicate aud in escaped spelling": (raw_claims('{...,"\\u0061ud":"x"}'), "duplicate key"),
    "a duplicate inside act": (raw_claims('{...,"act":{"sub":"agent:a","sub":"agent:b"}}'), "duplicate key"),
    "NaN": (raw_claims('{...,"nbf":NaN}'), "strict JSON"),
    "Infinity": (raw_claims('{...,"nbf":Infinity}'), "strict JSON"),
    "minus Infinity": (raw_claims('{...,"nbf":-Infinity}'), "strict JSON"),
    "a number of 400 digits": (raw_claims('{...,"nbf":1' + "0" * 400 + "}"), "strict JSON"),
    "a number beyond floats": (raw_claims('{...,"nbf":1e999}'), "strict JSON"),
    "a leading zero": (raw_claims('{...,"nbf":01}'), "strict JSON"),
    "claims nested deep": (raw_claims('{...,"gw":' + '{"r":' * 700 + "1" + "}" * 700 + "}"), "strict JSON"),
    "claims nested just too deep": (raw_claims('{...,"gw":' + "[" * 9 + "]" * 9 + "}"), "strict JSON"),
    "too many claims": (claims(**{f"c{n}": n for n in range(300)}), "strict JSON"),
    "iss missing": (claims(iss=ABSENT), "iss"),
    "iss null": (claims(iss=None), "iss"),
    "iss a list": (claims(iss=[ISSUER]), "iss"),
    "iss another": (claims(iss="https://evil.example"), "iss"),
    "iss with a slash": (claims(iss=ISSUER + "/"), "iss"),
    "iss a part of ours": (claims(iss=ISSUER[:-1]), "iss"),
    "iss in upper case": (claims(iss=ISSUER.upper()), "iss"),
    "iss with a newline": (claims(iss=ISSUER + "\n"), "iss"),
    "iss of http": (claims(iss=ISSUER.replace("https", "http")), "iss"),
    "aud missing": (claims(aud=ABSENT), "aud"),
    "aud null": (claims(aud=None), "aud"),
    "aud another": (claims(aud="https://other.example/tools"), "aud"),
    "aud a list of ours": (claims(aud=[AUDIENCE]), "aud"),
    "aud a list with another": (claims(aud=[AUDIENCE, "https://evil.example"]), "aud"),
    "aud an empty list": (claims(aud=[]), "aud"),
    "aud an object": (claims(aud={AUDIENCE: 1}), "aud"),
    "aud with a slash": (claims(aud=AUDIENCE + "/"), "aud"),
    "aud the gateway without its tools": (claims(aud=ISSUER), "aud"),
    "aud a longer path": (claims(aud=AUDIENCE + "/tickets"), "aud"),
    "aud in upper case": (claims(aud=AUDIENCE.upper()), "aud"),
    "aud two in one text": (claims(aud=f"{AUDIENCE} https://evil.example"), "aud"),
    "exp missing": (claims(exp=ABSENT), "exp is missing or not a whole number"),
    "exp null": (claims(exp=None), "exp is missing or not a whole number"),
    "exp a text": (claims(exp="9999999999"), "exp is missing or not a whole number"),
    "exp a float": (claims(exp=NOW + 300.5), "exp is missing or not a whole number"),
    "exp a whole float": (claims(exp=float(NOW + 300)), "exp is missing or not a whole number"),
    "exp 1e30": (claims(exp=1e30), "exp is missing or not a whole number"),
    "exp true": (claims(exp=True), "exp is missing or not a whole number"),
    "exp negative": (claims(exp=-1), "exp is missing or not a whole number"),
    "exp zero": (claims(exp=0), "expired"),
    "exp now": (claims(exp=NOW, iat=NOW - 10), "expired 0 s ago"),
    "exp a second ago": (claims(exp=NOW - 1, iat=NOW - 10), "expired 1 s ago"),
    "exp at the end of 64 bits": (claims(exp=2**63 - 1), "exp is missing or not a whole number"),
    "exp beyond 64 bits": (claims(exp=2**64), "strict JSON"),
    "exp ten years away": (claims(exp=NOW + 315_360_000), "longest life"),
    "exp a second beyond the hour": (claims(exp=NOW + 3_601), "longest life"),
    "exp a second beyond the agent's cap": (claims(exp=NOW + 901), "lives longer than the agent"),
    "exp before iat": (claims(iat=NOW + 5, exp=NOW + 4), "longest life"),
    "exp equal to iat": (claims(iat=NOW + 5, exp=NOW + 5), "longest life"),
    "iat missing": (claims(iat=ABSENT), "iat"),
    "iat a text": (claims(iat=str(NOW)), "iat"),
    "iat a float": (claims(iat=NOW + 0.5), "iat"),
    "iat true": (claims(iat=True), "iat"),
    "iat in the future": (claims(iat=NOW + 6), "not valid for another 6 s"),
    "iat in the far past": (claims(iat=0), "longest life"),
    "nbf in the future": (claims(nbf=NOW + 60), "not valid for another 60 s"),
    "nbf a text": (claims(nbf="0"), "nbf"),
    "nbf null": (claims(nbf=None), "nbf"),
    "nbf false": (claims(nbf=False), "nbf"),
    "jti missing": (claims(jti=ABSENT), "jti"),
    "jti a number": (claims(jti=1), "jti"),
    "jti empty": (claims(jti=""), "jti"),
    "jti short": (claims(jti="abc"), "jti"),
    "jti long": (claims(jti="a" * 65), "jti"),
    "jti with a newline": (claims(jti="0123456789abcdef\n"), "jti"),
    "jti with a line of log in it": (claims(jti='0123456789abcdef\n{"n":7,"kind":"call"}'), "jti"),
    "sub missing": (claims(sub=ABSENT), "sub"),
    "sub null": (claims(sub=None), "sub"),
    "sub a list": (claims(sub=["agent:support-bot"]), "sub"),
    "sub without a kind": (claims(sub="support-bot"), "neither an agent nor a user"),
    "sub of another kind": (claims(sub="admin:support-bot"), "neither an agent nor a user"),
    "sub empty": (claims(sub=""), "neither an agent nor a user"),
    "sub an agent without a name": (claims(sub="agent:"), "alphabet"),
    "sub with a newline": (claims(sub="agent:support-bot\n"), "alphabet"),
    "sub with a NUL": (claims(sub="agent:support-bot\0"), "alphabet"),
    "sub with a quote": (claims(sub='agent:support-bot"'), "alphabet"),
    "sub that breaks out of a Cedar entity": (claims(sub='agent:x"; permit(principal, action, resource); //'), "alphabet"),
    "sub with a look-alike letter": (claims(sub="agent:supp\u043ert-bot"), "alphabet"),
    "sub with a right-to-left override": (claims(sub="agent:\u202etob-troppus"), "alphabet"),
    "sub with a zero-width joiner": (claims(sub="agent:support\u200d-bot"), "alphabet"),
    "sub in upper case": (claims(sub="agent:SUPPORT-BOT"), "alphabet"),
    "sub with a space": (claims(sub="agent:support-bot "), "alphabet"),
    "sub a path": (claims(sub="agent:../planner"), "alphabet"),
    "sub long": (claims(sub="agent:" + "a" * 65), "alphabet"),
    "sub unknown": (claims(sub="agent:nobody", client_id="nobody"), "not registered"),
    "client_id missing": (claims(client_id=ABSENT), "client_id"),
    "client_id another": (claims(client_id="planner"), "client_id"),
    "client_id a list": (claims(client_id=["support-bot"]), "client_id"),
    "client_id with a newline": (claims(client_id="support-bot\n"), "client_id"),
    "cnf a text": (claims(cnf="A" * 43), "cnf is not"),
    "cnf null": (claims(cnf=None), "cnf is not"),
    "cnf empty": (claims(cnf={}), "cnf is not"),
    "cnf with a certificate, too": (claims(cnf={"jkt": "A" * 43, "x5t#S256": "A" * 43}), "cnf is not"),
    "cnf with a whole key": (claims(cnf={"jwk": {"kty": "EC"}}), "cnf is not"),
    "cnf with a short thumbprint": (claims(cnf={"jkt": "AAAA"}), "cnf.jkt"),
    "cnf with a list": (claims(cnf={"jkt": ["A" * 43]}), "jkt"),
    "a token bound to a key, as a bearer token": (claims(cnf={"jkt": "A" * 43}), "came as a bearer token"),
    "an unknown claim": (claims(admin=True), "'admin'"),
    "a claim with an empty name": (claims(**{"": 1}), "''"),
    "a claim that names a line of log": (claims(**{"a\nb\u202e": 1}), r"'a\nb\u202e'"),
    "scope a list": (claims(scope=["tickets:read"]), "scope"),
    "scope null": (claims(scope=None), "scope"),
    "scope empty": (claims(scope=""), "scope"),
    "scope with two spaces": (claims(scope="tickets:read  tickets:write"), "scope"),
    "scope with a tab": (claims(scope="tickets:read\ttickets:write"), "scope"),
    "scope with a quote": (claims(scope='tickets:"read"'), "scope"),
    "scope twice": (claims(scope="tickets:read tickets:read"), "scope"),
    "scope too long": (claims(scope=" ".join(f"s{n}" for n in range(65))), "scope"),
    "scope beyond the agent": (claims(scope="tickets:read admin"), "scope is beyond"),
    "scope a star": (claims(scope="*"), "scope"),
    "gw a text": (claims(gw="x"), "gw"),
    "gw null": (claims(gw=None), "gw"),
    "gw with an unknown member": (claims(gw={"admin": True}), "gw"),
    "gw of another way in": (claims(gw={"auth": "k8s:prod"}), "gw.auth"),
    "gw.auth a number": (claims(gw={"auth": 1}), "auth"),
    "gw.epoch a text": (claims(gw={"epoch": "0"}), "epoch"),
    "gw.epoch negative": (claims(gw={"epoch": -1}), "epoch"),
    "gw.epoch true": (claims(gw={"epoch": True}), "epoch"),
    "gw.parents a text": (claims(gw={"parents": "0123456789abcdef"}), "gw.parents"),
    "gw.parents with a number": (claims(gw={"parents": [1]}), "gw.parents"),
    "gw.parents too many": (claims(gw={"parents": ["0123456789abcdef"] * 5}), "gw.parents"),
    "gw.parents with a newline": (claims(gw={"parents": ["0123456789abcdef\n"]}), "gw.parents"),
    "gw.run with a newline": (claims(gw={"run": "r1\n"}), "gw.run"),
    "gw.run a number": (claims(gw={"run": 1}), "run"),
}

USER = {"sub": "user:alice@example.com", "act": {"sub": "agent:support-bot"}}
CHAINS: dict[str, tuple[Make, str]] = {
    "act null": (claims(act=None), "act"),
    "act a text": (claims(act="agent:planner"), "act"),
    "act a list": (claims(act=[{"sub": "agent:planner"}]), "act"),
    "act empty": (claims(act={}), "sub"),
    "act with another issuer": (claims(**{**USER, "act": {"sub": "agent:support-bot", "iss": "x"}}), "act"),
    "act with a user": (claims(act={"sub": "user:bob"}), "neither an agent"),
    "act with a number": (claims(act={"sub": 1}), "sub"),
    "act with a newline": (claims(**{**USER, "act": {"sub": "agent:support-bot\n"}}), "alphabet"),
    "act nested too deep": (claims(act=nested(5), client_id="a1"), "chain is longer"),
    "act nested beyond reason": (claims(act=nested(40), client_id="a1"), "strict JSON"),
    "an act that is the subject itself": (claims(act={"sub": "agent:support-bot"}), "twice"),
    "an inner act that is null": (claims(**{**USER, "act": {"sub": "agent:support-bot", "act": None}}), "act"),
    "an agent that nobody delegated to": (claims(act={"sub": "agent:planner"}, client_id="planner", scope=ABSENT), "may not delegate"),
    "an agent that is not registered in the chain": (claims(act={"sub": "agent:nobody"}, client_id="nobody"), "not registered"),
    "an unknown agent behind the acting one": (claims(**{**USER, "act": {"sub": "agent:support-bot", "act": {"sub": "agent:x"}}}), "not registered"),
    "a delegation beyond the depth": (claims(sub="agent:planner", act=nested(2), client_id="a1"), "not registered"),
    "a user without an agent": (claims(sub="user:alice"), "names no acting agent"),
    "a user with the wrong client": (claims(**USER, client_id="planner"), "client_id"),
    "a user without a name": (claims(**{**USER, "sub": "user:"}), "alphabet"),
    "a user with a newline": (claims(**{**USER, "sub": "user:alice\n"}), "alphabet"),
    "a user with a quote": (claims(**{**USER, "sub": 'user:al"ice'}), "alphabet"),
    "a user with a look-alike letter": (claims(**{**USER, "sub": "user:\u0430lice"}), "alphabet"),
    "a user of an agent that acts for nobody": (
        claims(sub="user:alice", act={"sub": "agent:kb-search"}, client_id="kb-search", scope=ABSENT),
        "may not act for users",
    ),
}

ATTACKS = {
    f"{group}: {name}": attack
    for group, table in {"form": FORM, "header": HEADER, "signature": SIGNATURE, "claims": CLAIMS, "chain": CHAINS}.items()
    for name, attack in table.items()
}

RSA = rsa.generate_private_key(65537, 2048)
ED25519 = ed25519.Ed25519PrivateKey.generate()


def es256_over(b: Bench, text: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
    r, s = decode_dss_signature(b.keys.signer.private.sign(text, ECDSA(algorithm)))
    return numbers(r, s)(b"")


def splice(b: Bench, changed: dict[str, Any]) -> str:
    return splice_raw(b, encoded(changed))


def splice_raw(b: Bench, changed: bytes) -> str:
    parts = b.token().split(".")
    return ".".join([parts[0], segment(changed), parts[2]])


def refusal_of(bench: Bench, text: str) -> Refusal:
    with pytest.raises(Refusal) as caught:
        bench.verifier().verify(secret(text))
    return caught.value


def test_the_table_is_large_and_a_good_token_is_not_in_it(bench: Bench):
    assert len(ATTACKS) >= 200
    assert bench.verifier().verify(secret(bench.token())).agent == "support-bot"
    assert bench.verifier().verify(secret(bench.token(**USER))).user == "alice@example.com"


@pytest.mark.parametrize(("make", "reason"), ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_token_is_refused_for_its_fault_and_in_the_words_for_strangers(bench: Bench, make: Make, reason: str):
    refusal = refusal_of(bench, make(bench))
    assert refusal.code == "invalid_token"
    assert refusal.detail == REFUSALS["invalid_token"].title
    assert reason in refusal.reason
    assert refusal.reason.isprintable() and refusal.reason.isascii()


def test_no_token_at_all_is_refused_in_the_same_words(bench: Bench):
    with pytest.raises(Refusal) as caught:
        bench.verifier().verify(None)
    assert (caught.value.code, caught.value.detail) == ("invalid_token", REFUSALS["invalid_token"].title)


def test_the_other_valid_spelling_of_a_signature_gains_nothing(bench: Bench):
    """ECDSA knows (r, s) and (r, n - s). Both prove the key; that is why a token is known by its jti, never by its text."""

    def mirrored(s: bytes) -> bytes:
        return s[:32] + (ORDER - int.from_bytes(s[32:], "big")).to_bytes(32, "big")

    one, other = bench.token(), signature(mirrored)(bench)
    assert one != other
    assert bench.verifier().verify(secret(one)) == bench.verifier().verify(secret(other))
    denied = snapshot(revoked=Revoked({("jti", "0123456789abcdef"): Denial("jti", "0123456789abcdef", "lost")}))
    for text in (one, other):
        with pytest.raises(Refusal):
            bench.verifier(denied).verify(secret(text))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "suspended"}, "is suspended"),
        ({"status": "retired"}, "is retired"),
        ({"expires": date(2020, 1, 1)}, "expired after 2020-01-01"),
        ({"scopes": ()}, "scope is beyond"),
        ({"ttl_s": 299}, "lives longer"),
        ({"audiences": ("https://other.example/tools",)}, "aud is not one of the agent"),
    ],
)
def test_what_the_agents_file_no_longer_allows_ends_its_tokens(bench: Bench, changes: dict[str, Any], reason: str):
    with pytest.raises(Refusal) as caught:
        bench.verifier(snapshot(**changes)).verify(secret(bench.token()))
    assert reason in caught.value.reason


def test_the_issuers_cap_holds_even_where_the_agents_is_higher(bench: Bench):
    with pytest.raises(Refusal) as caught:
        bench.verifier(snapshot(max_ttl_s=299)).verify(secret(bench.token()))
    assert "longest life" in caught.value.reason


@pytest.mark.parametrize("kind", ["jti", "kid", "agent"])
def test_a_denial_stops_a_token_until_it_ends(bench: Bench, kind: Any):
    value = {"jti": "0123456789abcdef", "kid": bench.keys.kid, "agent": "support-bot"}[kind]
    for until, stopped in ((None, True), (NOW + 1, True), (NOW, False)):
        verifier = bench.verifier(snapshot(revoked=Revoked({(kind, value): Denial(kind, value, "lost laptop", until)})))
        if stopped:
            with pytest.raises(Refusal) as caught:
                verifier.verify(secret(bench.token()))
            assert caught.value.reason == f"the {kind} is revoked: lost laptop"
        else:
            assert verifier.verify(secret(bench.token())).agent == "support-bot"


@pytest.mark.parametrize(
    ("pop", "bound", "reason"),
    [("required", False, "needs tokens that are bound"), ("none", True, "has bearer tokens only")],
)
def test_an_agents_tokens_are_bound_to_a_key_as_its_file_says(bench: Bench, pop: str, bound: bool, reason: str):
    with pytest.raises(Refusal) as caught:
        bench.verifier(snapshot(pop=pop)).verify(secret(bench.token(**({"cnf": {"jkt": "A" * 43}} if bound else {}))))
    assert reason in caught.value.reason


DELEGATED = {"sub": "agent:planner", "act": {"sub": "agent:support-bot"}, "client_id": "support-bot"}


def test_a_delegated_token_names_the_one_who_acts_and_who_it_comes_from(bench: Bench):
    identity = bench.verifier().verify(secret(bench.token(**DELEGATED)))
    assert (identity.agent, identity.actors, identity.user) == ("support-bot", ("planner",), None)
    for_user = {**DELEGATED, "sub": "user:alice", "act": {"sub": "agent:support-bot", "act": {"sub": "agent:planner"}}}
    identity = bench.verifier().verify(secret(bench.token(**for_user)))
    assert (identity.agent, identity.actors, identity.user) == ("support-bot", ("planner",), "alice")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda a: replace(a, status="suspended"), "planner is suspended"),
        (lambda a: replace(a, delegation=Delegation(max_depth=1)), "planner may not delegate"),
        (lambda a: replace(a, delegation=replace(a.delegation, max_depth=0)), "planner may not delegate"),
        (lambda a: replace(a, scopes=()), "scope is beyond the agent planner"),
        (lambda a: replace(a, ttl_s=60), "lives longer than the agent planner"),
    ],
)
def test_stopping_or_narrowing_the_one_who_delegated_stops_the_delegate(bench: Bench, change: Any, reason: str):
    known = snapshot()
    changed = replace(known, agents={**known.agents, "planner": change(known.agents["planner"])})
    with pytest.raises(Refusal) as caught:
        bench.verifier(changed).verify(secret(bench.token(**DELEGATED)))
    assert reason in caught.value.reason


def test_revoking_the_one_who_delegated_stops_the_delegate(bench: Bench):
    denied = snapshot(revoked=Revoked({("agent", "planner"): Denial("agent", "planner", "compromised")}))
    with pytest.raises(Refusal):
        bench.verifier(denied).verify(secret(bench.token(**DELEGATED)))


def test_every_single_letter_change_of_a_token_is_refused(bench: Bench):
    good, verifier, chance = bench.token(), bench.verifier(), random.Random(7)
    for place, letter in enumerate(good):
        other = chance.choice([c for c in "ABCxyz019-_.=" if c != letter])
        with pytest.raises(Refusal) as caught:
            verifier.verify(secret(good[:place] + other + good[place + 1 :]))
        assert caught.value.code == "invalid_token"


def test_every_truncation_of_a_token_is_refused(bench: Bench):
    good, verifier = bench.token(), bench.verifier()
    for length in range(len(good)):
        with pytest.raises(Refusal):
            verifier.verify(secret(good[:length]))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["iss", "sub", "client_id", "aud", "iat", "exp", "jti", "act", "gw", "scope", "nbf", "new"]), value=json_values)
def test_any_value_in_any_claim_is_a_refusal_or_an_identity_and_never_another_exception(bench: Bench, name: str, value: Any):
    try:
        identity = bench.verifier().verify(secret(bench.token(**{name: value})))
    except Refusal as refusal:
        assert refusal.code == "invalid_token"
    else:
        assert identity.agent == "support-bot" and name in {"nbf", "iat", "gw", "scope"}


@settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(["alg", "kid", "typ", "new"]), value=json_values)
def test_any_value_in_any_header_member_is_refused(bench: Bench, name: str, value: Any):
    assert refusal_of(bench, bench.token({name: value})).code == "invalid_token"


@settings(max_examples=150, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=60) | st.text(alphabet='abcAZ09-_.={}" \n', max_size=120))
def test_any_text_that_nobody_signed_is_refused(bench: Bench, text: str):
    assert refusal_of(bench, text).code == "invalid_token"


@settings(max_examples=100, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(header=st.binary(max_size=60), body=st.binary(max_size=120))
def test_any_signed_bytes_that_are_no_claims_are_refused(bench: Bench, header: bytes, body: bytes):
    assert refusal_of(bench, bench.sealed(header, body)).code == "invalid_token"
    assert refusal_of(bench, bench.sealed(encoded(bench.header()), body)).code == "invalid_token"
