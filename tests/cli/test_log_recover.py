"""`portreeve log recover` on a deployment whose log is damaged."""

import asyncio
import json

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.errors import Problem
from tests.journeys.place import records, running, write_place
from tests.simulators.upstreams import echo, upstream


@pytest.fixture
async def folder(tmp_path):
    async with upstream(echo) as up:
        write_place(tmp_path, up.port, log="segment_bytes_max = 8192")
        async with running(tmp_path) as place:
            for number in range(12):
                await place.client.get(f"/tools/notes/notes/n{number}")
            await place.settled("result", 12)
    return tmp_path


def run(folder, *words, given=""):
    return CliRunner().invoke(app, ["log", *words, "-C", str(folder)], input=given)


def harm(folder):
    path = sorted((folder / "log" / "log").iterdir())[1]
    path.write_bytes(path.read_bytes().replace(b'"k":"call"', b'"k":"cull"', 1))


def test_a_sound_log_needs_nothing(folder):
    done = run(folder, "recover")
    assert (done.exit_code, "nothing is wrong" in done.stdout) == (0, True)
    assert json.loads(run(folder, "recover", "--json").stdout) == {"damaged": False}


async def test_damage_is_shown_and_nothing_is_changed_by_looking(folder):
    harm(folder)
    before = {path: path.read_bytes() for path in (folder / "log").rglob("*") if path.is_file()}
    done = run(folder, "recover")
    assert (done.exit_code, "does not follow" in done.stdout) == (1, True)
    assert json.loads(run(folder, "recover", "--json").stdout)["lost_signed"] > 0
    assert run(folder, "recover", "--accept-loss").exit_code == 2
    assert run(folder, "recover", "--accept-loss", "--why", "disk", given="n\n").exit_code == 1
    assert {path: path.read_bytes() for path in (folder / "log").rglob("*") if path.is_file()} == before


async def test_after_an_accepted_loss_the_gateway_starts_and_verify_tells_of_it(folder):
    harm(folder)
    (folder / "log" / "log" / "x").touch()
    last = max((folder / "log" / "log").glob("*.jsonl"))
    last.write_bytes(last.read_bytes()[:-40])
    with pytest.raises(Problem, match="log recover"):
        async with running(folder):
            pass
    done = await asyncio.to_thread(run, folder, "recover", "--accept-loss", "--why", "disk of node 3", "--yes", "--json")
    assert done.exit_code == 0, done.output
    async with running(folder) as place:
        assert (await place.client.get("/tools/notes/notes/again")).status_code in {200, 502}
    (gap,) = records(folder, "gap")
    assert (gap["why"], gap["by"][:4], gap["size"]) == ("disk of node 3", "uid:", json.loads(done.stdout)["sound"])
    found = run(folder, "verify")
    assert (found.exit_code, f"see record {gap['n']}" in found.stdout) == (3, True)
