"""`portreeve policy diff` on a copy of the sample deployment."""

from __future__ import annotations

import json
import shutil
import subprocess

import pytest

from gateway.errors import Problem, Problems

from .sample import copy_sample, run


@pytest.fixture
def deployment(tmp_path):
    """The sample, and beside it `old`: its policies with a limit of 40 instead of 50."""
    copy_sample(tmp_path)
    shutil.copytree(tmp_path / "policies", tmp_path / "old")
    for file in ("30-refunds.cedar", "cases/refunds.json"):
        text = (tmp_path / "old" / file).read_text()
        (tmp_path / "old" / file).write_text(text.replace("50.00", "40.00"))
    return tmp_path


def test_what_changed_and_what_comes_of_it_is_shown_with_the_smallest_call(deployment):
    done = run("diff", deployment / "old", "-C", deployment)
    assert done.exit_code == 0
    lines = [" ".join(line.split()) for line in done.stdout.splitlines()]
    assert any(line.startswith("changed refund-limit 30-refunds.cedar:14 conditions; @message:") for line in lines)
    assert "widening" in lines
    [row] = [line for line in lines if line.startswith("tickets/create_refund support-bot deny allow refund-limit ")]
    assert row.endswith(' {"amount":50,"currency":"EUR","reason":"x","ticket_id":"T-1"}')
    assert "The search is bounded" in done.stdout
    assert "45 pairs cannot change" in done.stdout


def test_the_call_can_be_explained(deployment):
    [turned] = json.loads(run("diff", deployment / "old", "-C", deployment, "--json").stdout)["flips"]
    (deployment / "call.json").write_text(json.dumps(turned["call"]))
    assert "ALLOWED" in run("explain", "--call", deployment / "call.json", "-C", deployment).stdout


@pytest.mark.parametrize(("gate", "forth", "back"), [("widening", 1, 0), ("narrowing", 0, 1), ("any", 1, 1), ("none", 0, 0)])
def test_a_pipeline_can_stop_on_either_direction(deployment, gate, forth, back):
    old, new = deployment / "old", deployment / "policies"
    assert run("diff", old, new, "-C", deployment, "--fail-on", gate).exit_code == forth
    assert run("diff", new, old, "-C", deployment, "--fail-on", gate).exit_code == back


def test_the_same_policies_are_certainly_the_same(deployment):
    done = run("diff", deployment / "policies", "-C", deployment, "--fail-on", "any")
    assert done.exit_code == 0
    assert "No policy says anything else." in done.stdout
    assert "bounded" not in done.stdout
    found = json.loads(run("diff", deployment / "policies", "-C", deployment, "--json").stdout)
    assert (found["flips"], found["searched"]["complete"]) == ([], True)


def test_a_revision_of_git_is_compared_with(deployment):
    def git(*words):
        subprocess.run(["git", "-C", deployment, "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)

    git("init", "-q")
    git("add", "policies")
    git("commit", "-qm", "one")
    rules = deployment / "policies/40-auditors.cedar"
    rules.write_text(rules.read_text().replace("auditors-read-only", "auditors-only-read"))
    cases = deployment / "policies/cases/tickets.json"
    cases.write_text(cases.read_text().replace("auditors-read-only", "auditors-only-read"))
    found = json.loads(run("diff", "--rev", "HEAD", "-C", deployment, "--json").stdout)
    assert {(p["kind"], p["id"]) for p in found["policies"]} == {("removed", "auditors-read-only"), ("added", "auditors-only-read")}
    assert (found["flips"], found["searched"]["complete"]) == ([], True)
    for wrong, why in (("nowhere", "git cannot give"), ("--output=x", "--output=x is no revision")):  # no option of git's is passed on
        with pytest.raises(Problem, match=why) as caught:
            run("diff", f"--rev={wrong}", "-C", deployment)
        assert caught.value.code == "no_revision"


def test_policies_that_do_not_load_are_not_compared(deployment):
    (deployment / "old/99.cedar").write_text("permt")
    with pytest.raises(Problems):
        run("diff", deployment / "old", "-C", deployment)


def test_one_of_the_two_ways_to_name_the_old_policies_is_needed(deployment):
    assert run("diff", "-C", deployment).exit_code == 2
    assert run("diff", deployment / "old", "--rev", "HEAD", "-C", deployment).exit_code == 2
