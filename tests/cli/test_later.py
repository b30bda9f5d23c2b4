"""Commands that are imported when they are named."""

from __future__ import annotations

import subprocess
import sys

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from gateway.cli import identity, log, main
from gateway.cli.later import Later, group

TABLES = [(name, each) for name, table in (("", main.COMMANDS), ("log ", log.COMMANDS), ("identity ", identity.COMMANDS)) for each in table]
EVERY = pytest.mark.parametrize("later", [each for _, each in TABLES], ids=[f"{name}{each.name}" for name, each in TABLES])


@EVERY
def test_what_a_table_names_is_there_and_says_what_it_does(later):
    command = later.load()
    assert command.name == later.name
    assert command.help


@EVERY
def test_its_line_fits_beside_the_longest_name_on_80_columns(later):
    assert later.help.endswith((".", "?"))
    assert len(later.help) <= 80 - 6 - len("expire-report")


def test_a_group_has_what_it_names_and_what_is_registered():
    app = group([Later("config", "gateway.cli.config:config", "Text.")], help="Both.")
    app.command("here")(lambda: print("here"))
    made = get_command(app)
    assert isinstance(made, TyperGroup)
    assert list(made.commands) == ["config", "here"]
    assert "here" in CliRunner().invoke(app, ["here"]).stdout
    assert "--json" in CliRunner().invoke(app, ["config", "--help"]).stdout


def test_nothing_is_imported_that_was_not_named():
    heavy = "{'httpx2', 'cedarpy', 'starlette', 'jwt', 'yaml', 'gateway.app'}"
    script = f"import sys, gateway.cli.main, gateway.cli.log; print({heavy} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"
