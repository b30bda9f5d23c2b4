"""What is read from a foreign token that verifies. What must be refused stands in tests/attacks/test_foreign_tokens.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.errors import Refusal
from gateway.identify.foreign import THUMBPRINTS
from tests.identify.foreigners import EXPECTED, GATEWAY, URL, Foreigner
from tests.identify.forge import ABSENT, NOW

THEM = Foreigner()


@pytest.mark.parametrize(("kid", "alg"), [("ec", "ES256"), ("ec384", "ES384"), ("rsa", "RS256"), ("ed", "EdDSA")])
def test_a_token_is_read_whichever_key_of_the_issuer_signed_it(kid: str, alg: str):
    proven = THEM.prove(THEM.token({"kid": kid, "alg": alg}, THEM.sign(kid, alg)))
    assert (proven.issuer, proven.subject, proven.token_id, proven.key_id, proven.expires_at) == (URL, "repo:acme/site", "one", kid, NOW + 300)


def test_the_name_that_rfc_9864_gave_to_ed25519_is_known():
    assert THEM.prove(THEM.token({"kid": "ed", "alg": "Ed25519"}, THEM.sign("ed", "EdDSA"))).key_id == "ed"


def test_claims_of_others_are_kept_and_not_judged():
    proven = THEM.prove(THEM.token(repository_id="42", **{"kubernetes.io": {"namespace": "agents"}}, email_verified=True))
    assert (proven.claims["repository_id"], proven.claims["kubernetes.io"]) == ("42", {"namespace": "agents"})


def test_a_list_with_this_gateway_alone_is_an_audience_as_kubernetes_writes_it():
    assert THEM.prove(THEM.token(aud=[GATEWAY])).issuer == URL


def test_a_thumbprint_in_the_header_is_overlooked_where_the_issuer_always_writes_one():
    text = THEM.token({"x5t": "AAAA"})
    assert THEM.prove(text, replace(EXPECTED, more_header=THUMBPRINTS)).key_id == "ec"
    with pytest.raises(Refusal):
        THEM.prove(text)


def test_a_jwt_svid_may_lack_iss_and_iat_and_then_lives_from_now():
    svid = replace(EXPECTED, issuer=None, named_issuer=False, issued_at=False)
    text = THEM.token(iss=ABSENT, iat=ABSENT, sub="spiffe://example.org/bot")
    assert THEM.prove(text, svid).subject == "spiffe://example.org/bot"
    with pytest.raises(Refusal) as caught:
        THEM.prove(THEM.token(iss=ABSENT, iat=ABSENT, exp=NOW + 3_601), svid)
    assert "within 3600 s" in caught.value.reason


def test_a_clock_half_a_minute_apart_is_forgiven_but_adds_no_life():
    assert THEM.prove(THEM.token(), now=NOW - 30).token_id == "one"
    with pytest.raises(Refusal):
        THEM.prove(THEM.token(), now=NOW + 300)
