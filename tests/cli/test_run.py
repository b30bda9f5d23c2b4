"""`portreeve run`: the command has a fresh token while it lives, its signals and its exit code pass through, and nothing stays behind."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from typing import IO

import pytest

from gateway.cli.run import _Relay
from tests.cli.test_identity import ROOT, make_deployment, verify

WAIT_S_MAX = 60


@pytest.fixture
def deployment(tmp_path: Path) -> Path:
    (tmp_path / "home").mkdir()
    return make_deployment(tmp_path / "home")


def start(deployment: Path, *words: str) -> subprocess.Popen[str]:
    (deployment / "tmp").mkdir(exist_ok=True)
    environment = {**os.environ, "PORTREEVE_FOLDER": str(deployment), "TMPDIR": str(deployment / "tmp"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "gateway", "run", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=environment, cwd=deployment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    with process:
        out, error = process.communicate(timeout=WAIT_S_MAX)
        return process.returncode, out, error


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().strip()


SHOW = """
import json, os
names = [n for n in os.environ if n.startswith("PORTREEVE_")]
path = os.environ["PORTREEVE_TOKEN_FILE"]
stat = os.stat(path)
print(json.dumps({"env": {n: os.environ[n] for n in names}, "mode": stat.st_mode, "text": open(path).read()}))
raise SystemExit(7)
"""


def test_a_command_finds_its_token_and_the_tools_and_its_exit_code_is_ours(deployment: Path):
    code, out, error = finish(start(deployment, "--as", "support-bot", "--for-user", "alice", "--", sys.executable, "-c", SHOW))
    assert (code, error) == (7, "")
    found = json.loads(out)
    environment = found["env"]
    assert environment["PORTREEVE_TOOL_TICKETS_URL"] == "http://127.0.0.1:8080/tools/tickets"
    assert stat.S_IMODE(found["mode"]) == 0o600 and found["text"] == environment["PORTREEVE_TOKEN"]
    identity = verify(deployment, found["text"])
    assert (identity.agent, identity.user, identity.run) == ("support-bot", "alice", environment["PORTREEVE_RUN"])


def test_nothing_stays_behind(deployment: Path):
    code, out, _ = finish(start(deployment, "--as", "support-bot", "--", "sh", "-c", 'echo "$PORTREEVE_TOKEN_FILE"'))
    assert code == 0 and out.strip().startswith(str(deployment / "tmp"))
    assert not Path(out.strip()).exists() and list((deployment / "tmp").iterdir()) == []


def test_the_token_is_renewed_while_the_command_lives(deployment: Path):
    wait = 'first=$(cat "$PORTREEVE_TOKEN_FILE"); while [ "$first" = "$(cat "$PORTREEVE_TOKEN_FILE")" ]; do sleep 0.05; done; cat "$PORTREEVE_TOKEN_FILE"'
    file = deployment / "identities" / "agents" / "audit-bot.toml"
    file.write_text(file.read_text().replace('"5m"', '"2s"'))
    code, out, _ = finish(start(deployment, "--as", "audit-bot", "--", "sh", "-c", wait))
    assert code == 0 and out.count(".") == 2


def test_a_renewal_that_fails_is_said_and_the_command_goes_on(deployment: Path):
    process = start(deployment, "--as", "support-bot", "--ttl", "1s", "--", "sh", "-c", "echo ready; read line; exit 3")
    assert line(process.stdout) == "ready"
    file = deployment / "identities" / "agents" / "support-bot.toml"
    file.write_text(file.read_text().replace('"active"', '"suspended"'))
    assert "is suspended" in line(process.stderr)
    code, _, _ = finish(process)
    assert code == 3


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_reaches_the_command(deployment: Path, number: signal.Signals):
    name = number.name.removeprefix("SIG")
    process = start(
        deployment, "--as", "support-bot", "--", "sh", "-c", f"trap 'echo got {name}; exit 9' {name}; echo ready; while read line; do :; done"
    )
    assert line(process.stdout) == "ready"
    process.send_signal(number)
    assert line(process.stdout) == f"got {name}"  # before its input ends, which would end the command, too
    code, _, _ = finish(process)
    assert code == 9
    assert list((deployment / "tmp").iterdir()) == []


def test_a_signal_that_comes_before_the_command_has_started_waits_for_it():
    relay = _Relay()
    relay(signal.SIGTERM, None)
    with subprocess.Popen(["cat"], stdin=subprocess.PIPE) as process:
        relay.start(process)
        assert process.wait(timeout=WAIT_S_MAX) == -signal.SIGTERM


def test_a_command_that_a_signal_ends_gives_the_code_a_shell_gives(deployment: Path):
    code, _, _ = finish(start(deployment, "--as", "support-bot", "--", "sh", "-c", "kill -9 $$"))
    assert code == 128 + 9


def test_options_behind_the_command_are_the_commands(deployment: Path):
    code, out, _ = finish(start(deployment, "--as", "support-bot", "--", "printf", "%s|", "--as", "-C", "--help"))
    assert (code, out) == (0, "--as|-C|--help|")


def test_a_command_that_is_not_there_or_no_program_is_said(deployment: Path):
    code, _, error = finish(start(deployment, "--as", "support-bot", "--", "no-such-command"))
    assert (code, error.strip()) == (127, "portreeve: no-such-command: command not found")
    code, _, error = finish(start(deployment, "--as", "support-bot", "--", str(deployment / "gateway.toml")))
    assert code == 126 and "not executable" in error
    assert list((deployment / "tmp").iterdir()) == []


def test_an_unknown_agent_runs_nothing(deployment: Path):
    code, out, error = finish(start(deployment, "--as", "nobody", "--", "echo", "ran"))
    assert (code, out) == (1, "") and "unknown_agent" in error


def test_a_command_inherits_no_credential_of_the_deployment(deployment: Path, monkeypatch: pytest.MonkeyPatch):
    with (deployment / "gateway.toml").open("a") as settings:
        settings.write('[credential.plain]\nsecret = "env:CANARY_PLAIN"\nheader = "X-Key"\nhosts = ["127.0.0.1"]\n')
        settings.write(
            '[credential.client]\nheader = "X-Key"\nhosts = ["127.0.0.1"]\n[credential.client.oauth2]\ntoken_url = "https://idp.example"\n'
        )
        settings.write('client_id = "gateway"\nclient_secret = "env:CANARY_CLIENT"\n')
    for name in ("CANARY_PLAIN", "CANARY_CLIENT", "OTHER"):
        monkeypatch.setenv(name, "CANARY-secret" if name != "OTHER" else "its own")
    code, out, error = finish(start(deployment, "--as", "support-bot", "--", "env"))
    assert (code, error) == (0, "")
    assert "CANARY" not in out and "OTHER=its own" in out
