"""`portreeve policy` on a copy of the sample deployment."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from gateway.cli.policy import app, check, list_policies, run_tests
from gateway.errors import Problem, Problems

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def deployment(tmp_path):
    for name in ("policies", "identities", "tools"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / "gateway.toml", tmp_path)
    return tmp_path


def shown(capsys):
    return json.loads(capsys.readouterr().out)


def test_the_sample_is_in_order(deployment, capsys):
    check(deployment, as_json=True, strict=True)
    found = shown(capsys)
    assert found["ok"]
    assert found["problems"] == found["warnings"] == []
    check(deployment)
    assert "12 policies, 17 cases" in capsys.readouterr().out


def test_a_fault_is_shown_with_file_line_and_text_and_fails_the_command(deployment, capsys):
    (deployment / "policies/70-new.cedar").write_text('// one\n@id("new")\npermit (principal, action == Action::"tickets/get_tiket", resource);\n')
    with pytest.raises(typer.Exit) as caught:
        check(deployment)
    assert caught.value.exit_code == 1
    found = capsys.readouterr()
    assert "policies/70-new.cedar:3" in found.err
    assert '3 | permit (principal, action == Action::"tickets/get_tiket", resource);' in found.err
    assert "FAILED" in found.out
    with pytest.raises(typer.Exit):
        check(deployment, as_json=True)
    assert {p["code"] for p in shown(capsys)["problems"]} == {"policy_invalid"}


def test_a_warning_fails_only_when_strict(deployment, capsys):
    (deployment / "policies/70-new.cedar").write_text(
        '@id("new") @expires("2020-01-01") forbid (principal in AgentGroup::"nobody", action, resource == Tool::"tickets");'
    )
    check(deployment, as_json=True)
    assert {w["code"] for w in shown(capsys)["warnings"]} == {"policy_expired", "unknown_agent_group"}
    with pytest.raises(typer.Exit):
        check(deployment, strict=True)


def test_a_case_that_turns_out_otherwise_is_shown_and_fails_the_command(deployment, capsys):
    rules = deployment / "policies/30-refunds.cedar"
    rules.write_text(rules.read_text().replace('"50.00"', '"60.00"'))
    with pytest.raises(typer.Exit) as caught:
        run_tests(None, deployment, as_json=True)
    assert caught.value.exit_code == 1
    wrong = [case for case in shown(capsys)["cases"] if not case["ok"]]
    assert [case["name"] for case in wrong] == ["a refund one cent over the limit"]
    assert "decision is 'allow' (by support-refunds-small), expected 'deny'" in wrong[0]["wrong"]
    with pytest.raises(typer.Exit):
        run_tests(["refund"], deployment)
    found = capsys.readouterr()
    assert "FAILED  a refund one cent over the limit" in found.out
    assert "refunds.json:" in found.err


def test_cases_can_be_chosen_by_name(deployment, capsys):
    run_tests(["auditor"], deployment, as_json=True)
    assert [case["name"] for case in shown(capsys)["cases"]] == ["an auditor exports tickets", "an auditor opens no ticket"]


def test_policies_are_listed_with_their_scope(deployment, capsys):
    list_policies(["delete"], deployment)
    text = capsys.readouterr().out
    assert "permit after approval" in text
    assert "20-support.cedar:22" in text
    list_policies(None, deployment, as_json=True)
    assert len(shown(capsys)["policies"]) == 12


def test_a_folder_without_a_deployment_is_a_problem(tmp_path, capsys):
    with pytest.raises((Problem, Problems)):
        list_policies(None, tmp_path)
    with pytest.raises(typer.Exit):
        check(tmp_path)
    assert "gateway.toml" in capsys.readouterr().err


def test_the_commands_are_there():
    found = CliRunner().invoke(app, ["--help"])
    assert found.exit_code == 0
    assert all(name in found.output for name in ("check", "test", "schema", "list"))


def test_a_word_that_no_case_has_is_no_success(deployment):
    with pytest.raises(Problem) as caught:
        run_tests(["refnd"], deployment)
    assert caught.value.code == "no_such_case"
