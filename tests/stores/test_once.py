"""A name is used once, whoever asks and however many ask at once; what cannot be remembered is refused."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Refusal
from gateway.stores.database import Database
from gateway.stores.once import MemoryOnce, Once, SqliteOnce
from tests.identify.forge import NOW, Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["memory", "sqlite"])
def once(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[Once]:
    if request.param == "memory":
        yield MemoryOnce(clock, entries_max=3)
        return
    database = Database.open(tmp_path)
    yield SqliteOnce(database, clock, entries_max=3)
    database.close()


async def test_a_name_is_taken_once_by_one_of_many(once: Once):
    assert sorted(await asyncio.gather(*(once.take("a", NOW + 60) for _ in range(20)))) == [False] * 19 + [True]
    assert await once.take("b", NOW + 60)


async def test_a_name_is_free_again_when_what_it_names_has_expired(once: Once, clock: Clock):
    assert await once.take("a", NOW + 60)
    clock.at = NOW + 59.9
    assert not await once.take("a", NOW + 120)
    clock.at = NOW + 60
    assert await once.take("a", NOW + 120)


async def test_when_it_is_full_nothing_is_forgotten_and_nothing_taken(once: Once, clock: Clock):
    for name in ("a", "b", "c"):
        assert await once.take(name, NOW + 60)
    with pytest.raises(Refusal) as caught:
        await once.take("d", NOW + 60)
    assert caught.value.code == "overloaded"
    assert not await once.take("a", NOW + 60) if isinstance(once, MemoryOnce) else True
    clock.at = NOW + 60
    assert await once.take("d", NOW + 120)


async def test_a_long_name_and_an_odd_one_are_names(once: Once):
    for name in ("x" * 100_000, "\udcff\0'"):
        assert await once.take(name, NOW + 60)
        assert not await once.take(name, NOW + 60)


async def test_what_was_used_stays_used_in_the_next_process(tmp_path: Path, clock: Clock):
    for expected in (True, False):
        database = Database.open(tmp_path)
        assert await SqliteOnce(database, clock).take("a", NOW + 60) is expected
        database.close()


async def test_a_database_that_fails_refuses(tmp_path: Path, clock: Clock):
    database = Database.open(tmp_path)
    once = SqliteOnce(database, clock)
    database.now(lambda c: c.execute("drop table used_name"))
    with pytest.raises(Refusal) as caught:
        await once.take("a", NOW + 60)
    assert caught.value.code == "overloaded"
    database.close()
