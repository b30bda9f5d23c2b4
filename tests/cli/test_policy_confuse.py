"""`portreeve policy confuse` on a copy of the sample deployment."""

from __future__ import annotations

import json

import pytest

from gateway.errors import Problem

from .sample import call_of, copy_sample, run

RULE = """@id("no-high-priority") forbid (principal in AgentGroup::"support", action == Action::"tickets/create_ticket", resource)
when { context.input has priority && context.input.priority == "high" };
"""
HIGH = {
    "name": "no high priority",
    "call": call_of("tickets/create_ticket", {"title": "a", "body": "b", "priority": "high"}),
    "expect": {"decision": "deny", "reasons": ["no-high-priority"]},
}
PLAIN = {"name": "a plain ticket", "call": call_of("tickets/create_ticket", {"title": "a", "body": "b"}), "expect": {"decision": "allow"}}


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def add(deployment, *cases):
    (deployment / "policies/70-new.cedar").write_text(RULE)
    (deployment / "policies/cases/new.json").write_text(json.dumps({"cases": cases}))


def test_no_forbid_of_the_sample_can_be_turned_off(deployment):
    done = run("confuse", "-C", deployment)
    assert done.exit_code == 0, done.stdout
    assert "5 forbids" in done.stdout
    found = json.loads(run("confuse", "-C", deployment, "--json").stdout)
    assert found["ok"]
    assert all(f["tried"] == f["by_contract"] + f["by_policy"] > 0 for f in found["forbids"])


def test_a_forbid_that_is_turned_off_is_shown_with_its_place_and_fails_the_command(deployment):
    add(deployment, HIGH)
    done = run("confuse", "priority", "-C", deployment)
    assert done.exit_code == 1
    assert "70-new.cedar:1" in done.stderr
    assert (
        "tickets/create_ticket by support-bot is allowed without /priority, by support-writes-tickets; the call of case 'no high priority'"
        in done.stderr
    )
    found = json.loads(run("confuse", "priority", "-C", deployment, "--json").stdout)
    assert [p["code"] for p in found["problems"]] == ["forbid_turned_off"]
    assert found["forbids"][0]["escapes"][0]["path"] == ["priority"]


def test_a_case_that_allows_the_plain_call_accepts_it(deployment):
    add(deployment, HIGH, PLAIN)
    assert run("confuse", "priority", "-C", deployment).exit_code == 0
    found = json.loads(run("confuse", "priority", "-C", deployment, "--json").stdout)
    assert found["forbids"][0]["escapes"][0]["accepted_by"] == "a plain ticket"


def test_a_forbid_that_no_case_shows_at_work_fails_the_command(deployment):
    add(deployment, PLAIN)
    done = run("confuse", "priority", "-C", deployment)
    assert done.exit_code == 1
    assert "forbid_not_tried" in done.stderr


def test_a_word_that_no_forbid_has_is_no_success(deployment):
    with pytest.raises(Problem) as caught:
        run("confuse", "refnd", "-C", deployment)
    assert caught.value.code == "no_such_forbid"
