"""`portreeve policy suggest` on a log that the sample deployment's own policies decided."""

from __future__ import annotations

import json
import shutil

import pytest

from gateway.errors import Problem

from .sample import call_of, copy_sample, run, write_log

REFUND = {"ticket_id": "T-1", "currency": "EUR", "reason": "broken"}
CALLS = [
    *(call_of("tickets/create_refund", REFUND | {"amount": amount, "ticket_id": f"T-{amount}"}) for amount in (10, 20, 31)),
    call_of("tickets/create_refund", REFUND | {"amount": 70}),
    call_of("tickets/delete_ticket", {"ticket_id": "T-1"}),
    call_of("tickets/export", {}, "audit-bot"),
    call_of("tickets/export", {}, "intern-bot"),
]


@pytest.fixture
async def deployment(tmp_path):
    copy_sample(tmp_path)
    await write_log(tmp_path, CALLS)
    return tmp_path


def suggestions(deployment, *words):
    done = run("suggest", "-C", deployment, *words, "--json")
    assert done.exit_code == 0
    return json.loads(done.stdout)


async def test_only_what_was_allowed_is_suggested_with_its_bounds_and_what_was_never_used_is_listed(deployment):
    found = suggestions(deployment)
    assert [(s["agent"], s["operations"], s["count"]) for s in found["suggestions"]] == [
        ("audit-bot", ["tickets/export"], 1),
        ("support-bot", ["tickets/create_refund"], 3),
    ]
    assert 'context.input.amount.lessThanOrEqual(decimal("31.0"))' in found["suggestions"][1]["conditions"]
    assert 'context.input.currency == "EUR"' in found["suggestions"][1]["conditions"]
    assert found["suggestions"][1]["unbounded"] == ["ticket_id"]
    assert found["decisions"] == {"covered": 4, "denied": 3, "denied_today": 0, "unfit": 0}
    assert {p["id"] for p in found["unused"]} == {
        "support-reads-tickets",
        "support-writes-tickets",
        "interns-read-tickets",
        "support-reads-other-tools",
    }
    assert [s["agent"] for s in suggestions(deployment, "--agent", "audit-bot")["suggestions"]] == ["audit-bot"]


async def test_what_is_printed_passes_the_check_in_place_of_the_permits_that_were_there(deployment):
    text = run("suggest", "-C", deployment).stdout
    shutil.rmtree(deployment / "policies")
    (deployment / "policies").mkdir()
    (deployment / "policies" / "least.cedar").write_text(text)
    assert run("check", "-C", deployment, "--strict").exit_code == 0


async def test_a_file_is_written_once_and_never_over_another(deployment):
    target = deployment / "least.cedar"
    assert "Wrote" in run("suggest", "-C", deployment, "--write", target).stdout
    assert "permit (" in target.read_text()
    with pytest.raises(Problem, match="there is a file"):
        run("suggest", "-C", deployment, "--write", target)


async def test_what_todays_policies_deny_is_not_opened_again(deployment):
    refunds = deployment / "policies" / "30-refunds.cedar"
    refunds.write_text(refunds.read_text().replace('"50.00"', '"15.00"'))
    found = suggestions(deployment)
    assert found["decisions"] == {"covered": 2, "denied": 3, "denied_today": 2, "unfit": 0}
    assert 'context.input.amount.lessThanOrEqual(decimal("10.0"))' in found["suggestions"][1]["conditions"]


async def test_without_decisions_nothing_is_suggested_and_nothing_called_unused(deployment):
    done = run("suggest", "-C", deployment, "--since", "2999-01-01")
    assert "nothing to suggest" in done.stderr
    assert "candidates for removal" not in done.stderr
    assert suggestions(deployment, "--since", "2999-01-01")["suggestions"] == []
