"""An export of some calls holds those calls and what came of them, and nothing of others."""

import pytest

from gateway.record import BrokenLine, LogReader, Query
from gateway.record.export import selected
from tests.record.world import files, opened, result

WHO = {"agent": "billing", "user": "alice"}


@pytest.fixture
async def log(tmp_path):
    """0 open, 1 billing, 2 other, 3 result of 2, 4 result of 1, 5 recover of both again, 6 close."""
    async with opened(tmp_path) as log:
        allowed = {"id": "c", "who": WHO, "authz": {"decision": "allow"}, "code": ""}
        await log.append("call", allowed)
        await log.append("call", allowed | {"who": {"agent": "other"}})
        await log.append("result", result(2, 2))
        await log.append("result", result(1, 1))
        await log.append("recover", {"status": "unknown", "calls": [1, 2], "torn": []})
    return tmp_path


def numbers(folder, **query) -> list[int]:
    return [record.n for record in selected(LogReader(folder / "log"), Query(**query))]


def test_without_a_selection_every_record_is_taken(log):
    assert numbers(log) == [0, 1, 2, 3, 4, 5, 6]


def test_calls_are_taken_with_what_came_of_them(log):
    assert numbers(log, agent="billing") == [1, 4]
    assert numbers(log, agent="other") == [2, 3]
    assert numbers(log, decision="allow") == [1, 2, 3, 4]
    assert numbers(log, agent="nobody") == []


def test_a_time_takes_records_of_any_kind_and_outcomes_of_its_calls_also_later(log):
    times = [record.t for record in LogReader(log / "log").records()]
    assert numbers(log, since_t=times[3]) == [n for n, t in enumerate(times) if t >= times[3]]
    assert numbers(log, until_t=times[3]) == [n for n, t in enumerate(times) if t < times[3]]
    if times[1] < times[2]:
        assert numbers(log, user="alice", until_t=times[2]) == [1, 4]


def test_a_record_out_of_place_ends_the_export(log):
    path = files(log)[0]
    path.write_bytes(path.read_bytes().replace(b'{"n":3', b'{"n":4'))
    with pytest.raises(BrokenLine):
        numbers(log)
