"""`portreeve log archive` and `prune` on the log of a deployment."""

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.record import LogReader
from tests.journeys.place import records, running, write_place
from tests.simulators.upstreams import echo, upstream


@pytest.fixture
async def folder(tmp_path):
    """A log of several segments, closed."""
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, log="segment_bytes_max = 8192")
        async with running(tmp_path) as place:
            for number in range(20):
                await place.client.get(f"/tools/notes/notes/n{number}")
            await place.settled("result", 20)
    return tmp_path


def run(folder, *words):
    return CliRunner().invoke(app, ["log", *words, "-C", str(folder)])


def test_a_packed_log_is_read_by_every_command_as_before(folder):
    before = {
        command: run(folder, *command).output
        for command in (("show", "3", "--json"), ("explain", "5", "--json"), ("tail", "-n", "30", "--json"), ("replay", "--json"))
    }
    done = json.loads(run(folder, "archive", "--json").stdout)
    assert done["segments"] > 2
    assert done["bytes_after"] < done["bytes_before"]
    assert {command: run(folder, *command).output for command in before} == before
    assert run(folder, "verify").exit_code == 0
    assert run(folder, "verify", "--level", "replay", "--jobs", "2").exit_code == 0
    assert "nothing to pack" in run(folder, "archive").stdout


def test_pruning_needs_a_reason_an_old_log_and_a_yes(folder):
    assert run(folder, "prune", "--before", "20").exit_code == 2
    assert run(folder, "prune", "--before", "20", "--why", "x\ny").exit_code == 2
    young = run(folder, "prune", "--before", "20", "--why", "plan", "--yes")
    assert "younger than 183 days" in str(young.exception)
    refused = CliRunner().invoke(app, ["log", "prune", "-C", str(folder), "--before", "20", "--why", "plan", "--force"], input="n\n")
    assert refused.exit_code == 1
    assert LogReader(folder / "log").find(0).kind == "log.open"
    assert "nothing to prune" in run(folder, "prune", "--before", "400d", "--why", "plan").stdout


def test_what_was_pruned_is_told_by_verify_and_the_rest_goes_on(folder):
    done = json.loads(run(folder, "prune", "--before", "20", "--why", "plan 3", "--yes", "--force", "--json").stdout)
    assert 0 < done["before"] <= 20
    (record,) = records(folder, "prune")
    assert (record["n"], record["why"], record["forced"]) == (done["record"], "plan 3", True)
    found = run(folder, "verify")
    assert (found.exit_code, f"as record {done['record']} says" in found.stdout) == (3, True)
    assert run(folder, "verify", "--since", str(done["before"])).exit_code == 0
    assert "was pruned" in str(run(folder, "show", "0").exception)
    assert run(folder, "replay").exit_code == 0
