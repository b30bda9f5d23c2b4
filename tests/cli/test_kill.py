"""`portreeve kill` must not miss, must not be lifted unrecorded, and says what it did."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.kill import What, kill, unkill
from gateway.cli.main import app
from gateway.config.load import load
from gateway.errors import Problem
from gateway.stores.database import Database
from gateway.stores.halts import HaltStore
from gateway.stores.revocations import SqliteRevocations
from tests.journeys.place import records, token_of, write_place

run = CliRunner().invoke


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_place(tmp_path, 1)
    return tmp_path


def halted(place: Path) -> set[str]:
    database = Database.open(load(place).state)
    found = {str(halt) for halt in HaltStore(database).board.halts.values()}
    database.close()
    return found


@pytest.mark.parametrize(("what", "name", "near"), [("agent", "writr", "writer"), ("tool", "note", "notes")])
def test_a_name_that_nobody_has_is_refused_with_what_was_meant(place: Path, what: str, name: str, near: str):
    with pytest.raises(Problem) as caught:
        kill(What(what), name, why="w", folder=place)
    assert near in caught.value.remedy
    assert halted(place) == set()
    kill(What(what), name, why="w", unknown=True, folder=place)
    assert halted(place) == {f"{what} {name}"}


@pytest.mark.parametrize(
    "words",
    [
        ["kill", "agent", "--why", "w"],
        ["kill", "all", "x", "--why", "w"],
        ["kill", "agent", "a b", "--why", "w"],
        ["kill", "agent", "writer"],
        ["kill", "agent", "writer", "--why", ""],
        ["kill", "agent", "writer", "--why", "two\nlines"],
        ["kill", "planet", "earth", "--why", "w"],
        ["revoke", "short", "--why", "w"],
    ],
)
def test_an_order_that_is_not_clear_is_not_carried_out(place: Path, words: list[str]):
    assert run(app, [*words, "-C", str(place)]).exit_code == 2
    assert halted(place) == set()


def test_identities_that_do_not_load_do_not_keep_anybody_from_killing(place: Path):
    (place / "identities" / "agents" / "writer.toml").write_text("broken")
    found = run(app, ["kill", "agent", "writer", "--why", "w", "-C", str(place), "--json"])
    assert found.exit_code == 0 and halted(place) == {"agent writer"}


def test_a_log_that_cannot_be_written_does_not_keep_a_halt_from_counting_but_keeps_one_from_being_lifted(place: Path):
    (place / "log").write_text("not a folder")
    found = run(app, ["kill", "agent", "writer", "--why", "w", "-C", str(place), "--json"])
    assert found.exit_code == 1 and "in force" in found.stderr
    assert json.loads(found.stdout)["record"] is None
    assert halted(place) == {"agent writer"}
    assert run(app, ["unkill", "agent", "writer", "--why", "w", "-C", str(place)]).exit_code == 1
    assert halted(place) == {"agent writer"}


def test_what_is_not_halted_cannot_be_lifted(place: Path):
    with pytest.raises(Problem, match="not halted"):
        unkill(What.agent, "writer", why="w", folder=place)
    (load(place).state / "KILL").touch()
    with pytest.raises(Problem) as caught:
        unkill(What.all, why="w", folder=place)
    assert "remove the file" in caught.value.remedy


def test_the_list_says_what_since_when_why_and_by_whom(place: Path):
    assert "nothing is halted" in run(app, ["halts", "-C", str(place)]).stdout
    kill(What.run, "run-7", why="loops", folder=place)
    (load(place).state / "KILL").touch()
    text = run(app, ["halts", "-C", str(place)]).stdout
    assert "run run-7" in text and "loops" in text and "uid:" in text and "the file KILL" in text
    assert [row["what"] for row in json.loads(run(app, ["halts", "-C", str(place), "--json"]).stdout)] == ["run run-7", "all"]


def test_no_token_is_minted_here_for_who_is_halted_and_later_ones_are_of_the_new_epoch(place: Path):
    assert run(app, ["token", "writer", "-C", str(place)]).exit_code == 0
    kill(What.agent, "writer", why="w", folder=place)
    found = run(app, ["token", "writer", "-C", str(place)])
    assert isinstance(found.exception, Problem) and found.exception.code == "agent_halted"
    unkill(What.agent, "writer", why="w", folder=place)
    assert run(app, ["token", "writer", "-C", str(place)]).stdout.count(".") == 2


def test_a_revoked_token_is_kept_for_the_longest_life_of_one_and_recorded(place: Path):
    token_of(place)
    jti = "j" * 22
    found = run(app, ["revoke", jti, "--why", "in a build log", "-C", str(place)])
    assert found.exit_code == 0, found.output
    database = Database.open(load(place).state)
    assert SqliteRevocations(database).is_revoked(jti)
    database.close()
    assert [(r["what"], r["why"]) for r in records(place, "revoke")] == [(f"token {jti}", "in a build log")]
