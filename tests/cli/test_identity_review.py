"""What reviewers of agents' files are told, and a suspension that leaves the file as it was but for one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.errors import Problem
from gateway.identities import load_identities
from gateway.identities.editors import agent_schema
from tests.journeys.place import running, write_place


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_place(tmp_path / "place", 1)
    return tmp_path / "place"


def run(place: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["identity", *words, "-C", str(place)])


def agent_file(place: Path, name: str = "writer") -> Path:
    return place / "identities" / "agents" / f"{name}.toml"


def test_a_change_is_told_as_more_or_less_and_more_can_fail_a_pipeline(place: Path, tmp_path: Path):
    main = tmp_path / "main"
    shutil.copytree(place / "identities", main)
    agent_file(place).write_text(agent_file(place).read_text() + '[token]\nscopes = ["notes:read"]\nttl = "1m"\n')
    agent_file(place, "stranger").unlink()
    found = run(place, "diff", "--against", str(main), "--json")
    told = {row["agent"]: row for row in json.loads(found.stdout)}
    assert (told["writer"]["narrower"], told["writer"]["wider"]) == (True, True)
    assert "+ scopes: notes:read" in told["writer"]["changes"] and "  ttl_s: 300 -> 60" in told["writer"]["changes"]
    assert (told["stranger"]["narrower"], told["stranger"]["changes"]) == (True, ["- the agent"])
    assert found.exit_code == 0
    text = run(place, "diff", "--against", str(main), "--fail-wider")
    assert text.exit_code == 1 and "its tokens end" in text.stdout and "2 agents changed" in text.stdout
    assert "0 agents changed" in run(place, "diff", "--against", str(place / "identities")).stdout


async def test_without_another_folder_it_is_what_was_last_in_force(place: Path):
    assert [row["changes"] for row in json.loads(run(place, "diff", "--json").stdout)] == [["+ the agent"], ["+ the agent"]]
    async with running(place):
        pass
    assert json.loads(run(place, "diff", "--json").stdout) == []


@pytest.mark.parametrize("status", ["", 'status = "active"  # for now\n', "status='active'\n"])
def test_a_suspension_changes_one_line_and_says_why(place: Path, status: str):
    path = agent_file(place)
    path.write_text("# reviewed\n" + path.read_text().replace("[agent]\n", f"[agent] # who\n{status}") + '[agent.attributes]\nstatus = "active"\n')
    before = path.read_text().splitlines()
    done = run(place, "suspend", "writer", "--why", "INC-1042: it's looping")
    assert done.exit_code == 0, done.output
    found = load_identities(place / "identities").agents["writer"]
    assert (found.status, found.attributes) == ("suspended", {"status": "active"})
    after = path.read_text().splitlines()
    assert any(line.startswith("# suspended") and line.endswith("INC-1042: it's looping") for line in after)
    changed = [line for line in after if line not in before]
    assert len(changed) == 2 and len(after) - len(before) == (1 if status else 2)


@pytest.mark.parametrize(
    "spoil", [lambda text: text.replace("[agent]", "agent.x = 1"), lambda text: 'agent = { id = "writer", owner = "team:x" }\nschema = 1\n']
)
def test_a_file_that_cannot_be_changed_safely_is_left_alone(place: Path, spoil):
    path = agent_file(place)
    path.write_text(spoil(path.read_text()))
    before = path.read_text()
    found = run(place, "suspend", "writer", "--why", "w")
    assert isinstance(found.exception, Problem) and found.exception.code == "not_suspended"
    assert path.read_text() == before


def test_a_file_that_does_not_load_is_left_as_it_was(place: Path):
    path = agent_file(place)
    path.write_text(path.read_text() + "nonsense = 1\n")
    before = path.read_text()
    found = run(place, "suspend", "writer", "--why", "w")
    assert isinstance(found.exception, Problem) and path.read_text() == before
    assert isinstance(run(place, "suspend", "nobody", "--why", "w").exception, Problem)


def test_the_report_lists_what_lapses_with_the_most_urgent_first(place: Path):
    agent_file(place).write_text(agent_file(place).read_text().replace("[agent]", "[agent]\nexpires = 2020-01-01"))
    rows = json.loads(run(place, "expire-report", "--json").stdout)
    assert [(row["agent"], row["state"]) for row in rows] == [("writer", "has lapsed"), ("stranger", "never lapses")]
    text = run(place, "expire-report").stdout
    assert "team:test" in text and "registration" in text
    for name in ("writer", "stranger"):
        agent_file(place, name).write_text(
            agent_file(place, name).read_text().replace("expires = 2020-01-01\n", "").replace("[agent]", "[agent]\nexpires = 2999-01-01")
        )
    assert "nothing lapses within 30 days" in run(place, "expire-report").stdout


def test_the_schema_is_printed_or_written_where_the_gateway_does_not_read_it(place: Path):
    assert json.loads(run(place, "schema").stdout) == agent_schema()
    assert run(place, "schema", "--write").exit_code == 0
    assert json.loads((place / "identities" / ".agent.schema.json").read_text()) == agent_schema()
    assert load_identities(place / "identities").agents
