"""The index answers as reading the whole log would, whatever the log holds and whatever has become of the index."""

import asyncio
import shutil
import sqlite3
import stat
from dataclasses import fields, replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.canonical import loads_trusted
from gateway.record import BrokenLine, LogReader
from gateway.record.calls import Query, scan_calls
from gateway.record.index import CallIndex, IndexUnusable, count_calls, find_calls
from tests.record.world import files, opened, small_log

NAMES = ["", "billing", "support", "x' OR 1=1 --", "bob\u2028", "\x00", "%"]
name = st.sampled_from(NAMES)
decisions = st.sampled_from(["allow", "deny", "hold", "error"])
statuses = st.sampled_from(["ok", "error", "unknown", "open"])
odd = st.sampled_from([None, 7, [], {}, ["a"]])
calls = st.fixed_dictionaries(
    {
        "id": name,
        "who": st.fixed_dictionaries({"agent": name | odd, "user": name | odd, "run": name}) | odd,
        "what": st.fixed_dictionaries({"tool": name, "op": name, "effect": name}) | odd,
        "authz": st.fixed_dictionaries({"decision": decisions, "reasons": st.lists(name, max_size=3) | odd}) | st.none(),
        "code": st.sampled_from(["", "", "denied"]),
    }
)
results = st.fixed_dictionaries({"call": st.integers(-1, 12) | odd, "status": statuses | odd})
recovers = st.fixed_dictionaries({"calls": st.lists(st.integers(0, 12) | odd, max_size=4), "status": st.just("unknown")})
bodies = st.one_of(calls.map(lambda b: ("call", b)), results.map(lambda b: ("result", b)), recovers.map(lambda b: ("recover", b)))
queries = st.builds(
    Query,
    agent=st.none() | name,
    user=st.none() | name,
    run=st.none() | name,
    tool=st.none() | name,
    operation=st.none() | name,
    decision=st.none() | decisions | st.just("refused"),
    reason=st.none() | name,
    code=st.none() | st.sampled_from(["", "denied"]),
    status=st.none() | statuses | st.just(""),
    before=st.none() | st.integers(0, 14),
    limit=st.integers(0, 5) | st.just(50),
)
single = [
    Query(**{f.name: value})
    for f in fields(Query)
    if f.default is None and f.name not in {"since_t", "until_t", "before"}
    for value in ("", "billing")
]


@pytest.mark.slow
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(written=st.lists(st.lists(bodies, max_size=6), min_size=1, max_size=3), asked=st.lists(queries, min_size=4, max_size=8))
def test_the_index_answers_as_the_log_does_also_after_the_log_has_grown(tmp_path, written, asked):
    shutil.rmtree(tmp_path / "log", ignore_errors=True)

    async def grow(part) -> None:
        async with opened(tmp_path, segment_bytes_max=900) as log:
            await asyncio.gather(*(log.append(kind, dict(body)) for kind, body in part))

    index = None
    for part in written:
        asyncio.run(grow(part))
        reader = LogReader(tmp_path / "log")
        index = index or CallIndex(reader)
        times = [loads_trusted(line)["t"] for path in files(tmp_path) for line in path.read_bytes().split(b"\n")[:-1]]
        timed = [Query(since_t=t, until_t=t + by) for t in times[::3] for by in (0, 1, 10**6)]
        for query in [*asked, *single, *timed]:
            assert index.search(query) == scan_calls(reader, query), query
            assert index.count(query) == len(scan_calls(reader, replace(query, limit=99)))


@pytest.fixture
async def log(tmp_path):
    await small_log(tmp_path, calls=5)
    return tmp_path


def found(folder, **query):
    return [call.n for call in find_calls(LogReader(folder / "log"), Query(**query))]


def test_newest_first_and_no_more_than_asked_for(log):
    everything = found(log)
    assert everything == sorted(everything, reverse=True)
    assert len(everything) == 5
    assert found(log, limit=2) == everything[:2]
    assert found(log, before=everything[1]) == everything[2:]
    assert found(log, reason="small-refunds", status="ok") == everything
    assert found(log, status="open") == []


def test_the_index_is_for_its_owner_alone(log):
    assert found(log)
    for name in ("index.db", "index.lock"):
        assert stat.S_IMODE((log / "log" / name).stat().st_mode) == 0o600


