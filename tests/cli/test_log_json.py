"""What the log's commands print for machines is what the README says, and what ends them early is JSON, too."""

import asyncio
import json
import re

import pytest
from typer.testing import CliRunner

from gateway.cli.log import app
from tests.cli.sample import ROOT, call_of, copy_sample, write_log

PAGE = (ROOT / "README.md").read_text().split("**For machines.**", 1)[1].split("\n## ", 1)[0]
DOCUMENTED = {
    name: [set(members.split()) for members in re.findall(r"`([^`]+)`", row[1]) if not members.startswith("query") and members != "open"]
    for row in re.findall(r"^\| (`[^|]+`) \| (.+) \|$", PAGE, re.MULTILINE)
    for name in re.findall(r"`([^`]+)`", row[0])
}
TICKET = {"title": "Down", "body": "All of it"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = copy_sample(tmp_path_factory.mktemp("sample"))
    asyncio.run(write_log(found, [call_of("tickets/create_ticket", TICKET), call_of("tickets/get_ticket", {"ticket_id": "T-1"}, "intern-bot")]))
    done = CliRunner().invoke(app, ["prove", "1", "-C", str(found), "--out", str(found / "proof")])
    assert done.exit_code == 0, done.output
    return found


def printed(folder, words: list[str], *, code: int = 0):
    done = CliRunner().invoke(app, [*words, *([] if words[0] == "check-proof" else ["-C", str(folder)]), "--json"])
    assert done.exit_code == code, (done.output, done.exception)
    return json.loads(done.stdout.splitlines()[0] if words[0] in {"query", "open"} else done.stdout)


def test_a_log_that_is_sound(folder):
    proven = printed(folder, ["check-proof", str(folder / "proof"), "--key", str(folder / "var/keys/log.vkey")])
    assert set(proven) == DOCUMENTED["check-proof"][0]
    receipt = f"{proven['origin']}#{proven['n']};{proven['leaf']}"
    lines, opens, count = DOCUMENTED["query"]
    assert set(printed(folder, ["query"])) == lines
    assert set(printed(folder, ["open"], code=3)) == lines | opens
    assert set(printed(folder, ["query", "--count"])) == count
    assert DOCUMENTED["explain"][0] <= set(printed(folder, ["explain", "1"]))
    (listed,) = printed(folder, ["keys", "list"])
    assert set(listed) == DOCUMENTED["keys list"][0]
    for words in (
        ["verify"],
        ["replay"],
        ["checkpoint"],
        ["check-receipt", receipt],
        ["erase", "--subject", "user:a", "--why", "w", "--yes"],
        ["archive"],
        ["prune", "--before", "1", "--why", "w", "--yes"],
        ["recover"],
        ["index", "rebuild"],
        ["keys", "rotate", "--why", "w", "--yes"],
    ):
        name = " ".join(words[: 2 if words[0] in {"index", "keys"} else 1])
        assert set(printed(folder, words)) == DOCUMENTED[name][0], name


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        (["show", "99"], 1, "log_no_record"),
        (["check-proof", "/none", "--key", "/none"], 1, "file_error"),
        (["verify", "--log", "/none", "--key", "/none"], 4, "log_key"),
        (["erase", "--subject", "zoe", "--why", "w", "--yes"], 1, "log_subject"),
        (["query", "--since", "noon"], 2, "usage"),
        (["keys", "rotate"], 2, "usage"),
        (["index", "rebuild", "--log", "/none"], 1, "log_missing"),
    ],
)
def test_what_ends_a_command_early_is_a_problem_with_a_code(folder, words, code, problem):
    done = CliRunner().invoke(app, [*words, *([] if words[0] == "check-proof" or "--log" in words else ["-C", str(folder)]), "--json"])
    found = json.loads(done.stdout)
    assert (done.exit_code, found["ok"], [each["code"] for each in found["problems"]]) == (code, False, [problem])
