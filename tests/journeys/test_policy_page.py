"""policies/README.md does what it says: its commands are run as they stand, on a fresh deployment with a gateway that serves it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app

pytestmark = pytest.mark.slow

PAGE = Path(__file__).resolve().parents[2] / "policies" / "README.md"
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED_FILE = re.compile(r"new file, `([^`]+)`")
ADDRESS = "http://127.0.0.1:8080"
NOT_RUN = ("portreeve init", "portreeve serve", "portreeve policy conformance")
"""Commands in running text that begin a deployment, run for ever, or need files from elsewhere."""


class Reader:
    """Somebody who does what the page says, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = ADDRESS
        self.admin = ""
        tools = folder / "bin"
        tools.mkdir()
        command = tools / "portreeve"
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m gateway "$@"\n')
        command.chmod(0o755)
        self.environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "PYTHONPATH": str(PAGE.parents[1]), "NO_PROXY": "*"}

    def run(self, commands: str, *codes: int) -> str:
        done = subprocess.run(
            ["bash", "-e", "-c", commands.replace(ADDRESS, self.address)],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode in (codes or (0,)), f"{commands}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        settings = self.folder / "gateway.toml"
        text = settings.read_text().replace("127.0.0.1:8080", "127.0.0.1:0").replace("127.0.0.1:9090", "127.0.0.1:0")
        settings.write_text(text.replace('url = "http://127.0.0.1:0"', f'url = "{ADDRESS}"'))
        with subprocess.Popen(
            ["portreeve", "serve", "--json"],
            cwd=self.folder,
            env=self.environment,
            executable=f"{self.folder.parent}/bin/portreeve",
            stdout=subprocess.PIPE,
        ) as process:
            assert process.stdout
            where = json.loads(process.stdout.readline())
            self.address, self.admin = where["agents"], where["admin"]
            try:
                yield
            finally:
                process.terminate()
                process.wait(30)

    def live(self) -> None:
        """Wait until what is on disk is in force."""
        wanted = json.loads(self.run("portreeve policy list --json"))["digest"]
        for _ in range(600):
            with urllib.request.urlopen(f"{self.admin}/readyz") as answer:
                if json.load(answer)["state"]["policies"] == wanted:
                    return
            time.sleep(0.05)
        raise AssertionError("what was saved did not go live")


def follow(reader: Reader, text: str) -> str:
    """Do every block of a part of the page, in order. Gives all that was shown."""
    shown, at = "", 0
    for block in BLOCK.finditer(text):
        kind, content = block[1], block[2]
        before = text[at : block.start()]
        at = block.end()
        if kind == "text":
            assert content.strip() in shown
        elif kind:
            (name,) = NAMED_FILE.findall(before)
            (reader.folder / name).write_text(content)
            if kind == "cedar":  # the page asks to misspell it first
                (reader.folder / name).write_text(content.replace("priority ==", "prioritty =="))
                wrong = reader.run("portreeve policy check --candidate policies-next", 1)
                assert all(part in wrong for part in ("25-priority.cedar:", "did you mean 'priority'?", "^"))
                (reader.folder / name).write_text(content)
        else:
            shown += reader.run(content)
            if " policies/" in content:
                reader.live()
    return shown


def commands_in_text(page: str) -> list[str]:
    """Those in running text and tables that no block has run already."""
    blocks = "".join(block[2] for block in BLOCK.finditer(page))
    spans = dict.fromkeys(re.findall(r"`(portreeve [^`]+)`", BLOCK.sub("", page)))
    return [command for command in spans if command not in blocks and not command.startswith(NOT_RUN)]


def test_the_page_takes_a_reader_from_zero_to_a_live_rule(tmp_path, monkeypatch):
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed on this machine")
    page = PAGE.read_text()
    begin, rest = page.split("## From zero to a live rule\n", 1)[1].split("In a second terminal", 1)
    reader = Reader(tmp_path)
    follow(reader, begin)
    reader.folder = tmp_path / "my-gateway"
    with reader.serving():
        tutorial, trying = rest.split("## Trying rules", 1)
        shown = follow(reader, tutorial)
        assert "NEVER" not in shown
        for part in ("3 cases, 0 failed", "allow -> deny  support-no-high-priority", "1 changed (1 narrowing)", '"status":403'):
            assert part in shown
        refused = json.loads(re.findall(r"\{.*High priority is set by people.*\}", shown)[-1])
        assert "permit (" in follow(reader, trying.split("## Commands", 1)[0])
        monkeypatch.chdir(reader.folder)
        for command in commands_in_text(page):
            there = re.sub(r"\b(?:n|6)$", str(refused["decision"]["n"]), command).replace("DIR", "policies-next")
            done = CliRunner().invoke(app, shlex.split(there)[1:])
            assert done.exit_code in (0, 1), f"{there}\n{done.output}"  # 1 is an answer, too: of a gate, or a check
            assert done.exception is None or isinstance(done.exception, SystemExit), there
