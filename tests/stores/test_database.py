"""The state is kept where only the gateway may read it, and a state that cannot be read stops the start."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from gateway.errors import Problem, Problems
from gateway.stores.database import FILE, Database
from gateway.trust import Trust


def test_the_folder_and_its_file_are_made_for_the_owner_alone(tmp_path: Path):
    Database.open(tmp_path / "state").close()
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "state" / FILE).stat().st_mode) == 0o600


async def test_work_is_one_transaction_and_all_or_nothing(tmp_path: Path):
    database = Database.open(tmp_path)
    database.now(lambda c: c.execute("create table t (a integer)"))

    def half(connection):
        connection.execute("insert into t values (1)")
        raise ValueError

    with pytest.raises(ValueError):
        await database.run(half)
    assert await database.run(lambda c: c.execute("select count(*) from t").fetchone()) == (0,)
    database.close()


def test_a_place_that_cannot_be_written_is_a_problem(tmp_path: Path):
    (tmp_path / "state").write_text("a file")
    with pytest.raises(Problem) as caught:
        Database.open(tmp_path / "state")
    assert caught.value.code == "state_unusable" and caught.value.remedy


@pytest.mark.parametrize("damage", [b"not a database at all, but long enough to look at" * 40])
def test_a_damaged_state_stops_the_start(tmp_path: Path, damage: bytes):
    (tmp_path / FILE).write_bytes(damage)
    with pytest.raises(Problems) as caught:
        Trust.open(tmp_path, lambda *_: None)
    assert [p.code for p in caught.value.problems] == ["state_unusable"]
