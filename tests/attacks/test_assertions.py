"""Assertions by which a client would be taken for an agent (RFC 7523): in each one thing is wrong, and each is refused for that thing."""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import pytest

from gateway.errors import Refusal
from gateway.identify.clients import Client, Clients
from gateway.identify.token import ascii_bytes, parse
from gateway.identities.jwk import VerifyingKey, read_jwk
from gateway.identities.model import EnrolledKeys, KeyCredential
from gateway.secret import Secret
from tests.identify.forge import ABSENT, NOW, Clock, encoded, snapshot
from tests.journeys.token_clients import Key

AUDIENCES = frozenset({"https://gw.example.com", "https://gw.example.com/oauth2/token"})
MINE, ENROLLED, OTHERS = Key("support-bot-1"), Key("enrolled-1"), Key("planner-1")
Make = Callable[[], str]


@dataclass
class Kept:
    key: VerifyingKey


def known(**changes: Any) -> Clients:
    """support-bot has a key in its file and one that it enrolled; planner has a key."""
    mine = KeyCredential("support-bot-1", read_jwk(MINE.jwk | {"kid": MINE.kid}), changes.pop("not_after", None))
    identities = snapshot(credentials=(mine, *changes.pop("more", (EnrolledKeys(),))), **changes)
    planner = replace(identities.agents["planner"], credentials=(KeyCredential("planner-1", read_jwk(OTHERS.jwk | {"kid": OTHERS.kid})),))
    identities = replace(identities, agents={**identities.agents, "planner": planner})
    return Clients(identities, lambda _: [Kept(read_jwk(ENROLLED.jwk | {"kid": ENROLLED.kid}))], AUDIENCES, Clock(NOW))


def assertion(key: Key = MINE, header: dict[str, Any] | None = None, **claims: Any) -> str:
    good = {"aud": "https://gw.example.com", "iat": NOW, "exp": NOW + 60, "jti": "one"}
    return key.assertion("support-bot", header=header, **{**good, **claims})


def prove(text: str, clients: Clients | None = None) -> Client:
    clients = clients or known()
    parsed = parse(ascii_bytes(Secret(text)))
    if not clients.names(parsed):
        raise Refusal("invalid_token", reason="names no agent")
    return clients.prove(parsed)


def claims(**changes: Any) -> Make:
    return lambda: assertion(**changes)


def header(**changes: Any) -> Make:
    return lambda: assertion(header=changes)


ASSERTIONS: dict[str, tuple[Make, str]] = {
    "another agent's key": (lambda: assertion(OTHERS), "kid is not"),
    "another agent's key under this agent's name for it": (lambda: assertion(OTHERS, {"kid": MINE.kid}), "signature"),
    "a stranger's key": (lambda: assertion(Key(MINE.kid)), "signature"),
    "iss of an agent that has no key": (claims(iss="kb-search", sub="kb-search"), "kid is not"),
    "iss of nobody": (claims(iss="nobody", sub="nobody"), "names no agent"),
    "iss missing": (claims(iss=ABSENT), "names no agent"),
    "iss a list": (claims(iss=["support-bot"]), "names no agent"),
    "iss with the prefix of subjects": (claims(iss="agent:support-bot"), "names no agent"),
    "sub another agent": (claims(sub="planner"), "sub is not"),
    "sub missing": (claims(sub=ABSENT), "sub is missing"),
    "sub a user": (claims(sub="user:alice"), "sub is not"),
    "aud missing": (claims(aud=ABSENT), "aud is missing"),
    "aud another gateway": (claims(aud="https://other.example"), "aud is not"),
    "aud the tools": (claims(aud="https://gw.example.com/tools"), "aud is not"),
    "aud with another, too": (claims(aud=["https://gw.example.com", "https://other.example"]), "names more than one"),
    "aud with a slash": (claims(aud="https://gw.example.com/"), "aud is not"),
    "exp missing": (claims(exp=ABSENT), "exp is missing"),
    "exp now": (claims(iat=NOW - 60, exp=NOW), "expired"),
    "exp in five minutes and a second": (claims(exp=NOW + 301), "within 300 s"),
    "exp in five minutes and a second, without iat": (claims(iat=ABSENT, exp=NOW + 301), "within 300 s"),
    "exp a text": (claims(exp=str(NOW + 60)), "exp is missing or not a whole number"),
    "iat ahead": (claims(iat=NOW + 31), "not valid for another 31 s"),
    "nbf ahead": (claims(nbf=NOW + 31), "not valid for another 31 s"),
    "jti missing": (claims(jti=ABSENT), "jti is missing"),
    "jti empty": (claims(jti=""), "alphabet"),
    "jti with a newline": (claims(jti="a\nb"), "alphabet"),
    "typ of an access token": (header(typ="at+jwt"), "typ"),
    "typ of a proof": (header(typ="dpop+jwt"), "typ"),
    "alg none": (header(alg="none"), "algorithm of this key"),
    "alg HS256 with the public key": (
        lambda: (
            MINE.assertion("support-bot", header={"alg": "HS256"}).rsplit(".", 1)[0] + "." + hmac.new(encoded(MINE.jwk), b"x", "sha256").hexdigest()
        ),
        "algorithm of this key",
    ),
    "kid missing": (header(kid=ABSENT), "kid or alg"),
    "kid unknown": (header(kid="support-bot-2"), "kid is not"),
    "its own key in the header": (lambda: assertion(Key(MINE.kid), {"jwk": MINE.jwk}), "'jwk'"),
    "jku": (header(jku="https://evil.example"), "'jku'"),
    "x5t": (header(x5t="AAAA"), "'x5t'"),
    "a chain of actors that is none": (claims(act="planner"), "act"),
}


@pytest.mark.parametrize(("make", "reason"), ASSERTIONS.values(), ids=ASSERTIONS.keys())
def test_an_assertion_that_proves_nothing_is_refused_for_that(make: Make, reason: str):
    with pytest.raises(Refusal) as caught:
        prove(make())
    assert caught.value.code == "invalid_token" and reason in caught.value.reason


@pytest.mark.parametrize("audience", [*sorted(AUDIENCES), ["https://gw.example.com"]])
def test_a_good_assertion_proves_the_agent_and_has_a_name_to_be_used_once(audience: Any):
    client = prove(assertion(aud=audience))
    assert (client.agent.id, client.auth, client.key_id, client.name) == ("support-bot", "key", "support-bot-1", "assertion support-bot one")
    assert prove(assertion(iat=ABSENT)).agent.id == "support-bot"


def test_a_key_that_the_agent_enrolled_proves_it_where_its_file_says_so():
    assert prove(assertion(ENROLLED)).auth == "enrolled"
    for more in ((), (EnrolledKeys(date(2027, 1, 14)),)):
        with pytest.raises(Refusal, match="kid is not"):
            prove(assertion(ENROLLED), known(more=more))


def test_a_key_ends_on_its_last_day():
    assert prove(assertion(), known(not_after=date(2027, 1, 15))).agent.id == "support-bot"
    with pytest.raises(Refusal, match="kid is not"):
        prove(assertion(), known(not_after=date(2027, 1, 14)))  # NOW is in the morning of 2027-01-15
