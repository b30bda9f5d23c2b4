"""ruff and mypy are tests like the others: there is no check that only the build server runs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def run(*command: str) -> str:
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else done.stdout + done.stderr


def test_ruff_finds_nothing():
    assert run("ruff", "check", "--no-cache", "gateway", "tests") == ""


def test_the_code_is_formatted():
    assert run("ruff", "format", "--no-cache", "--check", "gateway", "tests") == ""


def test_mypy_strict_finds_nothing():
    assert run("mypy") == ""