def sql(folder, text: str) -> None:
    with sqlite3.connect(folder / "log" / "index.db") as connection:
        connection.execute(text)
    connection.close()


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM state",
        "UPDATE state SET origin = 'gw.example/other'",
        "UPDATE state SET version = 0",
        "UPDATE state SET leaf = '00'",
        "UPDATE state SET n = 3",
        "UPDATE state SET n = -1",
        "UPDATE state SET n = 'x'",
        "UPDATE state SET segment = 7, offset = 10",
        "UPDATE state SET offset = 1",
        "UPDATE state SET next = 0",
        "INSERT INTO state SELECT * FROM state",
        "DROP TABLE reasons",
        "DROP INDEX calls_t",
        "CREATE TRIGGER t AFTER INSERT ON calls BEGIN DELETE FROM calls; END",
        "CREATE VIEW v AS SELECT 1",
    ],
)
async def test_an_index_that_is_not_of_this_log_as_it_stands_is_made_anew(log, damage):
    before = found(log)
    sql(log, damage)
    sql(log, "DELETE FROM calls") if "n = 3" not in damage else None
    assert found(log) == before
    await small_log(log, calls=1)
    assert len(found(log)) == len(before) + 1


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\x00" + b"\xff" * 200])
def test_a_file_that_is_no_index_is_replaced_by_one(log, content):
    (log / "log" / "index.db").write_bytes(content)
    assert len(found(log)) == 5


async def test_the_index_of_another_log_is_not_taken_for_this_one_s(log, tmp_path):
    other = tmp_path / "other"
    await small_log(other, calls=2)
    assert len(found(other)) == 2
    shutil.copy(other / "log" / "index.db", log / "log" / "index.db")
    assert len(found(log)) == 5


async def test_a_log_whose_end_was_replaced_is_read_again(log):
    """Lines that were written and not yet durable can be cut, and others stand there then."""
    last = files(log)[-1]
    sound = last.read_bytes()
    assert found(log)
    last.write_bytes(sound[: sound.rindex(b"\n", 0, -1) + 1])
    assert found(log) == [call.n for call in scan_calls(LogReader(log / "log"), Query())]


def test_a_journal_that_an_old_index_left_is_not_played_into_the_new_one(log):
    index = log / "log" / "index.db"
    assert found(log)
    (log / "log" / "index.db-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 600)
    assert CallIndex(LogReader(log / "log")).rebuild() == 5
    assert not index.with_name("index.db-journal").exists()


def test_where_no_index_can_be_made_the_log_itself_is_read(log):
    (log / "log" / "index.lock").mkdir()
    assert len(found(log)) == 5
    assert count_calls(LogReader(log / "log"), Query(status="ok", limit=1)) == 5
    with pytest.raises(IndexUnusable):
        CallIndex(LogReader(log / "log")).rebuild()


@pytest.mark.parametrize(
    "damage", ["reasons = '{'", "reasons = '[1]'", "reasons = 7", "agent = 7", "t = 'x'", "closed_by = 'x'", "status = x'ff'", "reasons = 'null'"]
)
def test_rows_that_nobody_of_us_wrote_are_not_shown(log, damage):
    reader = LogReader(log / "log")
    before = find_calls(reader, Query())
    sql(log, f"UPDATE calls SET {damage}")
    assert find_calls(reader, Query()) == before  # from the log itself


def test_a_log_that_is_broken_is_told_and_not_indexed(log):
    path = files(log)[1]
    for change in ((b'"k":"call"', b'"k":["all"'), (b'{"n":5,', b'{"n":6,'), (b'"t":1', b'"t":-1')):
        sound = path.read_bytes()
        path.write_bytes(sound.replace(*change, 1))
        for read in (find_calls, scan_calls):
            with pytest.raises(BrokenLine):
                read(LogReader(log / "log"), Query())
        path.write_bytes(sound)
    assert len(found(log)) == 5


def test_progress_is_told(log):
    seen: list[int] = []
    CallIndex(LogReader(log / "log")).rebuild(seen.append)
    scan_calls(LogReader(log / "log"), Query(), seen.append)
    assert seen == sorted(seen[: len(seen) // 2]) * 2
    assert seen
