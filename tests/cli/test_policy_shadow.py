"""`portreeve policy shadow` on logs with shadow policies and with a candidate."""

from __future__ import annotations

import json
import shutil

import pytest

from gateway.authorize.cases import ask, case_of
from gateway.cli.policy_deployment import Deployment
from gateway.metrics import Metrics
from gateway.record import NoteSigner, open_log
from gateway.record.bodies import authz_body
from gateway.shadowing import Candidate, Shadowing

from .sample import call_of, copy_sample, run, write_log

RULES = """@id("try-forbid") @mode("shadow") forbid (principal, action == Action::"tickets/export", resource);
@id("try-permit") @mode("shadow") permit (principal in AgentGroup::"interns", action == Action::"tickets/export", resource);
@id("try-held") @mode("shadow") @require_approval("leads") permit (principal in AgentGroup::"interns", action == Action::"tickets/add_comment", resource);
@id("try-nothing") @mode("shadow") forbid (principal, action == Action::"tickets/delete_ticket", resource) when { context.delegation_depth > 1 };
"""
COMMENT = {"ticket_id": "T-1", "text": "x"}
CALLS = [
    call_of("tickets/export", {}, "audit-bot"),  # 1
    call_of("tickets/export", {}, "audit-bot"),
    call_of("tickets/export", {}, "intern-bot"),
    call_of("tickets/add_comment", COMMENT, "intern-bot"),
    call_of("tickets/add_comment", COMMENT),
]


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def shadows(deployment, *words):
    done = run("shadow", "-C", deployment, *words, "--json")
    assert done.exit_code == 0
    return json.loads(done.stdout)["shadows"]


async def test_each_shadow_policy_is_told_with_what_it_would_have_turned_and_of_how_many(deployment):
    (deployment / "policies/70-try.cedar").write_text(RULES)
    await write_log(deployment, CALLS)
    found = {s["policy"]: s for s in shadows(deployment)}
    assert {name: (s["watched"], s["changed"]) for name, s in found.items()} == {
        "try-forbid": (5, 2),
        "try-permit": (5, 1),
        "try-held": (5, 1),
        "try-nothing": (5, 0),
    }
    (way,) = found["try-forbid"]["flips"]
    assert (way["before"], way["after"], way["agents"], way["tools"], way["newest"]) == ("allow", "deny", {"audit-bot": 2}, {"tickets": 2}, 2)
    assert [(w["before"], w["after"]) for name in ("try-permit", "try-held") for w in found[name]["flips"]] == [("deny", "allow"), ("deny", "hold")]
    table = run("shadow", "-C", deployment).stdout
    assert "allow -> deny" in table
    assert "4 decisions would have come out otherwise" in table


async def test_only_some_decisions_can_be_asked_for(deployment):
    (deployment / "policies/70-try.cedar").write_text(RULES)
    await write_log(deployment, CALLS)
    assert {s["policy"]: s["watched"] for s in shadows(deployment, "--agent", "audit-bot")}["try-forbid"] == 2
    assert shadows(deployment, "--since", "2999-01-01") == []
    assert "nothing was in shadow" in run("shadow", "-C", deployment, "--since", "2999-01-01").stdout


async def write_candidate_log(folder, calls, text):
    shutil.copytree(folder / "policies", folder / "next")
    (folder / "next" / "90-next.cedar").write_text(text)
    deployment = Deployment.read(folder)
    bundle, candidate = deployment.bundle(), Deployment.read(folder, folder / "next").bundle()
    log = await open_log(deployment.settings.log, NoteSigner.open(deployment.settings.keys))
    shadowing = Shadowing(log, Metrics())
    await log.append("policy.load", {"state": "s", "candidate": candidate.digest}, blobs=(candidate.policies,))
    for call in calls:
        basis = ask(bundle, case_of(call)).basis
        receipt = await log.append(
            "call", {"code": "", "authz": authz_body(basis), "state": "s"}, blobs=(basis.policies, basis.schema, basis.entities)
        )
        shadowing.add(Candidate(candidate), basis, receipt.n)
    shadowing.close()
    await log.close()
    return candidate.digest


async def test_the_candidate_is_told_with_the_policies_that_make_the_difference(deployment):
    rule = '@id("no-export") forbid (principal, action == Action::"tickets/export", resource);'
    digest = await write_candidate_log(deployment, CALLS, rule)
    (found,) = shadows(deployment)
    assert (found["policy"], found["candidate"], found["watched"], found["changed"]) == ("", digest, 5, 2)
    (way,) = found["flips"]
    assert (way["before"], way["after"], way["policies"], way["agents"], way["newest"]) == ("allow", "deny", ["no-export"], {"audit-bot": 2}, 3)
    assert digest[7:19] in run("shadow", "-C", deployment).stdout
    assert shadows(deployment, "--agent", "intern-bot")[0]["changed"] == 0


async def test_a_candidate_that_changed_nothing_is_told_too(deployment):
    await write_candidate_log(deployment, CALLS[:2], "// nothing new\n")
    (found,) = shadows(deployment)
    assert (found["watched"], found["changed"]) == (2, 0)
