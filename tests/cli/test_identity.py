"""Tokens on the command line: what is printed is what the gateway takes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from gateway.cli.main import app
from gateway.errors import Problem, Problems, Refusal
from gateway.identify import SigningKeys, Verifier
from gateway.identities import load_identities
from gateway.secret import Secret
from tests.journeys.token_clients import Key, claims_of

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """schema = 1
[gateway]
name = "test"
url = "http://127.0.0.1:8080"
policies = "policies"
identities = "identities"
keys = "keys"
[listen.agents]
address = "127.0.0.1:8080"
[listen.admin]
address = "127.0.0.1:9090"
[log]
folder = "log"
origin = "test.localhost/log"
[tool.tickets]
url = "http://127.0.0.1:9801"
[tool.issue-search]
url = "http://127.0.0.1:9802"
"""


def make_deployment(folder: Path) -> Path:
    (folder / "gateway.toml").write_text(SETTINGS)
    (folder / "policies").mkdir()
    shutil.copytree(ROOT / "identities", folder / "identities")
    return folder


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    return make_deployment(tmp_path)


def call(deployment: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--folder", str(deployment)], env={"PORTREEVE_FOLDER": ""})


def verify(deployment: Path, text: str) -> Any:
    url = "http://127.0.0.1:8080"
    return Verifier(load_identities(deployment / "identities"), SigningKeys.open(deployment / "keys"), url + "/tools", url).verify(
        Secret(text.strip())
    )


def problem(result: Result) -> Problem:
    assert result.exit_code == 1
    error = result.exception
    found = error.problems[0] if isinstance(error, Problems) else error
    assert isinstance(found, Problem) and found.remedy
    return found


def test_a_printed_token_is_one_line_that_the_gateway_takes(deployment: Path):
    result = call(deployment, "token", "support-bot")
    assert result.exit_code == 0 and result.stdout.count("\n") == 1
    identity = verify(deployment, result.stdout)
    assert (identity.agent, identity.user, identity.scopes) == ("support-bot", None, ("tickets:read", "tickets:write", "refunds:write"))


def test_the_options_narrow_the_token(deployment: Path):
    result = call(deployment, "token", "support-bot", "--for-user", "alice@example.com", "--ttl", "90s", "--scope", "tickets:read", "--json")
    found = json.loads(result.stdout)
    identity = verify(deployment, found["access_token"])
    assert (identity.user, identity.scopes) == ("alice@example.com", ("tickets:read",))
    assert (found["token_type"], found["expires_in"], found["scope"], found["agent"]) == ("Bearer", 90, "tickets:read", "support-bot")
    assert found["expires_at"].endswith("Z")


def test_a_life_beyond_the_agents_cap_is_cut_and_said(deployment: Path):
    result = call(deployment, "token", "audit-bot", "--ttl", "1h", "--json")
    assert json.loads(result.stdout)["expires_in"] == 300
    assert "it lives 300 s" in result.stderr


@pytest.mark.parametrize("ttl", ["5", "soon", "0s", "-5m", ""])
def test_a_duration_that_is_none_is_wrong_usage(deployment: Path, ttl: str):
    result = call(deployment, "token", "support-bot", "--ttl", ttl)
    assert result.exit_code == 2 and "5m" in result.stderr


@pytest.mark.parametrize(
    ("words", "code", "remedy"),
    [
        (["token", "suport-bot"], "unknown_agent", "did you mean 'support-bot'?"),
        (["token", "zzz"], "unknown_agent", "known agents: audit-bot, intern-bot, support-bot"),
        (["token", "audit-bot", "--for-user", "alice"], "may_not_delegate", "may_act_for_users"),
        (["token", "audit-bot", "--scope", "admin"], "scope_beyond_agent", "tickets:read"),
        (["env", "../../etc/passwd"], "unknown_agent", "known agents"),
    ],
)
def test_what_cannot_be_minted_says_what_to_do(deployment: Path, words: list[str], code: str, remedy: str):
    found = problem(call(deployment, *words))
    assert found.code == code and remedy in found.remedy


def test_no_token_is_made_for_an_agent_that_is_stopped(deployment: Path):
    file = deployment / "identities" / "agents" / "intern-bot.toml"
    file.write_text(file.read_text().replace('"active"', '"suspended"'))
    assert problem(call(deployment, "token", "intern-bot")).code == "agent_not_active"
    with (deployment / "identities" / "revoked.toml").open("a") as revoked:
        revoked.write('[[denial]]\nagent = "audit-bot"\nreason = "INC-7"\n')
    result = call(deployment, "token", "audit-bot")
    assert isinstance(result.exception, Problem) and result.exception.code == "agent_revoked"


def test_a_folder_without_deployment_is_a_problem(tmp_path: Path):
    assert problem(call(tmp_path, "token", "support-bot")).code == "no_deployment"


def test_a_shell_that_evaluates_the_exports_has_the_token_and_the_base_urls(deployment: Path):
    exports = call(deployment, "env", "support-bot").stdout
    script = exports + 'printf "%s\\n" "$PORTREEVE_URL" "$PORTREEVE_TOOL_TICKETS_URL" "$PORTREEVE_TOOL_ISSUE_SEARCH_URL" "$PORTREEVE_TOKEN"'
    lines = subprocess.run(["/bin/sh", "-eu", "-c", script], capture_output=True, text=True, check=True).stdout.splitlines()
    assert lines[:3] == ["http://127.0.0.1:8080", "http://127.0.0.1:8080/tools/tickets", "http://127.0.0.1:8080/tools/issue-search"]
    assert verify(deployment, lines[3]).agent == "support-bot"


def test_two_tools_that_make_one_variable_get_none_rather_than_a_wrong_one(deployment: Path):
    with (deployment / "gateway.toml").open("a") as file:
        file.write('[tool.issue_search]\nurl = "http://127.0.0.1:9803"\n')
    result = call(deployment, "env", "support-bot")
    if result.exit_code == 0:  # where the settings allow such a name at all
        assert "ISSUE_SEARCH" not in result.stdout and "TICKETS" in result.stdout
    else:
        assert isinstance(result.exception, Problems)


def test_headers_are_json_for_a_client(deployment: Path):
    found = json.loads(call(deployment, "headers", "support-bot").stdout)
    assert list(found) == ["Authorization"]
    assert verify(deployment, found["Authorization"].removeprefix("Bearer ")).agent == "support-bot"


def test_the_folder_can_come_from_the_environment(deployment: Path):
    result = CliRunner().invoke(app, ["token", "support-bot"], env={"PORTREEVE_FOLDER": str(deployment)})
    assert verify(deployment, result.stdout).agent == "support-bot"


def test_the_list_shows_who_is_there_and_who_is_stopped(deployment: Path):
    with (deployment / "identities" / "revoked.toml").open("a") as revoked:
        revoked.write('[[denial]]\nagent = "audit-bot"\nreason = "INC-7"\n')
    file = deployment / "identities" / "agents" / "intern-bot.toml"
    file.write_text(file.read_text().replace("2027-12-31", "2020-01-01"))
    table = call(deployment, "identity", "list").stdout
    assert "support-bot" in table and "team:customer-support" in table
    found = {a["id"]: a["status"] for a in json.loads(call(deployment, "identity", "list", "--json").stdout)}
    assert found == {"audit-bot": "revoked", "intern-bot": "expired", "support-bot": "active"}


def test_lint_finds_nothing_wrong_in_the_sample(deployment: Path):
    result = call(deployment, "identity", "lint")
    assert (result.exit_code, result.stdout) == (0, "3 agents, 0 problems, 0 notices\n")


def test_lint_shows_every_fault_with_its_line(deployment: Path):
    file = deployment / "identities" / "agents" / "intern-bot.toml"
    file.write_text(file.read_text().replace("status ", "statu "))
    result = call(deployment, "identity", "lint")
    assert result.exit_code == 1
    assert "intern-bot.toml:8" in result.stdout and "did you mean 'status'?" in result.stdout
    found = json.loads(call(deployment, "identity", "lint", "--json").stdout)
    assert (found["ok"], [p["code"] for p in found["problems"]]) == (False, ["unknown_key"])


@pytest.mark.parametrize(("line", "code"), [("expires = 2020-01-01", "expires_soon"), ("", "never_expires")])
def test_lint_notices_what_lapses_and_what_never_does(deployment: Path, line: str, code: str):
    file = deployment / "identities" / "agents" / "intern-bot.toml"
    file.write_text(file.read_text().replace("expires     = 2027-12-31", line))
    found = json.loads(call(deployment, "identity", "lint", "--json").stdout)
    assert (found["ok"], [n["code"] for n in found["notices"]]) == (True, [code])
    assert call(deployment, "identity", "lint").exit_code == 0
    assert call(deployment, "identity", "lint", "--strict").exit_code == 1


def test_a_token_of_another_deployment_is_not_taken_here(deployment: Path, tmp_path_factory: pytest.TempPathFactory):
    other = make_deployment(tmp_path_factory.mktemp("other"))
    with pytest.raises(Refusal) as caught:
        verify(deployment, call(other, "token", "support-bot").stdout)
    assert "kid is not a key" in caught.value.reason
    assert os.stat(deployment / "keys").st_mode & 0o077 == 0


def test_the_ways_in_which_an_agent_proves_itself_are_listed_and_a_key_that_ends_soon_is_a_notice(deployment: Path):
    key = Key("bot-1").toml + "not_after = 2026-01-31\n"
    text = 'schema = 1\n[agent]\nid = "bot"\nowner = "team:a"\nexpires = 2099-01-01\n[token]\npop = "required"\n' + key
    (deployment / "identities" / "agents" / "bot.toml").write_text(text)
    [facts] = [found for found in json.loads(call(deployment, "identity", "list", "--json").stdout) if found["id"] == "bot"]
    assert (facts["pop"], facts["credentials"]) == ("required", [{"kind": "key", "kid": "bot-1", "not_after": "2026-01-31"}])
    done = call(deployment, "identity", "lint", "--strict", "--json")
    assert done.exit_code == 1 and "key_ends_soon" in {notice["code"] for notice in json.loads(done.stdout)["notices"]}


def test_an_agent_whose_tokens_must_be_bound_gets_one_for_the_key_that_is_named(deployment: Path):
    key = Key("bot-1")
    text = 'schema = 1\n[agent]\nid = "bot"\nowner = "team:a"\n[token]\npop = "required"\n'
    (deployment / "identities" / "agents" / "bot.toml").write_text(text)
    assert problem(call(deployment, "token", "bot")).code == "key_needed"
    found = json.loads(call(deployment, "token", "mint", "bot", "--jkt", key.thumbprint, "--json").stdout)
    assert (found["token_type"], claims_of(found["access_token"])["cnf"]) == ("DPoP", {"jkt": key.thumbprint})
    assert problem(call(deployment, "token", "bot", "--jkt", "short")).code == "bad_name"
