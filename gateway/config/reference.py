"""The reference of settings: every key with its type, default, unit, range and meaning, taken from the classes and rules themselves."""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gateway.config import suggest
from gateway.config.model import CredentialSettings, InlineOperation, Limits, LogSettings, PeerSettings, ToolSettings, WitnessSettings
from gateway.config.rule import Rule
from gateway.config.rules import RULES, GatewayTable, ListenTable
from gateway.config.sources import SOURCES, USES, VaultSettings

TABLES: tuple[tuple[str, type], ...] = (
    ("gateway", GatewayTable),
    ("listen.agents", ListenTable),
    ("listen.admin", ListenTable),
    ("log", LogSettings),
    ("limits", Limits),
    ("tool.NAME", ToolSettings),
    ("tool.NAME.operation.OP", InlineOperation),
    ("credential.NAME", CredentialSettings),
    *((f"credential.NAME.{name}", cls) for name, cls in {**SOURCES, **USES}.items()),
    ("vault", VaultSettings),
    ("witness.NAME", WitnessSettings),
    ("peer.NAME", PeerSettings),
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One key. `default` is written as TOML, `required` or empty (not set); `range` holds choices or both ends, inclusive."""

    table: str
    key: str
    type: str
    default: str
    unit: str
    range: str
    doc: str


def settings_reference() -> tuple[Setting, ...]:
    """Every key there is, in the order in which gateway.toml is best written."""
    top = (
        Setting("", "schema", "whole number", "required", "", "1", "Form of this file."),
        Setting("", "include", "list of texts", "[]", "", "", "Patterns of further files with [tool.NAME] and [credential.NAME] only."),
    )
    return top + tuple(_setting(table, cls, key, rule) for table, cls in TABLES for key, rule in RULES[cls].items())


def _setting(table: str, cls: type, key: str, rule: Rule) -> Setting:
    field = next(f for f in dataclasses.fields(cls) if f.name == key)
    hint = typing.get_type_hints(cls)[key]
    if isinstance(hint, types.UnionType):
        hint = next(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
    choices = typing.get_args(hint) if typing.get_origin(hint) is Literal else rule.choices
    allowed = ", ".join(choices) if choices else f"{_plain(rule.low or 0)} to {_plain(rule.high)}" if rule.high is not None else ""
    return Setting(table, key, _type(hint), _default(field), suggest.unit(key) if rule.high is not None else "", allowed, rule.doc)


def _type(hint: Any) -> str:
    origin = typing.get_origin(hint)
    if origin is tuple:
        return "list of texts"
    if origin is Literal:
        return "text"
    if origin is not None:
        return "table"
    names: dict[Any, str] = {bool: "true or false", int: "whole number", float: "number", str: "text", Path: "path"}
    return names[hint]


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return "{}"
    match field.default:
        case dataclasses.MISSING:
            return "required"
        case None | "":
            return ""
        case bool():
            return str(field.default).lower()
        case tuple():
            return "[]"
        case int() | float():
            return _plain(field.default)
        case other:
            return f'"{other}"'


def _plain(number: float | None) -> str:
    """Digits without an exponent, so that the number can be copied into a file."""
    assert number is not None
    return str(int(number)) if number == int(number) else repr(float(number))
