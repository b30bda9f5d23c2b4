"""Which change of an agent's file means that it may have less."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from gateway.identities.model import Agent, Delegation, EnrolledKeys, FederatedCredential
from gateway.identities.narrowing import is_narrower, rights_of

CREDENTIALS = (FederatedCredential("ci", {"sub": "repo:a/b"}), EnrolledKeys())
DELEGATION = Delegation(may_act_for_users=True, user_issuers=("idp",), may_delegate_to=("a", "b"), max_depth=2)
FULL = Agent("bot", "team:x", "", "active", scopes=("a", "b"), ttl_s=600, delegation=DELEGATION, credentials=CREDENTIALS)


def changed(**changes: Any) -> Agent:
    of_delegation = {name: changes.pop(name) for name in list(changes) if name in Delegation.__dataclass_fields__}
    return replace(FULL, delegation=replace(DELEGATION, **of_delegation), **changes)


@pytest.mark.parametrize(
    "less",
    [
        {"status": "suspended"},
        {"status": "retired"},
        {"scopes": ("a",)},
        {"scopes": ("a", "c")},
        {"ttl_s": 599},
        {"audiences": ("https://gw.example.com/tools",)},
        {"expires": date(2030, 1, 1)},
        {"pop": "required"},
        {"may_act_for_users": False},
        {"user_issuers": ()},
        {"may_delegate_to": ("a",)},
        {"max_depth": 1},
        {"credentials": CREDENTIALS[:1]},
        {"credentials": (FederatedCredential("ci", {"sub": "repo:a/c"}), EnrolledKeys())},
    ],
)
def test_less_of_anything_is_narrower_and_the_way_back_is_not(less: dict[str, Any]):
    full, narrow = rights_of(FULL), rights_of(changed(**less))
    assert is_narrower(full, narrow)
    if less != {"scopes": ("a", "c")} and "credentials" not in less:
        assert not is_narrower(narrow, full)


def test_an_agent_that_is_gone_has_less_and_one_that_was_not_in_use_had_nothing():
    assert is_narrower(rights_of(FULL), None)
    assert not is_narrower(rights_of(changed(status="suspended")), None)


@pytest.mark.parametrize("same", [{}, {"owner": "team:y"}, {"groups": ("x",)}, {"description": "new"}, {"scopes": ("b", "a", "c")}, {"ttl_s": 900}])
def test_what_takes_nothing_away_is_not_narrower(same: dict[str, Any]):
    assert not is_narrower(rights_of(FULL), rights_of(changed(**same)))


def test_one_audience_less_is_narrower_and_none_named_is_every_one():
    two, one = rights_of(changed(audiences=("https://a.x", "https://b.x"))), rights_of(changed(audiences=("https://a.x",)))
    assert is_narrower(two, one) and not is_narrower(one, two) and not is_narrower(two, rights_of(FULL))
