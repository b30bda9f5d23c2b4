"""The verifier's memory: what it may remember, and when it must forget. What it must refuse stands in tests/attacks/test_tokens.py."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest

from gateway.call import Identity
from gateway.errors import Refusal
from gateway.identify import SigningKeys, Verifier
from gateway.identify.rotation import compromise
from gateway.identities import Revoked
from gateway.identities.model import Delegation, Denial
from tests.identify.forge import ABSENT, AUDIENCE, ISSUER, NOW, Bench, secret, snapshot


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "keys")


def expect_refused(verifier: Verifier, text: str, reason: str) -> None:
    with pytest.raises(Refusal) as caught:
        verifier.verify(secret(text))
    assert reason in caught.value.reason


def test_an_identity_holds_what_the_token_proves(bench: Bench):
    token = bench.token(gw={"auth": "local", "run": "run-7"}, scope="tickets:read tickets:write")
    assert bench.verifier().verify(secret(token)) == Identity(
        agent="support-bot",
        issuer=ISSUER,
        subject="agent:support-bot",
        token_id="0123456789abcdef",
        key_id=bench.keys.kid,
        audience=AUDIENCE,
        expires_at=NOW + 300,
        scopes=("tickets:read", "tickets:write"),
        run="run-7",
    )


def test_a_token_without_scope_has_no_scope(bench: Bench):
    assert bench.verifier().verify(secret(bench.token(scope=ABSENT))).scopes == ()


def test_a_token_seen_before_is_the_same_identity_object(bench: Bench):
    verifier, token = bench.verifier(), bench.token()
    assert verifier.verify(secret(token)) is verifier.verify(secret(token))


def test_a_remembered_token_expires_on_the_second(bench: Bench):
    verifier, token = bench.verifier(), bench.token()
    bench.clock.at = NOW + 299.999
    assert verifier.verify(secret(token)).agent == "support-bot"
    bench.clock.at = NOW + 300
    expect_refused(verifier, token, "expired 0 s ago")


def test_a_remembered_token_ends_with_its_agents_registration(bench: Bench):
    midnight = 1_800_057_600  # 2027-01-16T00:00:00Z
    bench.clock.at = midnight - 10
    verifier = bench.verifier(snapshot(expires=date(2027, 1, 15)))
    token = bench.token(iat=midnight - 10, exp=midnight + 100)
    assert verifier.verify(secret(token)).expires_at == midnight + 100
    bench.clock.at = midnight
    expect_refused(verifier, token, "expired after 2027-01-15")


def test_a_refused_token_is_not_remembered(bench: Bench):
    denial = Denial("agent", "support-bot", "paused", until=NOW + 60)
    verifier, token = bench.verifier(snapshot(revoked=Revoked({("agent", "support-bot"): denial}))), bench.token()
    expect_refused(verifier, token, "revoked: paused")
    bench.clock.at = NOW + 60
    assert verifier.verify(secret(token)).agent == "support-bot"


def test_a_new_snapshot_forgets_what_the_old_one_remembered(bench: Bench):
    token = bench.token()
    assert bench.verifier().verify(secret(token)).agent == "support-bot"
    expect_refused(bench.verifier(snapshot(status="suspended")), token, "is suspended")


def test_the_memory_is_bounded_and_drops_the_oldest(bench: Bench):
    verifier = bench.verifier(entries=2)
    tokens = [bench.token(jti=f"token-number-{n:04}") for n in range(3)]
    first, second, third = (verifier.verify(secret(t)) for t in tokens)
    assert len(verifier._verified) == 2
    assert verifier.verify(secret(tokens[2])) is third
    assert verifier.verify(secret(tokens[1])) is second
    assert verifier.verify(secret(tokens[0])) is not first


def test_a_memory_of_nothing_still_verifies(bench: Bench):
    verifier, token = bench.verifier(entries=0), bench.token()
    assert verifier.verify(secret(token)) == verifier.verify(secret(token))
    assert len(verifier._verified) == 0


def test_the_memory_holds_no_token(bench: Bench):
    verifier, token = bench.verifier(), bench.token()
    verifier.verify(secret(token))
    assert token not in repr(verifier._verified) and token.rsplit(".", 1)[1] not in repr(vars(verifier))


def test_a_clock_a_little_behind_the_minters_is_forgiven(bench: Bench):
    bench.clock.at = NOW - 5
    assert bench.verifier().verify(secret(bench.token())).agent == "support-bot"
    bench.clock.at = NOW - 5.5
    expect_refused(bench.verifier(), bench.token(), "not valid for another")


def test_standing_says_why_no_token_of_an_agent_would_count(bench: Bench):
    assert bench.verifier().standing("support-bot") == ""
    assert "not registered" in bench.verifier().standing("nobody")
    assert "is suspended" in bench.verifier(snapshot(status="suspended")).standing("support-bot")
    assert "may not act for users" in bench.verifier(snapshot(delegation=Delegation())).standing("support-bot", for_user=True)
    denial = Denial("agent", "support-bot", "paused", until=NOW + 60)
    verifier = bench.verifier(snapshot(revoked=Revoked({("agent", "support-bot"): denial})))
    assert "revoked: paused" in verifier.standing("support-bot")
    bench.clock.at = NOW + 60
    assert verifier.standing("support-bot") == ""


def test_what_a_withdrawn_key_signed_is_over_whatever_epoch_it_claims(bench: Bench):
    """Who has the key can claim to be from after every kill; a stream of theirs ends with the key. Rotation drops a key when its last token is dead."""
    identity = bench.verifier().verify(secret(bench.token(gw={"epoch": 2**40})))
    assert bench.verifier().against(identity) == ""
    compromise(bench.folder, bench.keys.kid)
    bench.keys = SigningKeys.open(bench.folder)
    assert "key" in bench.verifier().against(identity)
    bench.clock.at = NOW + 300
    assert bench.verifier().against(identity) == "", "a call may outlive its token"
