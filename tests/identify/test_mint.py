"""Minting: what a file allows and nothing beyond, in the form that the verifier takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jwt
import pytest

from gateway.errors import Problem
from gateway.identify import Wish, mint
from gateway.secret import Secret
from tests.identify.forge import AUDIENCE, ISSUER, NOW, Bench, agents, snapshot


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path / "keys")


def make(bench: Bench, wish: Wish = Wish(), name: str = "support-bot", now: float = NOW + 0.9, **changes: Any) -> Secret:  # noqa: B008
    return mint(bench.keys, agents(**changes)[name], wish, issuer=ISSUER, audience=AUDIENCE, now=now)


def claims(token: Secret) -> dict[str, Any]:
    return jwt.decode(token.reveal(), options={"verify_signature": False})


def test_a_minted_token_verifies_and_carries_what_was_wished(bench: Bench):
    token = make(bench, Wish(ttl_s=60, user="alice@example.com", scopes=("tickets:read",), run="run-7"))
    identity = bench.verifier().verify(token)
    assert (identity.agent, identity.user, identity.subject) == ("support-bot", "alice@example.com", "user:alice@example.com")
    assert (identity.scopes, identity.run, identity.expires_at, identity.actors) == (("tickets:read",), "run-7", NOW + 60, ())


def test_a_token_for_nobody_else_has_the_agent_as_its_subject(bench: Bench):
    found = claims(make(bench))
    assert (found["sub"], found["client_id"], "act" in found) == ("agent:support-bot", "support-bot", False)
    assert found["scope"] == "tickets:read tickets:write"


def test_the_header_has_three_members(bench: Bench):
    assert jwt.get_unverified_header(make(bench).reveal()) == {"typ": "at+jwt", "alg": "ES256", "kid": bench.keys.kid}


def test_a_library_that_nobody_here_wrote_verifies_it_with_the_published_key(bench: Bench):
    key = jwt.PyJWKSet.from_dict(bench.keys.jwks())[bench.keys.kid]
    options: Any = {"verify_exp": False, "verify_iat": False}
    found = jwt.decode(make(bench).reveal(), key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER, options=options)
    assert found["client_id"] == "support-bot"


@pytest.mark.parametrize(
    ("wished", "cap", "lives"), [(None, 900, 900), (60, 900, 60), (5_000, 900, 900), (9_999, 3_600, 3_600), (9_999, 99_999, 3_600)]
)
def test_a_life_is_the_least_of_the_wish_the_agents_cap_and_an_hour(bench: Bench, wished: int | None, cap: int, lives: int):
    found = claims(make(bench, Wish(ttl_s=wished), ttl_s=cap))
    assert (found["iat"], found["exp"]) == (NOW, NOW + lives)


def test_every_token_has_its_own_id(bench: Bench):
    assert len({claims(make(bench))["jti"] for _ in range(50)}) == 50


@pytest.mark.parametrize(
    ("wish", "changes", "code"),
    [
        (Wish(), {"status": "suspended"}, "agent_not_active"),
        (Wish(), {"status": "retired"}, "agent_not_active"),
        (Wish(ttl_s=0), {}, "bad_duration"),
        (Wish(ttl_s=-5), {}, "bad_duration"),
        (Wish(scopes=("admin",)), {}, "scope_beyond_agent"),
        (Wish(user="al\nice"), {}, "bad_name"),
        (Wish(user=""), {}, "bad_name"),
        (Wish(run="a b"), {}, "bad_name"),
        (Wish(), {"audiences": ("https://other.example/tools",)}, "audience_beyond_agent"),
    ],
)
def test_what_the_agents_file_does_not_allow_is_not_minted(bench: Bench, wish: Wish, changes: dict[str, Any], code: str):
    with pytest.raises(Problem) as caught:
        make(bench, wish, **changes)
    assert caught.value.code == code and caught.value.remedy


def test_an_agent_that_may_not_act_for_users_gets_no_token_for_one(bench: Bench):
    with pytest.raises(Problem) as caught:
        make(bench, Wish(user="alice"), name="kb-search")
    assert caught.value.code == "may_not_delegate" and "may_act_for_users" in caught.value.remedy


def test_a_lapsed_registration_gets_no_token(bench: Bench):
    with pytest.raises(Problem) as caught:
        make(bench, now=1_893_542_400)  # 2030-01-02
    assert caught.value.code == "agent_not_active"


def test_empty_scopes_are_no_scope_rather_than_all(bench: Bench):
    assert bench.verifier(snapshot()).verify(make(bench, Wish(scopes=()))).scopes == ()
