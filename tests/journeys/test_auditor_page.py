"""README's section for auditors does what it says: its commands are run as they stand, over the log of a fresh deployment that served calls."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.journeys.test_policy_page import BLOCK, PAGE, Reader, commands_in_text

pytestmark = pytest.mark.slow

SECTION = (PAGE.parents[1] / "README.md").read_text().split("## For auditors\n", 1)[1].split("\n## ", 1)[0]
ELSEWHERE = {
    "portreeve log verify --prometheus": "tests/journeys/test_prometheus.py",
    "portreeve log witness": "tests/cli/test_log_witness.py",
    "portreeve log verify --witness-policy": "tests/cli/test_log_anchors.py",
    "portreeve log verify --peer": "tests/cli/test_log_anchors.py",
}
"""Commands that need somebody else, and where they are run with somebody."""
NO_TOOL = [name for name in ("curl", "openssl", "base64", "sha256sum") if shutil.which(name) is None]
CODES = {"portreeve log open": (0, 3), "portreeve log recover": (0, 1)}


def served(reader: Reader) -> tuple[str, int]:
    """Make two calls, one of them denied, and wait until both are signed. Gives the receipt and the number of the other."""
    token = reader.run("portreeve token support-bot").strip()
    answers = reader.run(
        f'for path in "tickets?status=open" nothing/of/the/kind; do curl -s -D - -o /dev/null -H "Authorization: Bearer {token}"'
        f" {reader.address}/tools/tickets/$path; done"
    )
    found = re.findall(r"portreeve-decision: (\S+)", answers)
    assert len(found) == 2, answers
    first, second = (int(receipt.partition("#")[2].partition(";")[0]) for receipt in found)
    for _ in range(600):
        with urllib.request.urlopen(f"{reader.admin}/log/checkpoint") as answer:
            if int(answer.read().splitlines()[1]) > max(first, second):
                return found[0], first
        time.sleep(0.05)
    raise AssertionError("the calls were not signed")


def follows(reader: Reader, command: str) -> None:
    """A command that runs for ever: its first line is enough."""
    words = shlex.split(command, comments=True)
    where = {"cwd": reader.folder, "env": reader.environment, "executable": f"{reader.folder.parent}/bin/{words[0]}"}
    with subprocess.Popen(words, stdout=subprocess.PIPE, **where) as process:
        assert process.stdout
        assert process.stdout.readline()
        process.terminate()


def commands() -> list[str]:
    blocks = [block[2] for block in BLOCK.finditer(SECTION) if block[1] == "console"]
    return [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]


def test_every_command_of_an_auditor_is_run_here_or_where_it_is_said():
    for path in ELSEWHERE.values():
        assert (PAGE.parents[1] / path).exists()
    for begin, path in ELSEWHERE.items():
        assert any(command.startswith(begin) for command in commands())
        assert all(word in (PAGE.parents[1] / path).read_text() for word in begin.split()[2:])


@pytest.mark.skipif(bool(NO_TOOL), reason=f"not installed on this machine: {', '.join(NO_TOOL)}")
def test_an_auditor_who_trusts_nothing_gets_through_the_section(tmp_path):
    reader = Reader(tmp_path)
    python = tmp_path / "bin" / "python3"
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')  # nothing but the standard library
    python.chmod(0o755)
    reader.run("portreeve init my-gateway")
    reader.folder = tmp_path / "my-gateway"
    with reader.serving():
        receipt, n = served(reader)
        for path in re.findall(r"`(?:GET )?(/log/[^`]+)`", SECTION):
            with urllib.request.urlopen(reader.admin + re.sub(r"\bN$", str(n), path)) as answer:
                assert answer.read(), path
        with urllib.request.urlopen(f"{reader.admin}/log/query?agent=support-bot&decision=deny") as answer:
            assert len(json.load(answer)["calls"]) == 1
    shutil.copy(reader.folder / "var/keys/log.vkey", reader.folder / "log.vkey")
    reader.environment["RECEIPT"] = receipt
    shown = {}
    for command in commands():
        if command.startswith(tuple(ELSEWHERE)):
            continue
        if "tail -f" in command:
            follows(reader, command)
            continue
        there = re.sub(r"(?<= )6(?=[ .])", str(n), command)
        known = next((codes for begin, codes in CODES.items() if command.startswith(begin)), (0,))
        shown[command.split("  ")[0]] = reader.run(there, *known)
    (checked,) = (text for command, text in shown.items() if command.startswith("openssl"))
    (leaf,) = (text[:64] for command, text in shown.items() if command.endswith("sha256sum"))
    (following,) = (text for command, text in shown.items() if command.startswith("head -n 2"))
    assert "Verified Successfully" in checked
    assert f'"prev":"{leaf}"' in following
    assert shown["python3 verify.py COPY --key log.vkey"].startswith("ok  ")
    assert "verified under checkpoint" in shown["portreeve log show 6"]
    harmed(reader, n)
    in_running_text(reader, n)


def harmed(reader: Reader, n: int) -> None:
    """What the section promises of exit codes, on a copy that somebody has changed."""
    path = reader.folder / "COPY/log/00000000000000000000.jsonl"
    path.write_bytes(path.read_bytes().replace(b"support-bot", b"support-cat"))
    for command in ("portreeve log verify --log COPY --key log.vkey", "python3 verify.py COPY --key log.vkey", "python3 verify.py COPY"):
        reader.run(command, 1)
    reader.run("mv log.vkey away.vkey; portreeve log verify --log COPY --key log.vkey", 4)
    reader.run("mv away.vkey log.vkey; rm COPY/log/*.jsonl; python3 verify.py COPY --key log.vkey", 1)
    reader.run(f"portreeve log check-proof {n}.tlog-proof --key log.vkey")


def in_running_text(reader: Reader, n: int) -> None:
    """The commands that the paragraphs name, each where it can end well: nothing is old, sealed or damaged here."""
    for command in commands_in_text(SECTION):
        if command.startswith(tuple(ELSEWHERE)):
            continue
        there = re.sub(r"\bN\b", str(n), command).replace("TEXT", "because").replace("ID", "zoe").replace("\n", " ")
        asks = command.startswith(("portreeve log prune --", "portreeve log erase --", "portreeve log keys rotate --"))
        there += " --yes" if asks else ""
        reader.run(there, *next((codes for begin, codes in CODES.items() if command.startswith(begin)), (0,)))
