"""An agent is registered by a file that loads, and enrolled by a code that its gateway takes."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest
import typer
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.identity_add import add as add_command
from gateway.config.load import load
from gateway.errors import Problem, Problems
from gateway.identities import load_identities
from gateway.identities.model import EnrolledKeys
from gateway.stores.database import Database
from gateway.stores.enrolment import Enrolments
from tests.cli.test_identity import make_deployment

app = typer.Typer()
app.command("add")(add_command)


@app.callback()
def _only_so_that_it_is_a_group() -> None:
    pass


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    return make_deployment(tmp_path)


def add(deployment: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["add", *words, "-C", str(deployment)])


def problem(result: Result) -> str:
    error = result.exception
    found = error.problems[0] if isinstance(error, Problems) else error
    assert isinstance(found, Problem) and found.remedy
    return found.code


async def test_a_new_agent_has_a_file_that_loads_and_a_code_that_counts(deployment: Path):
    done = add(deployment, "ci-bot", "--owner", "team:platform", "--description", 'Says "hi"', "--scope", "tickets:read", "--enrol")
    assert done.exit_code == 0, done.exception
    agent = load_identities(deployment / "identities").agents["ci-bot"]
    assert (agent.owner, agent.description, agent.scopes, agent.credentials) == ("team:platform", 'Says "hi"', ("tickets:read",), (EnrolledKeys(),))
    database = Database.open(load(deployment).state)
    assert await Enrolments(database).agent_of(done.stdout.strip()) == "ci-bot"
    database.close()


def test_without_enrol_there_is_no_way_in_but_the_file(deployment: Path):
    done = add(deployment, "ci-bot", "--owner", "team:platform")
    assert done.exit_code == 0 and done.stdout == "" and "ci-bot.toml" in done.stderr
    assert load_identities(deployment / "identities").agents["ci-bot"].credentials == ()
    assert problem(add(deployment, "ci-bot", "--enrol")) == "not_enrollable"


def test_a_known_agent_gets_a_new_code_and_its_file_is_left_alone(deployment: Path):
    first = json.loads(add(deployment, "ci-bot", "--owner", "team:a", "--enrol", "--json").stdout)
    before = (deployment / "identities" / "agents" / "ci-bot.toml").read_text()
    second = json.loads(add(deployment, "ci-bot", "--enrol", "--json").stdout)
    assert (first["written"], second["written"], second["endpoint"]) == (True, False, "http://127.0.0.1:8080/enrol")
    assert first["code"] != second["code"]
    assert (deployment / "identities" / "agents" / "ci-bot.toml").read_text() == before
    assert problem(add(deployment, "ci-bot", "--owner", "team:b", "--enrol")) == "agent_exists"
    assert problem(add(deployment, "support-bot", "--enrol")) == "not_enrollable"


@pytest.mark.parametrize(
    "words", [("CI", "--owner", "team:a"), ("../x", "--owner", "team:a"), ("ci", "--owner", "team a"), ("ci", "--owner", "a", "--scope", "*")]
)
def test_what_would_not_load_is_not_left_behind(deployment: Path, words: tuple[str, ...]):
    before = sorted((deployment / "identities").rglob("*"))
    assert problem(add(deployment, *words)) == "bad_name"
    assert sorted((deployment / "identities").rglob("*")) == before


def test_somebody_must_answer_for_a_new_agent(deployment: Path):
    assert add(deployment, "ci-bot", "--enrol").exit_code == 2


def test_a_description_cannot_write_more_than_a_description(deployment: Path):
    assert problem(add(deployment, "ci-bot", "--owner", "team:a", "--description", 'x"\nstatus = "retired')) == "bad_text"
    done = add(deployment, "ci-bot", "--owner", "team:a", "--description", "a\\b'c\"d")
    assert done.exit_code == 0
    assert tomllib.loads((deployment / "identities" / "agents" / "ci-bot.toml").read_text())["agent"]["description"] == "a\\b'c\"d"


def written(deployment: Path, *words: str) -> tuple[Path, list[str]]:
    assert add(deployment, "ci-bot", "--owner", "team:a", *words).exit_code == 0
    path = deployment / "identities" / "agents" / "ci-bot.toml"
    return path, path.read_text().splitlines()


def test_a_new_file_explains_each_line_to_who_reviews_it(deployment: Path):
    _, lines = written(deployment, "--scope", "tickets:read")
    explained = [line for line in lines if "=" in line and not line.startswith("# ")]
    unexplained = [line for line in explained if "  # " not in line and not line.startswith(("schema", "description", "#kind"))]
    assert len(explained) > 10 and unexplained == []


def switched_on(lines: list[str]) -> list[tuple[str, list[str]]]:
    """The file with one optional line switched on, for each of them; a table goes with its line."""
    found = []
    for number, line in enumerate(lines):
        if line.startswith("#") and not line.startswith("# ") and not line.startswith("#kind"):
            last = number + (2 if line.startswith("#[[") else 1)
            found.append((line, [*lines[:number], *(each[1:] for each in lines[number:last]), *lines[last:]]))
    return found


def test_each_line_that_is_off_can_be_switched_on(deployment: Path):
    path, lines = written(deployment)
    before = load_identities(deployment / "identities").agents["ci-bot"]
    options = switched_on(lines)
    assert len(options) == 7
    for line, text in options:
        path.write_text("\n".join(text))
        assert load_identities(deployment / "identities").agents["ci-bot"] != before, line
    path.write_text("\n".join(line[1:] if line.startswith("#") and not line.startswith("# ") else line for line in lines))
    agent = load_identities(deployment / "identities").agents["ci-bot"]
    assert (agent.pop, agent.groups, agent.attributes, agent.credentials) == ("required", ("GROUP",), {"env": "test"}, (EnrolledKeys(),))


def test_what_stands_in_a_new_file_grants_nothing_that_was_not_asked_for(deployment: Path):
    written(deployment)
    agent = load_identities(deployment / "identities").agents["ci-bot"]
    assert agent.scopes == agent.groups == agent.credentials == agent.audiences == ()
    assert not agent.delegation.may_act_for_users and agent.delegation.max_depth == 0 and agent.expires is not None
