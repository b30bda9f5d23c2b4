"""`portreeve keys` on a deployment whose gateway does not run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.config.load import load
from gateway.identify import SigningKeys
from tests.journeys.place import records, write_place

run = CliRunner().invoke


@pytest.fixture
def place(tmp_path: Path) -> Path:
    write_place(tmp_path, 1)
    SigningKeys.open(load(tmp_path).keys)
    return tmp_path


def keys(place: Path) -> dict[str, str]:
    found = run(app, ["keys", "list", "-C", str(place), "--json"])
    return {key["state"]: key["kid"] for key in json.loads(found.stdout)}


def test_a_rotation_publishes_first_and_each_step_is_recorded(place: Path):
    before = keys(place)
    first = run(app, ["keys", "rotate", "-C", str(place)])
    assert first.exit_code == 0 and "run this again" in first.stdout
    assert keys(place) | before == keys(place)
    told = json.loads(run(app, ["keys", "rotate", "--now", "-C", str(place), "--json"]).stdout)
    after = keys(place)
    assert (after["retired"], after["active"], after["next"]) == (before["active"], told["active"], told["next"])
    assert [(r["what"], r["active"]) for r in records(place, "keys.change")] == [("publish", before["active"]), ("rotate", after["active"])]
    text = run(app, ["keys", "list", "-C", str(place)]).stdout
    assert "signs" in text and "may sign from" in text and "verifies until" in text


def test_now_publishes_before_it_rotates(place: Path):
    assert run(app, ["keys", "rotate", "--now", "-C", str(place)]).exit_code == 0
    assert [r["what"] for r in records(place, "keys.change")] == ["publish", "rotate"]


def test_a_compromised_key_is_gone_and_the_record_says_why(place: Path):
    kid = keys(place)["active"]
    found = run(app, ["keys", "compromise", kid, "--why", "on a laptop", "-C", str(place), "--json"])
    assert found.exit_code == 0, found.output
    assert kid not in keys(place).values()
    (record,) = records(place, "keys.change")
    assert (record["what"], record["kid"], record["why"]) == ("compromise", kid, "on a laptop")
    assert run(app, ["keys", "compromise", kid, "--why", "again", "-C", str(place)]).exit_code == 1
