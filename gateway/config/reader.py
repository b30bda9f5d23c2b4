"""Reads a TOML table into the fields of a settings class: types from its hints, ranges and kinds from the rules, all faults collected."""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from gateway.config import suggest
from gateway.config.kinds import Fault, quote
from gateway.config.lines import Key
from gateway.config.rule import Rule
from gateway.config.rules import RULES
from gateway.config.source import Source
from gateway.errors import Problem

DEPTH_MAX = 16


class Reader:
    """Reads tables of one deployment and keeps every fault in `problems`. Relative paths start at `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.problems: list[Problem] = []

    def report(self, source: Source, key: Key, fault: Fault) -> None:
        self.problems.append(source.problem(fault.code, fault.message, key, fault.remedy))

    def table(self, source: Source, key: Key, value: object) -> Mapping[str, Any]:
        """A value that must be a table; reported and read as empty when it is not."""
        if isinstance(value, dict):
            return value
        self.report(source, key, _wrong_type(value, "a table", f"write [{'.'.join(key)}] on a line of its own and its keys below"))
        return {}

    def fields(self, cls: type, source: Source, key: Key, table: Mapping[str, Any], *, also: frozenset[str] = frozenset()) -> dict[str, Any] | None:
        """The fields of `cls` that the table sets, each checked. None when a required one is missing or wrong. `also` are keys read elsewhere."""
        rules, hints, defaults = RULES[cls], _hints(cls), _defaults(cls)
        values: dict[str, Any] = {}
        for name in table:
            if name not in rules and name not in also:
                code, remedy = suggest.for_unknown(name, table[name], [*rules, *also])
                message = "is not written with its unit" if code == "bad_unit" else "is not a setting"
                self.report(source, (*key, name), Fault(code, message, remedy))
        for name, rule in rules.items():
            default = defaults[name]
            if name in table:
                given: object = table[name]
            elif isinstance(default, Path):  # a folder must exist even where its name is the default
                given = str(default)
            elif default is dataclasses.MISSING:
                self.report(source, key, Fault("missing_key", f"{name} is missing", f"write {name} = ...: {rule.doc}"))
                continue
            else:
                continue
            try:
                values[name] = self._value(hints[name], rule, name, given)
            except Fault as fault:
                self.report(source, (*key, name), fault)
        required = {name for name in rules if defaults[name] is dataclasses.MISSING or isinstance(defaults[name], Path)}
        return values if required <= values.keys() else None

    def _value(self, hint: Any, rule: Rule, name: str, given: object) -> object:
        if isinstance(hint, types.UnionType):  # X | None: TOML has no null, so a value that is there is an X
            hint = next(arm for arm in typing.get_args(hint) if arm is not types.NoneType)
        origin = typing.get_origin(hint)
        if origin is Literal:
            return _choice(_text(name, given), typing.get_args(hint))
        if origin is tuple:
            return _texts(rule, name, given)
        if origin is not None:
            return _mapping(typing.get_args(hint)[1], rule, name, given)
        if hint is Path:
            return self._path(rule, _text(name, given))
        if hint is bool:
            if not isinstance(given, bool):
                raise _wrong_type(given, "true or false", f"write {name} = true or {name} = false")
            return given
        if hint in (int, float):
            return _number(hint, rule, name, given)
        text = _text(name, given)
        return rule.text(text) if rule.text else text

    def _path(self, rule: Rule, text: str) -> Path:
        if not text or not text.isprintable() or len(text) > 1024:
            raise Fault("bad_path", "is not a path", "write a path; a relative one starts at the folder of gateway.toml")
        path = self._folder / text
        try:
            if rule.path == "file" and not path.is_file():
                raise Fault(
                    "missing_file", f"there is no file {text}", "write the file, or correct the path (it starts at the folder of gateway.toml)"
                )
            if rule.path == "folder" and not path.is_dir():
                raise Fault(
                    "missing_folder", f"there is no folder {text}", "make the folder, or correct the path (it starts at the folder of gateway.toml)"
                )
        except OSError as error:
            raise Fault("unreadable_file", f"{text} cannot be looked up: {error.strerror}", "check the path and its permissions") from error
        return path


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


@functools.cache
def _defaults(cls: type) -> dict[str, Any]:
    """Each field's default; MISSING for a required one."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        found[field.name] = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    return found


def _wrong_type(given: object, wanted: str, remedy: str) -> Fault:
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", list: "a list", dict: "a table"}
    return Fault("wrong_type", f"is {names.get(type(given), 'a date or time')}, not {wanted}", remedy)


def _text(name: str, given: object) -> str:
    if not isinstance(given, str):
        raise _wrong_type(given, "a text", f'write {name} = "..." with quotes')
    return given


def _texts(rule: Rule, name: str, given: object) -> tuple[str, ...]:
    if not isinstance(given, list) or not all(isinstance(item, str) for item in given):
        raise _wrong_type(given, "a list of texts", f'write {name} = ["...", "..."]')
    found = tuple(rule.text(item) if rule.text else item for item in given)
    for number, item in enumerate(found):
        if item in found[:number]:
            raise Fault("duplicate_key", f"{quote(item)} stands in it twice", "keep one of the two")
    return found


def _choice(text: str, choices: tuple[str, ...]) -> str:
    if text not in choices:
        raise Fault("bad_choice", f"{quote(text)} is not one of the choices", f"write one of: {', '.join(choices)}")
    return text


def _number(hint: type, rule: Rule, name: str, given: object) -> float:
    whole = hint is int
    if isinstance(given, bool) or not isinstance(given, int if whole else (int, float)):
        converted = suggest.in_unit(name, given)
        remedy = f"write {converted}" if converted else f"write {name} = {'12' if whole else '1.5'}, without quotes or unit"
        raise _wrong_type(given, "a whole number" if whole else "a number", remedy)
    low, high = rule.low or 0, rule.high if rule.high is not None else float("inf")
    if not low <= given <= high:  # also false for nan
        unit = suggest.unit(name)
        raise Fault("out_of_range", "is outside its range", f"write a number from {low:g} to {high:g}{' ' + unit if unit else ''}")
    return given if whole else float(given)


def _mapping(item: Any, rule: Rule, name: str, given: object) -> Mapping[str, object]:
    if not isinstance(given, dict):
        raise _wrong_type(given, "a table", f"write [....{name}] on a line of its own and its keys below")
    if item is str:
        texts = {key: _text(key, value) for key, value in given.items()}
        return {key: rule.text(text) if rule.text else _choice(text, rule.choices) for key, text in texts.items()}
    _require_json(name, given)
    return given


def _require_json(name: str, value: object) -> None:
    """Schemas hold JSON only: TOML's dates, infinities and endless nesting have no place in one."""
    level = [value]
    for _ in range(DEPTH_MAX):
        below: list[object] = []
        for one in level:
            if isinstance(one, dict):
                below += one.values()
            elif isinstance(one, list):
                below += one
            elif not isinstance(one, str | bool | int | float) or (isinstance(one, float) and not abs(one) < float("inf")):
                raise Fault("bad_schema", "holds a value that JSON does not have", 'write dates as texts and leave out inf and nan: format = "date"')
            elif isinstance(one, int) and not -(2**63) <= one < 2**63:
                raise Fault("bad_schema", "holds a number beyond 64 bits", "write a smaller number")
        if not below:
            return
        level = below
    raise Fault("bad_schema", f"is nested deeper than {DEPTH_MAX}", f"describe {name} in an OpenAPI file, or more flatly")
