"""`portreeve log keys` on the log of a deployment."""

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.config.load import load
from tests.journeys.place import running, write_place


@pytest.fixture
async def folder(tmp_path):
    write_place(tmp_path, 9)
    async with running(tmp_path):
        pass
    return tmp_path


def run(folder, *words, given=""):
    return CliRunner().invoke(app, ["log", "keys", *words, "-C", str(folder)], input=given)


def test_a_rotated_key_is_listed_with_its_sizes_and_the_log_verifies(folder):
    (before,) = json.loads(run(folder, "list", "--json").stdout)
    assert (before["first"], before["last"]) == (0, None)
    done = json.loads(run(folder, "rotate", "--why", "yearly", "--yes", "--json").stdout)
    old, new = json.loads(run(folder, "list", "--json").stdout)
    assert (old["key"], old["last"], new["key"], new["first"]) == (before["key"], done["record"] + 1, done["key"], done["record"] + 1)
    assert old["id"] in run(folder, "list").stdout
    assert CliRunner().invoke(app, ["log", "verify", "-C", str(folder)]).exit_code == 0


def test_nothing_is_rotated_without_a_reason_and_a_yes(folder):
    key = (load(folder).keys / "log.key").read_bytes()
    assert run(folder, "rotate").exit_code == 2
    assert run(folder, "rotate", "--why", "a\nb").exit_code == 2
    assert run(folder, "rotate", "--why", "yearly", given="n\n").exit_code == 1
    assert (load(folder).keys / "log.key").read_bytes() == key
