"""`portreeve policy who-can` on a copy of the sample deployment."""

from __future__ import annotations

import json

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.policy import app
from gateway.errors import Problem

from .sample import copy_sample, run

REFUND = '{"ticket_id": "T-1", "amount": %s, "currency": "EUR", "reason": "late"}'


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def answers(deployment, *words):
    found = json.loads(run("who-can", *words, "-C", deployment, "--json").stdout)["answers"]
    return {(cell["agent"], cell["operation"]): cell for cell in found}


def test_agents_and_operations_stand_beside_one_another_with_what_remains_below(deployment):
    done = run("who-can", "-C", deployment)
    assert done.exit_code == 0
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.startswith(("operation", "tickets/", "flaky/"))}
    assert rows["operation"] == ["audit-bot", "intern-bot", "support-bot"]
    assert rows["flaky/write"] == ["deny", "deny", "deny"]
    assert rows["tickets/create_refund"][:3] == ["deny", "deny", "if"]
    assert (
        '    if context.input.currency == "EUR" and context.input.amount.lessThanOrEqual(decimal("50.00"))   '
        "(support-refunds-small: Support agents may pay back up to 50.00 EUR)" in done.stdout
    )
    assert '    never if context.input.amount.greaterThan(decimal("50.00"))   (refund-limit: ' in done.stdout


def test_one_call_is_decided_for_every_agent(deployment):
    found = answers(deployment, "tickets/create_refund", "--arguments", REFUND % 20)
    assert {agent: (cell["answer"], cell["reasons"]) for (agent, _), cell in found.items()} == {
        "audit-bot": ("deny", ["auditors-read-only"]),
        "intern-bot": ("deny", ["interns-no-refunds"]),
        "support-bot": ("allow", ["support-refunds-small"]),
    }
    assert answers(deployment, "tickets/create_refund", "--arguments", REFUND % 51)["support-bot", "tickets/create_refund"]["answer"] == "deny"
    held = answers(deployment, "tickets/delete_ticket", "--agent", "support-bot", "--arguments", '{"ticket_id": "T-1"}')
    assert [(cell["answer"], cell["approval"]) for cell in held.values()] == [("hold", ["support-leads"])]
    refused = answers(deployment, "tickets/create_refund", "--agent", "support-bot", "--arguments", '{"amount": "x"}')
    assert [cell["answer"] for cell in refused.values()] == ["refused"]


def test_what_rests_on_the_user_alone_is_not_certain(deployment):
    """Whether there is a user in the token is not known, so neither its presence nor its absence may be taken for certain."""
    (deployment / "policies/70-new.cedar").write_text(
        '@id("a") permit (principal, action == Action::"flaky/write", resource) when { context has user };\n'
        '@id("b") permit (principal, action == Action::"dead/write", resource) unless { context has user };\n'
        '@id("c") permit (principal, action == Action::"dead/read", resource) when { context has user && context.user == User::"alice" };\n'
    )
    (deployment / "policies/10-everyone.cedar").unlink()
    (deployment / "policies/cases/tickets.json").unlink()
    found = answers(deployment, "--agent", "intern-bot")
    for operation, name in (("flaky/write", "a"), ("dead/write", "b"), ("dead/read", "c")):
        cell = found["intern-bot", operation]
        assert (cell["answer"], [one["policy"] for one in cell["depends_on"]]) == ("if", [name])
    assert found["intern-bot", "dead/destructive"]["answer"] == "deny"
    assert found["intern-bot", "tickets/get_ticket"]["answer"] == "allow"


def test_with_many_agents_every_pair_that_is_not_denied_has_a_row(deployment):
    text = (deployment / "identities/agents/intern-bot.toml").read_text()
    for n in range(5):
        (deployment / f"identities/agents/intern-{n}.toml").write_text(text.replace("intern-bot", f"intern-{n}"))
    lines = run("who-can", "list_tickets", "-C", deployment).stdout.splitlines()
    assert lines[0].split() == ["operation", "agent", "answer"]
    assert len([line for line in lines if line.startswith("tickets/list_tickets")]) == 8


@pytest.mark.parametrize("words", [["nothing/here"], ["--agent", "nobody"]])
def test_a_name_that_does_not_exist_is_a_problem(deployment, words):
    with pytest.raises(Problem) as caught:
        run("who-can", *words, "-C", deployment)
    assert "name one of" in caught.value.remedy


@pytest.mark.parametrize("text", ["[]", "{", "1"])
def test_arguments_are_one_object(deployment, text):
    assert run("who-can", "--arguments", text, "-C", deployment).exit_code == 2


def complete(words, env):
    words = f"policy {words}"
    found = CliRunner().invoke(app, [], env={"_POLICY_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1), **env}, prog_name="policy")  # fmt: skip
    return found.stdout.split()


def test_a_shell_is_offered_what_the_deployment_has(deployment):
    env = {"PORTREEVE_FOLDER": str(deployment)}
    assert complete("who-can --agent s", env) == ["support-bot"]
    assert complete("who-can tickets/create", env) == ["tickets/create_refund", "tickets/create_ticket"]
    assert complete("confuse refund", env) == ["refund-limit"]
    assert complete(f"who-can -C {deployment} --agent a", {}) == ["audit-bot"]
    (deployment / "gateway.toml").write_text("broken")
    assert complete("who-can --agent s", env) == []
    assert complete("who-can tickets/c", env) == []
    assert complete("confuse refund", env) == []


def test_commands_with_completion_are_typer_s():
    assert typer.main.get_command(app).name == "policy"
