"""What a shell is offered, asked as bash asks."""

import pytest
from typer.testing import CliRunner

from gateway.cli.main import app
from tests.journeys.place import write_place


def offered(*words: str) -> list[str]:
    """What stands behind these words; the last one may be begun."""
    line = {"_PORTREEVE_COMPLETE": "complete_bash", "COMP_WORDS": " ".join(["portreeve", *words]), "COMP_CWORD": str(len(words))}
    return CliRunner().invoke(app, [], env=line, prog_name="portreeve").stdout.split()


def test_subcommands_are_offered_by_their_beginning():
    assert "log" in offered("lo")
    assert offered("log", "ch") == ["check-receipt", "check-proof", "checkpoint"]
    assert offered("log", "keys", "r") == ["rotate"]
    assert "--why" in offered("log", "erase", "--w")


@pytest.mark.parametrize("command", ["query", "tail", "open"])
def test_agents_and_tools_of_the_deployment_are_offered(tmp_path, command):
    write_place(tmp_path, 9)
    assert offered("log", command, "-C", str(tmp_path), "--agent", "wr") == ["writer"]
    assert offered("log", command, "-C", str(tmp_path), "--tool", "o") == ["open"]


def test_a_deployment_that_is_broken_offers_nothing_and_says_nothing(tmp_path):
    (tmp_path / "gateway.toml").write_text("nonsense")
    assert offered("log", "query", "-C", str(tmp_path), "--agent", "") == []
    assert offered("log", "query", "-C", str(tmp_path / "none"), "--tool", "") == []
