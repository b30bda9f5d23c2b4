"""Keys move on without a moment in which a token that is out does not verify, wherever a rotation ends."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gateway.doors.tokens import MAX_AGE_S
from gateway.errors import Problem
from gateway.identify import SigningKeys
from gateway.identify.rotation import PUBLISHED_S, RETIRED_S, compromise, list_keys, rotate
from gateway.identities.issuer import TTL_S_MAX
from tests.identify.forge import NOW


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    found = tmp_path / "keys"
    SigningKeys.open(found)
    return found


def states(folder: Path) -> list[tuple[str, str]]:
    return [(key.kid, key.state) for key in list_keys(folder)]


def age(folder: Path, state: str, at: float) -> None:
    for key in list_keys(folder):
        if key.state == state:
            os.utime(key.path, (at, at))


def test_a_key_is_published_for_longer_than_others_keep_the_set_and_kept_for_longer_than_its_tokens_live():
    assert PUBLISHED_S >= MAX_AGE_S + 300
    assert RETIRED_S > TTL_S_MAX


def test_the_first_rotation_publishes_and_the_next_one_lets_it_sign(folder: Path):
    first = SigningKeys.open(folder).kid
    published = rotate(folder, now=lambda: NOW)
    assert (published.active, published.retired, published.wait_s) == (first, "", PUBLISHED_S)
    age(folder, "next", NOW)
    early = rotate(folder, now=lambda: NOW + PUBLISHED_S - 1)
    assert (early.next, early.retired, early.wait_s) == (published.next, "", 1)
    moved = rotate(folder, now=lambda: NOW + PUBLISHED_S)
    assert (moved.active, moved.retired) == (published.next, first)
    assert states(folder) == [(moved.active, "active"), (moved.next, "next"), (first, "retired")]
    assert SigningKeys.open(folder).kid == moved.active


def test_a_retired_key_goes_when_its_last_token_is_dead_and_not_before(folder: Path):
    first = SigningKeys.open(folder).kid
    rotate(folder)
    rotate(folder, at_once=True)
    age(folder, "retired", NOW)
    assert rotate(folder, now=lambda: NOW + RETIRED_S - 1).gone == ()
    assert rotate(folder, now=lambda: NOW + RETIRED_S).gone == (first,)
    assert first not in SigningKeys.open(folder).public


def test_a_key_that_signed_for_a_year_stays_for_as_long_after_it_as_any_other(folder: Path):
    os.utime(folder / "active.pem", (NOW - 31_536_000, NOW - 31_536_000))
    rotate(folder, now=lambda: NOW)
    rotate(folder, at_once=True, now=lambda: NOW)
    assert rotate(folder, now=lambda: NOW + 1).gone == ()


def test_a_rotation_that_ended_in_the_middle_is_in_order_and_goes_on(folder: Path):
    first = SigningKeys.open(folder).kid
    published = rotate(folder)
    os.link(folder / "active.pem", folder / f"retired-{first[:16]}.pem")  # it ended here
    keys = SigningKeys.open(folder)
    assert (keys.kid, set(keys.public)) == (first, {first, published.next})
    moved = rotate(folder, at_once=True)
    assert (moved.active, moved.retired) == (published.next, first)
    assert set(SigningKeys.open(folder).public) == {first, published.next, moved.next}


@pytest.mark.parametrize("state", ["active", "next", "retired"])
def test_a_compromised_key_is_gone_whatever_its_state_and_another_signs(folder: Path, state: str):
    rotate(folder)
    rotate(folder, at_once=True)
    before = SigningKeys.open(folder)
    (kid,) = (kid for kid, its in states(folder) if its == state)
    moved = compromise(folder, kid)
    after = SigningKeys.open(folder)
    assert kid not in after.public and moved.active == after.kid
    assert (after.kid == before.kid) == (state != "active")


def test_a_compromised_key_that_a_broken_rotation_left_two_names_loses_both(folder: Path):
    first = SigningKeys.open(folder).kid
    os.link(folder / "active.pem", folder / f"retired-{first[:16]}.pem")
    compromise(folder, first)
    assert first not in SigningKeys.open(folder).public


def test_without_a_next_key_a_compromise_makes_a_new_one(folder: Path):
    first = SigningKeys.open(folder).kid
    moved = compromise(folder, first)
    assert set(SigningKeys.open(folder).public) == {moved.active} and moved.active != first
    assert sorted(path.name for path in folder.iterdir()) == ["active.pem"]


def test_an_unknown_key_is_said_to_be_unknown(folder: Path):
    with pytest.raises(Problem) as caught:
        compromise(folder, "x")
    assert SigningKeys.open(folder).kid in caught.value.remedy


def test_new_keys_are_readable_by_their_owner_alone(folder: Path):
    rotate(folder)
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
