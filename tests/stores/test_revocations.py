"""What was revoked does not count any more, in this process and in the next."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.errors import Refusal
from gateway.stores.database import Database
from gateway.stores.revocations import MemoryRevocations, Revocations, SqliteRevocations
from tests.identify.forge import NOW, Clock


@pytest.fixture(params=["memory", "sqlite"])
def revocations(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Revocations]:
    if request.param == "memory":
        yield MemoryRevocations(Clock())
        return
    database = Database.open(tmp_path)
    yield SqliteRevocations(database, Clock())
    database.close()


async def test_a_revoked_token_is_revoked_and_no_other(revocations: Revocations):
    await revocations.revoke("one", NOW + 60)
    await revocations.revoke("one", NOW + 30)
    assert revocations.is_revoked("one") and not revocations.is_revoked("two")


async def test_the_next_process_knows_what_was_revoked_until_it_would_have_expired(tmp_path: Path):
    clock = Clock()
    database = Database.open(tmp_path)
    first = SqliteRevocations(database, clock)
    await first.revoke("long", NOW + 600)
    await first.revoke("long", NOW + 30)
    await first.revoke("short", NOW + 60)
    clock.at = NOW + 60
    database.close()
    again = Database.open(tmp_path)
    second = SqliteRevocations(again, clock)
    assert second.is_revoked("long") and not second.is_revoked("short")
    await second.revoke("new", NOW + 600)
    assert again.now(lambda c: c.execute("select count(*) from revoked_token").fetchone()) == (2,), "what has expired is removed"
    again.close()


async def test_a_revocation_that_cannot_be_kept_is_refused_and_not_half_done(tmp_path: Path):
    database = Database.open(tmp_path)
    revocations = SqliteRevocations(database, Clock())
    database.now(lambda c: c.execute("drop table revoked_token"))
    with pytest.raises(Refusal) as caught:
        await revocations.revoke("one", NOW + 60)
    assert caught.value.code == "log_unavailable" and not revocations.is_revoked("one")
    database.close()
