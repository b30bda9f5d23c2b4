"""`portreeve policy coverage` on a copy of the sample deployment."""

from __future__ import annotations

import json

import pytest

from gateway.errors import Problem

from .sample import call_of, copy_sample, run, write_log

RULE = """@id("night") forbid (principal, action == Action::"tickets/export", resource)
when { context.delegation_depth > 0 && context.auth.pop };
"""


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def test_the_sample_is_covered_whole(deployment):
    done = run("coverage", "-C", deployment, "--fail-under", 100)
    assert done.exit_code == 0
    assert "100.0 % of all outcomes seen" in done.stdout
    assert "NEVER" not in done.stdout
    assert run("coverage", "-C", deployment, "--missing").stdout.count("\n") == 2


def test_where_there_is_no_policy_there_is_nothing_to_cover_and_no_wanted_share_is_reached(deployment, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    done = run("coverage", "-C", deployment, "--candidate", empty)
    assert done.exit_code == 0
    assert "there is no policy, so nothing to cover" in done.stdout
    assert "%" not in done.stdout
    done = run("coverage", "-C", deployment, "--candidate", empty, "--fail-under", 1, "--json")
    assert done.exit_code == 1
    assert (json.loads(done.stdout)["ok"], json.loads(done.stdout)["percent"]) == (False, None)


def test_what_no_case_saw_is_shown_and_can_fail_the_command(deployment):
    (deployment / "policies/70-night.cedar").write_text(RULE)
    done = run("coverage", "-C", deployment, "--missing", "--fail-under", 99.5)
    assert done.exit_code == 1
    assert "TOO LOW" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines() if "70-night.cedar" in line]
    assert [row[:4] for row in rows] == [
        ["night", "forbid", "NEVER", "16"],
        ["NEVER", "2", "70-night.cedar:2", "when"],
        ["NEVER", "NEVER", "70-night.cedar:2", "when"],
    ]
    assert run("coverage", "-C", deployment).exit_code == 0
    found = json.loads(run("coverage", "-C", deployment, "--fail-under", 100, "--json").stdout)
    assert not found["ok"]
    assert 80 < found["percent"] < 100
    (night,) = [p for p in found["policies"] if p["id"] == "night"]
    assert [(c["true"], c["false"]) for c in night["conditions"]] == [(0, 2), (0, 0)]


async def test_the_log_counts_too_when_it_is_asked_for(deployment):
    (deployment / "policies/70-night.cedar").write_text(RULE)
    calls = [call_of("tickets/export", {}, actors=["a"], pop=pop) for pop in (False, True)]
    await write_log(deployment, [*calls, call_of("tickets/export", {}), call_of("tickets/create_refund", {})])
    assert run("coverage", "-C", deployment, "--fail-under", 100).exit_code == 1
    done = run("coverage", "-C", deployment, "--log", "--fail-under", 100)
    assert done.exit_code == 0, done.stdout
    assert "2 decisions stopped before policy" in done.stdout


async def test_a_log_that_lost_its_objects_is_a_problem_and_no_gap(deployment):
    await write_log(deployment, [call_of("tickets/export", {})])
    for path in (deployment / "var/log/objects").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(Problem):
        run("coverage", "-C", deployment, "--log")


def test_a_case_of_something_that_does_not_exist_is_a_problem(deployment):
    cases = {"cases": [{"name": "n", "call": call_of("tickets/nothing", {}), "expect": {"decision": "deny"}}]}
    (deployment / "policies/cases/more.json").write_text(json.dumps(cases))
    with pytest.raises(Problem, match="there is no operation tickets/nothing"):
        run("coverage", "-C", deployment)
