"""`portreeve config` prints the settings there are."""

from __future__ import annotations

import json

import pytest

from gateway.cli.config import config
from gateway.config.reference import settings_reference
from gateway.errors import Problems


def test_every_setting_is_printed(capsys):
    config()
    shown = capsys.readouterr().out
    assert all(setting.key in shown and setting.doc in shown for setting in settings_reference())


def test_one_table_can_be_asked_for(capsys):
    config("limits")
    shown = capsys.readouterr().out
    assert "[limits]" in shown
    assert "[log]" not in shown


def test_the_json_form_has_every_column(capsys):
    config(as_json=True)
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == len(settings_reference())
    assert set(rows[0]) == {"table", "key", "type", "default", "unit", "range", "doc"}


def test_the_markdown_form_is_a_table(capsys):
    config("log", as_markdown=True)
    lines = capsys.readouterr().out.splitlines()
    assert {line.count("|") for line in lines if line.startswith("|")} == {7}


def test_a_table_that_does_not_exist_is_a_problem():
    with pytest.raises(Problems, match="unknown_table"):
        config("limit")
