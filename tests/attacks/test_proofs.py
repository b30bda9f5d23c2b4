"""Proofs of possession (RFC 9449) that an attacker would try: in each one thing is wrong, and each is refused for that thing."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given, settings
from hypothesis import strategies as st
from jwt import get_algorithm_by_name

from gateway.errors import Refusal
from gateway.identify.dpop import AGE_S_MAX, Proofs
from gateway.identities.jwk import read_jwk
from gateway.proof import Proof
from gateway.secret import Secret
from gateway.stores.database import Database
from gateway.stores.once import MemoryOnce, SqliteOnce
from tests.attacks.test_tokens import json_values
from tests.identify.forge import ABSENT, NOW, Clock, changed, encoded, segment

URL = "https://gw.example.com/tools/tickets/tickets/7"
TOKEN = b"a.bound.token"
KEY = ec.generate_private_key(ec.SECP256R1())
OTHER = ec.generate_private_key(ec.SECP256R1())
RSA = rsa.generate_private_key(65537, 2048)
Make = Callable[[], str]


def jwk(key: Any) -> dict[str, Any]:
    alg = "RS256" if isinstance(key, rsa.RSAPrivateKey) else "ES256"
    return {k: v for k, v in json.loads(get_algorithm_by_name(alg).to_jwk(key.public_key())).items() if k != "key_ops"}


def ath(token: bytes = TOKEN) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(token).digest()).rstrip(b"=").decode()


def sealed(header: bytes, claims: bytes, sign: Callable[[bytes], bytes] | None = None) -> str:
    text = f"{segment(header)}.{segment(claims)}".encode()
    return f"{text.decode()}.{segment((sign or (lambda t: get_algorithm_by_name('ES256').sign(t, KEY)))(text))}"


def proof(header: dict[str, Any] | None = None, sign: Callable[[bytes], bytes] | None = None, **claims: Any) -> str:
    good = {"htm": "GET", "htu": URL, "iat": NOW, "jti": "0123456789abcdef", "ath": ath()}
    return sealed(encoded(changed({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(KEY)}, header or {})), encoded(changed(good, claims)), sign)


def claims(**changes: Any) -> Make:
    return lambda: proof(**changes)


def header(**changes: Any) -> Make:
    return lambda: proof(changes)


def check(text: str, *, proofs: Proofs | None = None, token: bytes | None = TOKEN) -> str:
    return asyncio.run((proofs or fresh()).check(Proof(Secret(text), "GET", URL), token))


def fresh(clock: Clock | None = None) -> Proofs:
    """One that began long before NOW."""
    clock = clock or Clock(NOW - 1_000)
    found = Proofs(clock)
    clock.at = NOW
    return found


PROOFS: dict[str, tuple[Make, str]] = {
    "empty": (lambda: "", "three segments"),
    "an access token": (header(typ="at+jwt"), "typ dpop+jwt"),
    "typ missing": (header(typ=ABSENT), "typ dpop+jwt"),
    "typ in upper case": (header(typ="DPOP+JWT"), "typ dpop+jwt"),
    "typ JWT": (header(typ="JWT"), "typ dpop+jwt"),
    "a kid beside the key": (header(kid="a"), "typ dpop+jwt"),
    "a jku": (header(jku="https://evil.example"), "typ dpop+jwt"),
    "crit": (header(crit=["exp"]), "typ dpop+jwt"),
    "no key": (header(jwk=ABSENT), "typ dpop+jwt"),
    "a key that is a text": (header(jwk="key"), "no object"),
    "a key that is null": (header(jwk=None), "no object"),
    "a private key": (lambda: proof({"jwk": json.loads(get_algorithm_by_name("ES256").to_jwk(KEY)) | {"key_ops": ["verify"]}}), "private"),
    "a symmetric key": (
        lambda: proof({"alg": "HS256", "jwk": {"kty": "oct", "k": "AAAA"}}, lambda t: hmac.digest(b"\0\0\0", t, "sha256")),
        "symmetric",
    ),
    "a key off the curve": (lambda: proof({"jwk": {**jwk(KEY), "y": jwk(OTHER)["y"]}}), "no point"),
    "a key for encryption": (lambda: proof({"jwk": {**jwk(KEY), "use": "enc"}}), "use"),
    "alg none": (header(alg="none"), "algorithm of its key"),
    "alg missing": (header(alg=ABSENT), "typ dpop+jwt"),
    "alg a list": (header(alg=["ES256"]), "no object"),
    "alg of another curve": (header(alg="ES384"), "algorithm of its key"),
    "alg symmetric with an EC key": (lambda: proof({"alg": "HS256"}, lambda t: hmac.digest(encoded(jwk(KEY)), t, "sha256")), "algorithm of its key"),
    "alg symmetric with an RSA key": (lambda: proof({"alg": "HS256", "jwk": jwk(RSA)}, lambda t: hmac.digest(b"", t, "sha256")), "alg"),
    "RS256 and a signature of PSS": (
        lambda: proof({"alg": "RS256", "jwk": jwk(RSA)}, lambda t: get_algorithm_by_name("PS256").sign(t, RSA)),
        "signature",
    ),
    "signed by another key": (lambda: proof(sign=lambda t: get_algorithm_by_name("ES256").sign(t, OTHER)), "signature"),
    "the psychic signature": (lambda: proof(sign=lambda _: bytes(64)), "signature"),
    "no signature": (lambda: proof().rsplit(".", 1)[0] + ".", "base64url"),
    "claims of another proof": (lambda: ".".join([*proof(jti="two").split(".")[:2], proof().split(".")[2]]), "signature"),
    "another method": (claims(htm="POST"), "htm"),
    "a method in lower case": (claims(htm="get"), "htm"),
    "a method that is a list": (claims(htm=["GET"]), "htm"),
    "no method": (claims(htm=ABSENT), "htm"),
    "another path": (claims(htu=URL + "8"), "htu"),
    "a path above": (claims(htu=URL.rsplit("/", 1)[0]), "htu"),
    "a slash more": (claims(htu=URL + "/"), "htu"),
    "a path in upper case": (claims(htu=URL.replace("tickets", "TICKETS")), "htu"),
    "an escaped path": (claims(htu=URL.replace("tools", "%74ools")), "htu"),
    "a path with dots": (claims(htu=URL.replace("tools", "x/../tools")), "htu"),
    "another host": (claims(htu=URL.replace("gw", "evil")), "htu"),
    "a host within a user name": (claims(htu=URL.replace("gw.example.com", "gw.example.com@evil.example")), "htu"),
    "a user name": (claims(htu=URL.replace("gw.", "a@gw.")), "htu"),
    "another port": (claims(htu=URL.replace(".com", ".com:8443")), "htu"),
    "a port that is none": (claims(htu=URL.replace(".com", ".com:99999")), "htu"),
    "plain http": (claims(htu=URL.replace("https", "http")), "htu"),
    "another scheme": (claims(htu=URL.replace("https", "ftp")), "htu"),
    "a path alone": (claims(htu="/tools/tickets/tickets/7"), "htu"),
    "a backslash": (claims(htu=URL.replace("/tools", "\\tools")), "htu"),
    "a newline in the URL": (claims(htu=URL + "\n"), "htu"),
    "a look-alike host": (claims(htu=URL.replace("example", "ex\u0430mple")), "htu"),
    "a URL that is a list": (claims(htu=[URL]), "htu"),
    "no URL": (claims(htu=ABSENT), "htu"),
    "a minute and a second old": (claims(iat=NOW - AGE_S_MAX - 1), "61 s ago"),
    "a minute and a second ahead": (claims(iat=NOW + AGE_S_MAX + 1), "-61 s ago"),
    "no time": (claims(iat=ABSENT), "iat is missing"),
    "a time that is a text": (claims(iat=str(NOW)), "iat is missing or not a whole number"),
    "a time that is a float": (claims(iat=NOW + 0.5), "iat is missing or not a whole number"),
    "a time that is true": (claims(iat=True), "iat is missing or not a whole number"),
    "no id": (claims(jti=ABSENT), "jti"),
    "an id that is a number": (claims(jti=7), "jti"),
    "an empty id": (claims(jti=""), "jti"),
    "an id with a newline": (claims(jti="a\nb"), "jti"),
    "a long id": (claims(jti="a" * 257), "jti"),
    "no hash of the token": (claims(ath=ABSENT), "ath"),
    "the hash of another token": (claims(ath=ath(b"another")), "ath"),
    "the hash with padding": (claims(ath=ath() + "="), "ath"),
    "the token itself": (claims(ath=TOKEN.decode()), "ath"),
    "a hash that is a list": (claims(ath=[ath()]), "ath"),
    "a duplicate claim": (
        lambda: sealed(encoded({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk(KEY)}), b'{"htm":"GET","htm":"POST"}'),
        "duplicate key",
    ),
    "a megabyte": (claims(pad="A" * 1_000_000), "8 KiB"),
}


@pytest.mark.parametrize(("make", "reason"), PROOFS.values(), ids=PROOFS.keys())
def test_a_proof_that_proves_something_else_is_refused_for_that(make: Make, reason: str):
    with pytest.raises(Refusal) as caught:
        check(make())
    assert caught.value.code == "invalid_token" and reason in caught.value.reason
    assert caught.value.reason.isprintable() and caught.value.reason.isascii()


def test_a_good_proof_proves_its_key_once():
    proofs = fresh()
    assert check(proof(), proofs=proofs) == read_jwk(jwk(KEY)).thumbprint
    with pytest.raises(Refusal, match="used before"):
        check(proof(iat=NOW + 1), proofs=proofs)
    assert check(proof(jti="another-id"), proofs=proofs)


def test_the_same_id_by_another_key_is_another_proof():
    proofs = fresh()
    check(proof(), proofs=proofs)
    assert check(proof({"jwk": jwk(OTHER)}, lambda t: get_algorithm_by_name("ES256").sign(t, OTHER)), proofs=proofs)


@pytest.mark.parametrize(
    "url", [URL + "?a=b", URL + "#part", URL.replace("https", "HTTPS"), URL.replace("gw", "GW"), URL.replace(".com/", ".com:443/")]
)
def test_spellings_of_the_same_url_are_the_same(url: str):
    assert check(proof(htu=url))


def test_at_the_token_endpoint_there_is_no_token_yet():
    assert check(proof(ath=ABSENT), token=None)


def test_a_proof_from_before_the_start_is_refused_since_nobody_knows_whether_it_was_used():
    clock = Clock(NOW)
    proofs = Proofs(clock)
    with pytest.raises(Refusal, match="before this gateway began"):
        check(proof(iat=NOW - 1), proofs=proofs)
    assert check(proof(), proofs=proofs)


def test_a_proof_that_is_ahead_of_its_time_is_not_good_again_after_a_restart(tmp_path: Path):
    clock = Clock(NOW)
    text, database = proof(iat=NOW + 50), Database.open(tmp_path)
    check(text, proofs=Proofs(clock, ahead=SqliteOnce(database, clock)))
    database.close()
    clock.at = NOW + 20  # the gateway began anew: by its time the proof is from after that
    again = Database.open(tmp_path)
    with pytest.raises(Refusal, match="used before this gateway began"):
        check(text, proofs=Proofs(clock, ahead=SqliteOnce(again, clock)))
    again.close()


def test_when_no_more_proofs_can_be_remembered_they_are_refused_and_none_is_forgotten():
    clock = Clock(NOW)
    proofs = Proofs(clock, MemoryOnce(clock, entries_max=2))
    for name in ("one", "two"):
        check(proof(jti=name), proofs=proofs)
    with pytest.raises(Refusal) as caught:
        check(proof(jti="three"), proofs=proofs)
    assert caught.value.code == "overloaded"
    with pytest.raises(Refusal, match="used before"):
        check(proof(jti="one"), proofs=proofs)
    clock.at = NOW + 2 * AGE_S_MAX
    assert check(proof(jti="three", iat=int(clock.at)), proofs=proofs)


@settings(max_examples=150, deadline=None, database=None)
@given(name=st.sampled_from(["htm", "htu", "iat", "jti", "ath", "new"]), value=json_values)
def test_any_value_in_any_claim_of_a_proof_is_a_refusal_or_the_key(name: str, value: Any):
    try:
        assert check(proof(**{name: value})) == read_jwk(jwk(KEY)).thumbprint
    except Refusal as refusal:
        assert refusal.code == "invalid_token"


@settings(max_examples=100, deadline=None, database=None)
@given(name=st.sampled_from(["typ", "alg", "jwk", "new"]), value=json_values)
def test_any_value_in_any_header_member_of_a_proof_is_refused(name: str, value: Any):
    with pytest.raises(Refusal) as caught:
        check(proof({name: value}))
    assert caught.value.code == "invalid_token"
