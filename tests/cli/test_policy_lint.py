"""`portreeve policy lint` on a copy of the sample deployment."""

from __future__ import annotations

import json

import pytest

from .sample import copy_sample, run

IDLE = '@id("x")\n@owner("me")\npermit (principal in AgentGroup::"support", action == Action::"tickets/get_ticket", resource == Tool::"tickets");\n'


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def test_the_sample_has_nothing_to_look_at_again(deployment):
    done = run("lint", "--strict", "-C", deployment)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "ok  12 policies, 0 problems, 0 warnings\n"


def test_a_warning_is_shown_with_its_place_and_fails_only_when_strict(deployment):
    (deployment / "policies/70-new.cedar").write_text(IDLE)
    done = run("lint", "-C", deployment)
    assert done.exit_code == 0
    assert (
        "70-new.cedar:1:1: x: support-reads-tickets (20-support.cedar:3) already permits every call that this permits  [policy_covered]"
        in done.stderr
    )
    assert '   1 | @id("x")\n       | ^\n       = remove this one' in done.stderr
    assert run("lint", "--strict", "-C", deployment).exit_code == 1


def test_what_keeps_policies_from_loading_is_a_problem(deployment):
    (deployment / "policies/70-new.cedar").write_text(IDLE.replace("permit", "permt"))
    done = run("lint", "-C", deployment, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)
    assert [(p["code"], p["line"], p["column"]) for p in found["problems"]] == [("policy_syntax", 3, 1)]


def test_operations_of_one_tool_on_another_are_refused(deployment):
    (deployment / "policies/70-new.cedar").write_text(
        '@id("x") permit (principal, action == Action::"tickets/get_ticket", resource == Tool::"flaky");'
    )
    found = json.loads(run("lint", "-C", deployment, "--json").stdout)
    assert [(p["code"], p["column"]) for p in found["problems"]] == [("policy_never_applies", 87)]


def test_check_reviews_too(deployment):
    (deployment / "policies/70-new.cedar").write_text(IDLE.replace('@owner("me")\n', ""))
    codes = [w["code"] for w in json.loads(run("check", "-C", deployment, "--json").stdout)["warnings"]]
    assert codes == ["policy_covered"]
    codes = [w["code"] for w in json.loads(run("check", "-C", deployment, "--json", "--strict").stdout)["warnings"]]
    assert sorted(codes) == ["policy_covered", "policy_without_owner"]
