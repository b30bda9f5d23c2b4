"""Every policy command for machines: what `--json` prints is what policies/README.md says, whatever happens."""

from __future__ import annotations

import asyncio
import json
import re
import shutil

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from gateway.cli.main import app as portreeve
from gateway.cli.policy import app
from tests.authorize.test_conformance import write

from .sample import ROOT, call_of, copy_sample, run, write_log

PAGE = (ROOT / "policies/README.md").read_text().split("## For machines\n", 1)[1].split("\n## ", 1)[0]
DOCUMENTED = dict(re.findall(r"^\| `([a-z-]+)` \| `([^`]+)`", PAGE, re.MULTILINE))
PROBLEM = "code message file line column key remedy"
MAY_BE_EMPTY = {"diff.searched.not_tried", "replay.unfit_because"}
COMMANDS = sorted(get_command(app).commands)

MORE = """\
@id("trial") @mode("shadow") forbid (principal, action == Action::"tickets/create_ticket", resource);
@id("no-high") forbid (principal in AgentGroup::"support", action == Action::"tickets/create_ticket", resource)
when { context.input has priority && context.input.priority == "high" };
@id("gone") permit (principal == Agent::"gone-bot", action == Action::"tickets/export", resource);
"""
TICKET = {"title": "Down", "body": "All of it"}
CASE = {"name": "no high priority", "call": call_of("tickets/create_ticket", TICKET | {"priority": "high"}), "expect": {"decision": "deny"}}
RUNS = {
    "check": [],
    "test": [],
    "list": [],
    "lint": [],
    "coverage": ["--log"],
    "confuse": ["no-high"],
    "diff": ["policies", "next"],
    "explain": [2],
    "fmt": ["--check", "policies/70-more.cedar"],
    "replay": ["--candidate", "next"],
    "schema": ["--write", "schema"],
    "shadow": [],
    "suggest": ["--write", "suggested.cedar"],
    "who-can": ["tickets/create_ticket"],
    "conformance": ["corpus"],
}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory):
    folder = copy_sample(tmp_path_factory.mktemp("sample"))
    (folder / "policies/70-more.cedar").write_text(MORE)
    (folder / "policies/cases/more.json").write_text(json.dumps({"cases": [CASE]}))
    shutil.copytree(folder / "policies", folder / "next", ignore=shutil.ignore_patterns("50-interns.cedar"))
    (folder / "next/70-more.cedar").write_text(MORE.replace('"high"', '"low"'))
    (folder / "corpus").mkdir()
    write(folder / "corpus")
    asyncio.run(write_log(folder, [call_of("tickets/create_ticket", TICKET), call_of("tickets/get_ticket", {"ticket_id": "T-1"}, "intern-bot")]))
    return folder


def members(text):
    """`a b[c d{e}]` as {"a": None, "b": ("[", {"c": None, "d": ("{", {"e": None})})}."""
    found, stack = {}, []
    here = found
    for word, bracket in re.findall(r"([a-z_]+)|([\[\]{}])", text):
        if word:
            here[last := word] = None
        elif bracket in "[{":
            here[last] = (bracket, inner := {})
            stack.append(here)
            here = inner
        else:
            here = stack.pop()
    return found


def hold(found, documented, place, filled):
    """The members of an object are the documented ones, and so on below. `filled` collects the places where there was something to look at."""
    assert set(found) == set(documented), place
    for name, value in found.items():
        kind, inner = documented[name] or ("[", members(PROBLEM) if name in {"problems", "warnings"} else None)
        if inner is None or value is None:
            continue
        assert isinstance(value, list if kind == "[" else dict), f"{place}.{name}"
        for item in value if kind == "[" else [value]:
            filled.add(f"{place}.{name}")
            hold(item, inner, f"{place}.{name}", filled)


def places(documented, place):
    """Where something must be looked at, for a check of the members to be one."""
    for name, below in documented.items():
        if below is not None:
            yield f"{place}.{name}"
            yield from places(below[1], f"{place}.{name}")


@pytest.fixture
def within(deployment, monkeypatch):
    monkeypatch.chdir(deployment)
    return deployment


