"""One-time codes, and the keys that they let in."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.stores.database import FILE, Database
from gateway.stores.enrolment import CODE_LIFE_S, KEYS_PER_AGENT_MAX, Enrolments
from tests.identify.forge import NOW, Clock
from tests.journeys.token_clients import Key


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def enrolments(tmp_path: Path, clock: Clock) -> Iterator[Enrolments]:
    database = Database.open(tmp_path)
    yield Enrolments(database, clock)
    database.close()


def jwk(key: Key) -> dict[str, Any]:
    return key.jwk | {"kid": key.thumbprint}


async def test_a_code_lets_one_key_in_for_its_agent(enrolments: Enrolments):
    code, keys = enrolments.new_code("bot"), [Key("a") for _ in range(8)]
    assert await enrolments.agent_of(code) == "bot"
    found = await asyncio.gather(*(enrolments.enrol(code, jwk(key)) for key in keys))
    [kept] = [enrolled for enrolled in found if enrolled]
    assert (kept.agent, kept.at, enrolments.keys("bot")) == ("bot", NOW, (kept,))
    assert await enrolments.agent_of(code) is None and enrolments.keys("other") == ()


async def test_a_code_counts_for_ten_minutes(enrolments: Enrolments, clock: Clock):
    code = enrolments.new_code("bot")
    clock.at = NOW + CODE_LIFE_S - 1
    assert await enrolments.agent_of(code) == "bot"
    clock.at = NOW + CODE_LIFE_S
    assert await enrolments.agent_of(code) is None and await enrolments.enrol(code, jwk(Key("a"))) is None


async def test_a_new_code_of_an_agent_takes_the_place_of_the_old(enrolments: Enrolments):
    old, other, new = enrolments.new_code("bot"), enrolments.new_code("other"), enrolments.new_code("bot")
    assert [await enrolments.agent_of(code) for code in (old, other, new)] == [None, "other", "bot"]


@pytest.mark.parametrize("code", ["", "enrol-", "enrol-" + "0" * 40, "' or 1=1 --", "x" * 10_000])
async def test_a_guess_is_nobodys(enrolments: Enrolments, code: str):
    enrolments.new_code("bot")
    assert await enrolments.agent_of(code) is None and await enrolments.enrol(code, jwk(Key("a"))) is None


async def test_a_key_that_is_known_is_not_let_in_again_and_the_code_still_counts(enrolments: Enrolments):
    key = Key("a")
    assert await enrolments.enrol(enrolments.new_code("bot"), jwk(key))
    code = enrolments.new_code("other")
    assert await enrolments.enrol(code, jwk(key)) is None
    assert await enrolments.enrol(code, jwk(Key("b")))


async def test_an_agent_has_only_so_many_keys(enrolments: Enrolments):
    for _ in range(KEYS_PER_AGENT_MAX):
        assert await enrolments.enrol(enrolments.new_code("bot"), jwk(Key("a")))
    assert await enrolments.enrol(enrolments.new_code("bot"), jwk(Key("a"))) is None


async def test_the_next_process_knows_the_keys_and_no_file_holds_a_code(tmp_path: Path, enrolments: Enrolments):
    code, key = enrolments.new_code("bot"), Key("a")
    pending = enrolments.new_code("other")
    assert await enrolments.enrol(code, jwk(key))
    again = Database.open(tmp_path)
    assert [e.key.thumbprint for e in Enrolments(again).keys("bot")] == [key.thumbprint]
    again.close()
    whole = b"".join(path.read_bytes() for path in tmp_path.glob(f"{FILE}*"))
    assert code.encode() not in whole and pending.encode() not in whole
