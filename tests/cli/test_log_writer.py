"""`portreeve log writer` before it serves: what it refuses to start with. How it serves is in the journeys."""

import grp
import os

import pytest
from typer.testing import CliRunner

from gateway.cli.log import app
from gateway.cli.log_writer import _gid
from gateway.errors import Problem
from tests.config.deployments import write


def run(*words: object):
    done = CliRunner().invoke(app, list(map(str, words)))
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done


def test_without_a_socket_nobody_could_connect(tmp_path):
    done = run("writer", "-C", write(tmp_path))
    assert done.exit_code == 2
    assert "log.socket" in done.output


def test_a_group_is_named_by_name_or_number():
    assert _gid("") is None
    assert _gid("12") == 12
    assert _gid(grp.getgrgid(os.getgid()).gr_name) == os.getgid()
    with pytest.raises(Problem, match="no group"):
        _gid("no-such-group-here")
