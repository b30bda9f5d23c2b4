"""The table of settings and the classes agree."""

from __future__ import annotations

import dataclasses

import pytest

from gateway.config import model
from gateway.config.rules import RULES

# Fields that are no keys: the table's own name, its nested tables, and where it stands.
NOT_KEYS = {"operations", "source", "hmac", "mtls", "file", "line"}


def keys(cls):
    names = {field.name for field in dataclasses.fields(cls)} - NOT_KEYS
    named_by_table = {model.ToolSettings, model.InlineOperation, model.CredentialSettings, model.WitnessSettings, model.PeerSettings}
    return names - {"name"} if cls in named_by_table else names


@pytest.mark.parametrize("cls", RULES, ids=lambda cls: cls.__name__)
def test_every_setting_has_a_rule_and_every_rule_a_setting(cls):
    assert set(RULES[cls]) == keys(cls)


@pytest.mark.parametrize("cls", RULES, ids=lambda cls: cls.__name__)
def test_every_default_is_within_its_range(cls):
    for field in dataclasses.fields(cls):
        if isinstance(field.default, int | float) and not isinstance(field.default, bool) and field.name in RULES[cls]:
            rule = RULES[cls][field.name]
            assert rule.low is not None, field.name
            assert rule.low <= field.default <= rule.high, field.name


def test_every_meaning_is_one_sentence():
    for rules in RULES.values():
        for key, rule in rules.items():
            assert rule.doc[0].isupper(), key
            assert rule.doc.endswith("."), key
            assert "\n" not in rule.doc


def test_every_number_of_bytes_or_seconds_says_so_in_its_name():
    for cls, rules in RULES.items():
        for field in dataclasses.fields(cls):
            if field.name in rules and field.type == "float":
                assert {"s", "ratio"} & set(field.name.split("_")), field.name