@pytest.mark.parametrize("command", COMMANDS)
def test_what_is_printed_for_machines_is_what_the_page_says(within, command):
    done = run(command, *RUNS[command], "--json")
    found = json.loads(done.stdout)
    assert done.stderr == ""
    assert found["ok"] is (done.exit_code == 0)
    documented = {"ok": None} | members("written" if command == "schema" else DOCUMENTED[command])
    filled = set()
    hold(found, documented, command, filled)
    assert set(places(documented, command)) - filled <= MAY_BE_EMPTY


def test_the_schema_is_cedar_s_own_form_and_standard_input_is_given_back_laid_out(within):
    assert set(json.loads(run("schema", "--json").stdout)) == {""}
    done = CliRunner().invoke(app, ["fmt", "-", "--json"], input=MORE)
    found = json.loads(done.stdout)
    assert (found["ok"], found["written"], [one["file"] for one in found["changed"]]) == (True, [], ["stdin"])
    assert found["text"].startswith('@id("trial")\n@mode("shadow")\nforbid (')
    done = CliRunner().invoke(app, ["fmt", "-", "--json"], input=b"\xff")
    assert [(p["code"], p["line"], p["column"]) for p in json.loads(done.stdout)["problems"]] == [("policy_not_utf8", 1, 1)]


@pytest.mark.parametrize("command", COMMANDS)
def test_what_ends_a_command_early_is_json_too(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    words = ["policies/70-more.cedar"] if command == "fmt" else RUNS[command]
    done = run(command, *words, "--json")
    assert (done.exit_code, done.stderr) == (1, "")
    filled = set()
    hold(
        json.loads(done.stdout), members("ok " + (DOCUMENTED[command] if command in {"check", "fmt", "conformance"} else "problems")), command, filled
    )
    assert f"{command}.problems" in filled


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["replay"], "Missing option '--candidate'"),
        (["list", "--colour"], "No such option: --colour"),
        (["replay", "--candidate", "next", "--fail-on", "more"], "'more' is not one of 'any', 'widening', 'narrowing', 'none'"),
        (["explain"], "give one of: a decision's number"),
        (["who-can", "--arguments", "[]"], "--arguments takes one JSON object"),
        (["shadow", "--since", "noon"], "--since: write 7d"),
    ],
)
def test_wrong_usage_is_json_too(within, words, says):
    done = run(*words, "--json")
    assert (done.exit_code, done.stderr) == (2, "")
    (problem,) = json.loads(done.stdout)["problems"]
    assert problem["code"] == "usage"
    assert says in problem["message"]
    text = run(*words)
    assert (text.exit_code, text.stdout) == (2, "")
    assert says in " ".join(text.stderr.split()).replace("│ │ ", "")


def test_a_log_that_lost_its_objects_is_a_problem_for_every_command_that_reads_it(within, tmp_path):
    objects = within / "var/log/objects"
    objects.rename(tmp_path / "objects")
    try:
        for words in (["coverage", "--log"], ["replay", "--candidate", "next"], ["shadow"], ["suggest"]):
            done = run(*words, "--json")
            assert [p["code"] for p in json.loads(done.stdout)["problems"]] == ["log_unreadable"], words
            assert (words, done.exit_code) == (words, 1)
    finally:
        (tmp_path / "objects").rename(objects)


NAMES = {"[OPERATION]": "tickets/get_ticket", "TOOL/OPERATION": "tickets/get_ticket", "AGENT": "audit-bot"}
NAMED = [
    (name, p) for name in COMMANDS for p in get_command(app).commands[name].params if p.metavar in NAMES or (p.name == "words" and name != "test")
]


def offered(words):
    environment = {"_PORTREEVE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["portreeve", "policy", *words]), "COMP_CWORD": str(len(words) + 1)}
    return CliRunner().invoke(portreeve, [], prog_name="portreeve", env=environment).stdout.split()


@pytest.mark.parametrize(("command", "parameter"), NAMED, ids=lambda one: getattr(one, "name", one))
def test_a_shell_is_offered_the_names_of_the_deployment(within, command, parameter):
    wanted = NAMES.get(parameter.metavar, "no-high")
    option = [parameter.opts[0]] if parameter.opts[0].startswith("-") else []
    found = offered([command, *option, wanted[:2]])
    assert wanted in found
    assert all(name.startswith(wanted[:2]) for name in found)
