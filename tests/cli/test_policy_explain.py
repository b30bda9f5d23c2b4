"""`portreeve policy explain` on a copy of the sample deployment."""

from __future__ import annotations

import json

import pytest

from gateway.errors import Problem

from .sample import call_of, copy_sample, run, write_log

REFUND = {"ticket_id": "T-1", "amount": 50.01, "currency": "USD", "reason": "broken"}


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def explained(folder, operation, arguments, *words, agent="support-bot"):
    return run("explain", "-C", folder, "--agent", agent, "--operation", operation, "--arguments", json.dumps(arguments), *words)


def test_a_described_call_shows_each_condition_and_what_would_change_the_answer(deployment):
    text = explained(deployment, "tickets/create_refund", REFUND).stdout
    assert "DENIED" in text
    assert "Refunds over 50.00 need a person" in text
    assert 'when context.input.currency == "EUR"' in text
    assert "failed (not reached)" in text
    assert "30-refunds.cedar:22" in text
    assert "To be allowed, all of this:" in text
    assert 'context.input.amount.greaterThan(decimal("50.00"))  must be false' in text


def test_json_holds_the_same(deployment):
    found = json.loads(explained(deployment, "tickets/create_refund", REFUND | {"amount": 5}, "--json").stdout)
    assert (found["decision"], found["reasons"], found["refused"]) == ("deny", [], "")
    assert found["arguments"] == REFUND | {"amount": 5}
    near = {p["id"]: p for p in found["policies"]}
    assert set(near) == {"delegation-depth", "refund-limit", "support-refunds-small"}
    assert [c["outcome"] for c in near["support-refunds-small"]["conditions"]] == ["failed", "held"]
    (change,) = found["changes"]
    assert change["single"]
    assert change["steps"][0]["conditions"] == [{"kind": "when", "text": 'context.input.currency == "EUR"', "line": 11}]


def test_what_is_allowed_and_what_is_held_are_explained_too(deployment):
    assert "ALLOWED" in explained(deployment, "tickets/list_tickets", {}).stdout
    text = explained(deployment, "tickets/delete_ticket", {"ticket_id": "T-1"}).stdout
    assert "HELD" in text
    assert "no condition" in text
    assert "no permit is for this" in explained(deployment, "tickets/export", {}, agent="intern-bot").stdout


def test_what_the_contract_refuses_before_policy_is_said(deployment):
    text = explained(deployment, "tickets/create_refund", REFUND | {"ticket_id": "1"}).stdout
    assert "the contract refuses it before policy is asked: /ticket_id" in text


def test_a_call_can_come_from_a_file(deployment):
    path = deployment / "call.json"
    path.write_text(json.dumps(call_of("tickets/list_tickets", {}, actors=["a", "b", "c"], now="2026-05-05T00:00:00Z")))
    found = json.loads(run("explain", "-C", deployment, "--call", path, "--json").stdout)
    assert found["reasons"] == ["delegation-depth"]
    assert found["context"]["now"]["__extn"]["arg"].startswith("2026-05-05")


def test_the_user_reaches_policy(deployment):
    found = json.loads(explained(deployment, "tickets/list_tickets", {}, "--user", "user:alice", "--json").stdout)
    assert found["context"]["user"]["__entity"]["id"] == "user:alice"


async def test_a_logged_decision_is_explained_by_the_policies_of_its_day(deployment):
    await write_log(deployment, [call_of("tickets/create_refund", REFUND), call_of("tickets/create_refund", REFUND | {"amount": 0.00001})])
    rules = deployment / "policies/30-refunds.cedar"
    rules.write_text(rules.read_text().replace("50.00", "90.00"))
    found = json.loads(run("explain", 1, "-C", deployment, "--json").stdout)
    assert (found["what"], found["reasons"]) == ("decision 1", ["refund-limit"])
    assert 'decimal("50.00")' in found["policies"][1]["conditions"][-1]["text"] + found["policies"][2]["conditions"][-1]["text"]
    assert json.loads(explained(deployment, "tickets/create_refund", REFUND, "--json").stdout)["reasons"] == []
    assert "decided before policy was asked: unrepresentable: /amount" in run("explain", 2, "-C", deployment).stdout
    with pytest.raises(Problem, match=r"is no call but a log\.open"):
        run("explain", 0, "-C", deployment)
    with pytest.raises(Problem):
        run("explain", 99, "-C", deployment)


async def test_a_log_that_lost_its_policies_is_a_problem(deployment):
    await write_log(deployment, [call_of("tickets/list_tickets", {})])
    for path in (deployment / "var/log/objects").rglob("*"):
        if path.is_file():
            path.unlink()
    with pytest.raises(Problem, match="decision 1"):
        run("explain", 1, "-C", deployment)


@pytest.mark.parametrize(
    "words", [[], ["3", "--agent", "support-bot"], ["--agent", "a"], ["--agent", "a", "--operation", "b/c", "--arguments", "{"], ["3", "--call", "x"]]
)
def test_wrong_usage_ends_with_2(deployment, words):
    assert run("explain", "-C", deployment, *words).exit_code == 2


def test_a_call_that_cannot_be_is_a_problem(deployment):
    path = deployment / "call.json"
    for text, message in (
        ("[]", "call is not an object"),
        ("{", "JSON"),
        ('{"agnet": "x"}', "call.agnet is not known"),
        ('{"agent": "x"}', "tool is missing"),
    ):
        path.write_text(text)
        with pytest.raises(Problem, match=message):
            run("explain", "-C", deployment, "--call", path)
    with pytest.raises(Problem):
        run("explain", "-C", deployment, "--call", deployment / "nothing.json")
    with pytest.raises(Problem, match="there is no operation tickets/nothing"):
        explained(deployment, "tickets/nothing", {})
    with pytest.raises(Problem, match="there is no agent nobody"):
        explained(deployment, "tickets/list_tickets", {}, agent="nobody")


def test_of_very_many_ways_the_nearest_are_shown(deployment):
    rules = "\n".join(
        f'@id("w{n}") permit (principal, action == Action::"flaky/write", resource) when {{ context.delegation_depth == {n + 1} }};'
        for n in range(14)
    )
    (deployment / "policies/70-many.cedar").write_text(rules)
    text = explained(deployment, "flaky/write", {}).stdout
    assert text.count("To be allowed:") == 10
    assert "and 4 other ways" in text
    assert len(json.loads(explained(deployment, "flaky/write", {}, "--json").stdout)["changes"]) == 14
