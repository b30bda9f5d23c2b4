"""The command as people start it: help, exit codes, and errors without tracebacks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from gateway import __version__
from gateway.cli import main as module
from gateway.cli.main import app, main
from gateway.errors import Problem, Problems, Refusal
from gateway.secret import Secret

ROOT = Path(__file__).resolve().parents[2]
SECRET = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gateway", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **environment}, cwd=ROOT)


def test_help_lists_every_command_and_how_to_begin():
    found = run("--help")
    assert found.returncode == 0
    assert all(f"  {name} " in found.stdout for name in get_command(app).commands)
    assert "portreeve init my-gateway" in found.stdout


def test_the_version_is_the_package_s_own():
    assert run("--version").stdout == f"portreeve {__version__}\n"


def test_wrong_usage_exits_with_two():
    found = run("check", "--no-such-option")
    assert found.returncode == 2
    assert "Traceback" not in found.stderr


def test_a_problem_is_shown_on_standard_error_without_a_traceback(tmp_path):
    found = run("init", str(tmp_path / "a"))
    assert found.returncode == 0
    again = run("init", str(tmp_path / "a"))
    assert again.returncode == 1
    assert "[folder_not_empty]" in again.stderr
    assert "--force" in again.stderr
    assert "Traceback" not in again.stderr


def test_completion_is_offered():
    assert "install-completion" in run("--help").stdout
    assert "complete" in run("--show-completion", "bash", _TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION="1").stdout


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("portreeve lo", {"log"}),
        ("portreeve log ver", {"verify", "verifier"}),
        ("portreeve log verify --pi", {"--pin"}),
        ("portreeve policy wh", {"who-can"}),
        ("portreeve log witness s", {"serve", "submit"}),
    ],
)
def test_shells_complete_commands_and_options_that_are_not_imported_yet(words, offered):
    script = "from gateway.cli.main import app; app(prog_name='portreeve')"
    shell = {"_PORTREEVE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False, env={**os.environ, **shell})
    assert set(found.stdout.split()) == offered


@pytest.fixture
def failing():
    """Adds a command that raises what it is given."""
    before = list(app.registered_commands)

    def add(error: BaseException) -> None:
        def fail() -> None:
            raise error

        app.command("fail")(fail)
        sys.argv = ["portreeve", "fail"]

    arguments = sys.argv
    yield add
    sys.argv = arguments
    app.registered_commands[:] = before


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (Problems([Problem("a", "is wrong"), Problem("b", "is wrong, too", remedy="write c")]), 1, ["[a]", "[b]", "write c"]),
        (Problem("a", "is wrong"), 1, ["is wrong"]),
        (Refusal("log_unavailable", reason="disk full"), 1, ["log_unavailable", "disk full"]),
        (PermissionError(13, "Permission denied", "/x"), 1, ["/x: Permission denied"]),
        (RuntimeError(SECRET), 70, ["unexpected RuntimeError", "PORTREEVE_DEBUG=1"]),
    ],
)
def test_each_kind_of_error_has_its_exit_code_and_no_traceback(failing, capsys, error, code, words):
    failing(error)
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr().err
    assert caught.value.code == code
    assert all(word in shown for word in words)
    assert "Traceback" not in shown
    assert SECRET not in shown


@pytest.mark.parametrize("bug", [lambda text: int(text), lambda text: {}[text], lambda text: open(text), lambda text: again(text)])  # noqa: PLW0108, SIM115
def test_a_traceback_is_shown_when_it_is_asked_for_and_quotes_no_value_that_the_code_broke_on(failing, capsys, monkeypatch, bug):
    monkeypatch.setenv("PORTREEVE_DEBUG", "1")
    with pytest.raises((ValueError, LookupError, OSError)) as broke:
        bug(Secret(SECRET).reveal())
    failing(broke.value)
    with pytest.raises(SystemExit) as caught:
        main()
    shown = capsys.readouterr().err
    frames, _, said = shown.partition("\nportreeve: ")
    assert "Traceback" in frames and "test_main.py" in frames and "Error" in frames
    assert SECRET not in frames
    assert SECRET not in said or caught.value.code == 1, "the name of a file is told, which is no secret"


def again(text: str) -> None:
    """Breaks while it handles what broke."""
    try:
        int(text)
    except ValueError:
        text.encode().decode("utf-32")


def test_the_codes_are_documented():
    assert (module.EXIT_PROBLEM, module.EXIT_BUG) == (1, 70)
