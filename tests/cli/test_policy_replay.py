"""`portreeve policy replay` on a log that the sample deployment's own policies decided."""

from __future__ import annotations

import json
import shutil

import pytest

from gateway.errors import Problems

from .sample import call_of, copy_sample, run, write_log

REFUND = {"ticket_id": "T-1", "currency": "EUR", "reason": "broken"}
CALLS = [
    call_of("tickets/create_refund", REFUND | {"amount": 10}),  # 1
    call_of("tickets/create_refund", REFUND | {"amount": 30}),
    call_of("tickets/create_refund", REFUND | {"amount": 70}),
    call_of("tickets/delete_ticket", {"ticket_id": "T-1"}),
    call_of("tickets/export", {}, "audit-bot"),
    call_of("tickets/export", {}, "intern-bot"),
    call_of("tickets/create_refund", REFUND | {"amount": 0.00001}),
]


@pytest.fixture
async def deployment(tmp_path):
    copy_sample(tmp_path)
    shutil.copytree(tmp_path / "policies", tmp_path / "next")
    await write_log(tmp_path, CALLS)
    return tmp_path


def edit(deployment, name, *changes):
    path = deployment / "next" / name
    text = path.read_text()
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    path.write_text(text)


def replayed(deployment, *words):
    done = run("replay", "-C", deployment, "--candidate", deployment / "next", *words, "--json")
    return done.exit_code, json.loads(done.stdout)


def test_the_same_policies_change_nothing(deployment):
    code, found = replayed(deployment)
    assert code == 0
    assert (found["decisions"], found["flips"]) == ({"same": 6, "changed": 0, "stopped": 1, "unfit": 0}, [])


def test_flips_both_ways_are_grouped_by_policy_agent_and_tool_with_the_newest_number(deployment):
    edit(deployment, "30-refunds.cedar", ('"50.00"', '"5.00"'))
    edit(deployment, "20-support.cedar", ('@require_approval("support-leads")\n@approval_ttl("15m")\n', ""))
    edit(deployment, "50-interns.cedar", ('Action::"tickets/get_ticket"]', 'Action::"tickets/get_ticket", Action::"tickets/export"]'))
    code, found = replayed(deployment)
    assert code == 1
    assert found["directions"] == {"widening": 2, "narrowing": 2, "other": 0}
    shown = [(f["before"], f["after"], f["policies"], f["agent"], f["tool"], f["count"], f["newest"]) for f in found["flips"]]
    assert shown == [
        ("deny", "allow", ["interns-read-tickets"], "intern-bot", "tickets", 1, 6),
        ("hold", "allow", ["support-deletes-with-approval"], "support-bot", "tickets", 1, 4),
        ("allow", "deny", ["refund-limit"], "support-bot", "tickets", 2, 2),
    ]
    table = run("replay", "-C", deployment, "--candidate", deployment / "next").stdout
    assert "allow -> deny  refund-limit" in table
    assert "7 decisions decided again: 4 changed (2 widening, 2 narrowing), 2 the same" in table


@pytest.mark.parametrize(("gate", "code"), [("any", 1), ("narrowing", 1), ("widening", 0), ("none", 0)])
def test_the_exit_code_is_that_of_the_gate_asked_for(deployment, gate, code):
    edit(deployment, "30-refunds.cedar", ('"50.00"', '"5.00"'))
    assert replayed(deployment, "--fail-on", gate)[0] == code


def test_a_policy_that_fails_is_shown_as_an_error_of_that_policy(deployment):
    condition = "(context.delegation_depth + 1) + 9223372036854775807 == 1"
    rule = f'@id("bad") forbid (principal, action == Action::"tickets/export", resource) when {{ {condition} }};'
    edit(deployment, "50-interns.cedar", ("// Intern", f"{rule}\n// Intern"))
    _, found = replayed(deployment)
    assert [(f["before"], f["after"], f["policies"], f["direction"]) for f in found["flips"]] == [
        ("allow", "error", ["bad"], "narrowing"),
        ("deny", "error", ["bad"], "other"),
    ]


def test_only_some_decisions_can_be_asked_for(deployment):
    assert sum(replayed(deployment, "--agent", "audit-bot")[1]["decisions"].values()) == 1
    assert sum(replayed(deployment, "--limit", 3)[1]["decisions"].values()) == 3
    assert sum(replayed(deployment, "--limit", 300)[1]["decisions"].values()) == 7
    assert replayed(deployment, "--limit", 1, "--agent", "support-bot")[1]["decisions"]["stopped"] == 1
    assert sum(replayed(deployment, "--since", "1h")[1]["decisions"].values()) == 7
    assert sum(replayed(deployment, "--since", "2999-01-01")[1]["decisions"].values()) == 0
    assert run("replay", "-C", deployment, "--candidate", deployment / "next", "--since", "yesterday").exit_code == 2


def test_calls_that_todays_contract_does_not_take_are_unfit_and_a_log_of_nothing_else_is_incomplete(deployment):
    contract = deployment / "tools" / "tickets.openapi.yaml"
    text = contract.read_text()
    assert "operationId: export" in text
    contract.write_text(text.replace("operationId: export", "operationId: export_all"))
    for folder in ("policies", "next"):
        for path in (deployment / folder).rglob("*"):
            if path.is_file():
                path.write_text(
                    path.read_text().replace("tickets/export", "tickets/export_all").replace('"operation": "export"', '"operation": "export_all"')
                )
    code, found = replayed(deployment)
    assert (code, found["decisions"]["unfit"], found["decisions"]["same"]) == (0, 2, 4)
    assert found["unfit_because"] == [{"why": "there is no operation tickets/export", "count": 2, "newest": 6}]
    assert replayed(deployment, "--agent", "audit-bot")[0] == 3
    assert "2 unfit" in run("replay", "-C", deployment, "--candidate", deployment / "next").stdout


def test_a_candidate_that_does_not_load_is_a_problem(deployment):
    edit(deployment, "30-refunds.cedar", ("context.input.amount", "context.input.amuont"))
    with pytest.raises(Problems):
        run("replay", "-C", deployment, "--candidate", deployment / "next")
