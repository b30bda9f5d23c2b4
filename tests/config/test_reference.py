"""The printed reference of settings is the settings' own."""

from __future__ import annotations

import tomllib

from gateway.config.reference import settings_reference
from gateway.config.rules import RULES


def test_every_key_is_in_the_reference_once():
    found = [(s.table, s.key) for s in settings_reference()]
    assert len(found) == len(set(found))
    assert len(found) == 2 + sum(map(len, RULES.values())) + 2  # schema, include; [listen.*] is one class and two tables


def test_defaults_are_toml_that_can_be_copied():
    for setting in settings_reference():
        if setting.default not in {"", "required"}:
            tomllib.loads(f"{setting.key} = {setting.default}")
            assert "e+" not in setting.default


def test_a_row_says_type_unit_range_and_meaning():
    (row,) = [s for s in settings_reference() if (s.table, s.key) == ("limits", "body_bytes_max")]
    assert (row.type, row.default, row.unit, row.range) == ("whole number", "67108864", "bytes", "1 to 17179869184")
    assert row.doc == "Largest request body."


def test_choices_and_required_keys_are_shown():
    rows = {(s.table, s.key): s for s in settings_reference()}
    assert rows["tool.NAME", "risk"].range == "low, medium, high"
    assert rows["tool.NAME", "url"].default == "required"
    assert rows["tool.NAME", "effects"].range == "read, idempotent_write, write, destructive"
