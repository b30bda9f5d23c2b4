"""`portreeve log verify`: from where, at which level, in how many processes."""

import json
from pathlib import Path

import pytest

from tests.cli.test_log import HALTED, at, run
from tests.record.world import ORIGIN, files, keys, opened, small_log


@pytest.fixture
async def log(tmp_path) -> Path:
    await small_log(tmp_path, calls=5)
    (tmp_path / "key").write_text(f"{keys(tmp_path)[0]}\n")
    return tmp_path


def report(folder, *words, code: int = 0):
    done = run("verify", *at(folder), "--json", *words)
    assert done.exit_code == code, done.stdout
    return json.loads(done.stdout)


def test_a_look_can_begin_at_a_record_or_a_time(log):
    second = int(files(log)[1].stem)
    assert report(log, "--since", second)["since"] == second
    assert report(log, "--since", "1d")["since"] == 0
    assert report(log, "--since", "2999-01-01")["since"] == int(files(log)[-1].stem)
    assert "by their root alone" in run("verify", *at(log), "--since", second).stdout
    assert run("verify", *at(log), "--since", "yesterday").exit_code == 2


def test_several_processes_report_what_one_does(log):
    def same(found):
        return {name: value for name, value in found.items() if name not in {"elapsed_s", "checkpoint_age_s"}}

    assert same(report(log, "--jobs", 2)) == same(report(log))
    path = files(log)[1]
    path.write_bytes(path.read_bytes().replace(b'"http":200', b'"http":500', 1))
    assert same(report(log, "--jobs", 2, code=1)) == same(report(log, code=1))


def test_the_report_says_how_fresh_the_log_is_and_what_is_unsigned(log):
    found = report(log)
    assert (found["unsigned"], found["size"] - found["signed"]) == (0, 0)
    assert 0 <= found["checkpoint_age_s"] < 3_600
    assert abs(found["newest_t"] / 1e6 - files(log)[-1].stat().st_mtime) < 60
    text = run("verify", *at(log)).stdout
    assert "newest" in text
    assert "s ago" in text


async def test_level_replay_makes_every_decision_again(tmp_path):
    async with opened(tmp_path) as log:
        await log.append("call", {"id": "a", "authz": HALTED, "code": "denied"})
        await log.append("call", {"id": "b", "authz": None, "code": "denied"})
    (tmp_path / "key").write_text(f"{keys(tmp_path)[0]}\n")
    assert report(tmp_path, "--level", "replay")["decisions"] == 1
    assert "1 decision, each as it was recorded" in run("verify", *at(tmp_path), "--level", "replay").stdout
    async with opened(tmp_path) as log:
        await log.append("call", {"id": "c", "authz": HALTED | {"decision": "allow"}, "code": "x"})
    found = report(tmp_path, "--level", "replay", code=1)
    assert "allow was recorded, now deny" in found["message"]
    assert report(tmp_path)["ok"]


def test_level_replay_without_what_a_decision_rests_on_is_no_proof(log):
    """The world's policies have no schema that an engine could use: that is a difference, and never a decision that was recomputed."""
    assert report(log, "--level", "replay", code=1)["first_bad"] == 1
    assert ORIGIN in run("verify", *at(log)).stdout
