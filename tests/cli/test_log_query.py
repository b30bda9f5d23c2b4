"""`portreeve log query`, `open` and `index rebuild` on a real log."""

import json
import sqlite3

import pytest

from tests.cli.test_log import AUTHZ, HALTED, WHAT, WHO, files, run
from tests.record.world import ENTITIES, POLICIES, SCHEMA, opened, result

BLOBS = (POLICIES, SCHEMA, ENTITIES)
READ = WHAT | {"op": "list", "effect": "read"}


@pytest.fixture
async def log(tmp_path):
    """1 allowed and ok, 3 halted, 4 open (read), 5 open (write), 6 allowed by another agent and unknown."""
    async with opened(tmp_path) as log:
        allowed = {"id": "c", "who": WHO, "what": WHAT, "authz": AUTHZ, "code": ""}
        await log.append("call", allowed, blobs=BLOBS)
        await log.append("result", result(1, 1))
        await log.append("call", allowed | {"authz": HALTED, "code": "denied"})
        await log.append("call", allowed | {"what": READ})
        await log.append("call", allowed)
        await log.append("call", allowed | {"who": WHO | {"agent": "\x1b[2Jother"}})
        await log.append("result", result(6, 6) | {"status": "unknown"})
    return tmp_path / "log"


def found(log, *words, command="query") -> list[dict]:
    done = run(command, "--log", log, "--json", *words)
    return [json.loads(line) for line in done.stdout.splitlines()]


def numbers(log, *words) -> list[int]:
    return [call["n"] for call in found(log, *words)]


def test_calls_are_found_by_what_is_known_of_them(log):
    assert numbers(log) == [6, 5, 4, 3, 1]
    for words, wanted in (
        (["--agent", "billing"], [5, 4, 3, 1]),
        (["--user", "alice", "--limit", 2], [6, 5]),
        (["--run", "none"], []),
        (["--tool", "tickets", "--operation", "list"], [4]),
        (["--decision", "deny"], [3]),
        (["--reason", "gateway:halted"], [3]),
        (["--code", "denied"], [3]),
        (["--status", "ok"], [1]),
        (["--status", "open"], [5, 4]),
        (["--since", "1h"], [6, 5, 4, 3, 1]),
        (["--until", "1h"], []),
        (["--since", "2999-01-01"], []),
    ):
        assert numbers(log, *words) == wanted
        assert numbers(log, *words, "--scan") == wanted
        for way in ([], ["--scan"]):
            total = run("query", "--log", log, *words, "--count", *way).stdout.strip()
            assert int(total) == (5 if "--limit" in words else len(wanted))


def test_people_get_a_table_that_moves_no_cursor(log):
    text = run("query", "--log", log).stdout
    assert text.splitlines()[0].split()[:2] == ["n", "time"]
    assert "small-refunds" in text
    assert "gateway:halted [denied]" in text
    assert "\x1b" not in text


def test_machines_get_an_object_a_line_and_a_count(log):
    first = found(log, "--limit", 1)[0]
    assert (first["n"], first["status"], first["closed_by"], first["reasons"]) == (6, "unknown", 7, ["small-refunds"])
    assert json.loads(run("query", "--log", log, "--count", "--json").stdout) == {"count": 5}


def test_open_lists_what_nobody_knows_the_end_of_and_whether_it_may_be_repeated(log):
    done = run("open", "--log", log)
    assert done.exit_code == 3
    lines = [line.split() for line in done.stdout.splitlines()[1:]]
    assert [(line[0], line[-1]) for line in lines] == [("6", "ask"), ("5", "ask"), ("4", "yes")]
    assert "\x1b" not in done.stdout
    objects = found(log, "--agent", "billing", command="open")
    assert [(o["n"], o["status"], o["repeatable"]) for o in objects] == [(5, "open", False), (4, "open", True)]
    assert all(0 <= o["age_s"] < 3_600 for o in objects)
    done = run("open", "--log", log, "--tool", "none")
    assert (done.exit_code, "every allowed call has an outcome" in done.stdout) == (0, True)
    assert run("open", "--log", log, "--since", "2999-01-01").exit_code == 0


async def test_what_a_crash_left_open_is_unknown_until_somebody_looks(log):
    async with opened(log.parent):
        pass
    assert [o["status"] for o in found(log, command="open")] == ["unknown"] * 3


def test_the_index_is_made_anew_on_request(log):
    assert json.loads(run("index", "rebuild", "--log", log, "--json").stdout)["calls"] == 5
    with sqlite3.connect(log / "index.db") as connection:
        connection.execute("DELETE FROM calls")
    connection.close()
    assert numbers(log) == []  # the index is believed, as the log is: neither proves anything
    assert numbers(log, "--scan") == [6, 5, 4, 3, 1]
    assert "5 calls indexed" in run("index", "rebuild", "--log", log).stdout
    assert numbers(log) == [6, 5, 4, 3, 1]


def test_a_folder_in_which_no_index_can_be_made_is_read_all_the_same(log):
    (log / "index.lock").mkdir()
    assert numbers(log) == [6, 5, 4, 3, 1]
    assert run("index", "rebuild", "--log", log).exit_code == 3


def test_a_broken_log_is_told_without_a_traceback(log):
    path = files(log.parent)[0]
    path.write_bytes(path.read_bytes().replace(b'{"n":3', b"{n:3"))
    for words in (["query"], ["query", "--scan"], ["open"], ["index", "rebuild"], ["query", "--count"]):
        done = run(*words, "--log", log)
        assert done.exit_code == 1
        assert "portreeve log verify" in done.stderr
