"""One table of an identities file, taken apart key by key, so that nothing in it is overlooked.

Every fault becomes a Problem that names file, line and key and says what to write instead; a key that nobody took is a fault, too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

from gateway.config.lines import marks
from gateway.errors import Problem

_DURATION = re.compile(r"([1-9][0-9]{0,5})(s|m|h)")
_UNIT_S = {"s": 1, "m": 60, "h": 3_600}

Place = tuple[str | int, ...]
"""The way to a key from the top of the file; a number counts the tables of one [[name]] from 0."""


def places(text: str) -> dict[Place, int]:
    """The line on which each key and table stands first."""
    found: dict[Place, int] = {}
    array: Place = ()
    count: dict[Place, int] = {}
    for mark in marks(text):
        key: Place = mark.key
        if mark.repeatable:
            count[key] = count.get(key, -1) + 1
            array = key
        elif mark.header and key[: len(array)] != array:
            array = ()
        if array and key[: len(array)] == array:
            found.setdefault(array, mark.line)
            key = (*array, count[array], *key[len(array) :])
        for length in range(1, len(key) + 1):
            found.setdefault(key[:length], mark.line)
    return found


@dataclass(slots=True)
class Table:
    """One table of a file, taken apart key by key; what nobody took is reported by `close`.

    Each method notes a Problem and returns a harmless stand-in when a value is missing or wrong, so that one look finds every fault.
    """

    values: Mapping[str, Any]
    path: Place
    file: str
    lines: Mapping[Place, int]
    problems: list[Problem]
    taken: set[str] = field(default_factory=set)

    def wrong(self, code: str, key: str, message: str, remedy: str) -> None:
        """Note a fault at `key`, or at the nearest table whose line is known."""
        path: Place = (*self.path, key) if key else self.path
        name = ".".join(str(p) for p in path)
        while path and path not in self.lines:
            path = path[:-1]
        self.problems.append(Problem(code, message, file=self.file, line=self.lines.get(path, 0), key=name, remedy=remedy))

    def wrong_at(self, path: Place, code: str, message: str, remedy: str) -> None:
        """Note a fault further down."""
        Table({}, (*self.path, *path[:-1]), self.file, self.lines, self.problems).wrong(code, str(path[-1]), message, remedy)

    def _take(self, key: str, kind: type, words: str, required: str) -> Any:
        self.taken.add(key)
        value = self.values.get(key)
        if value is None:
            if required:
                self.wrong("missing_key", key, "is missing", required)
        elif type(value) is not kind:  # exact: True is no number, a datetime is no date
            self.wrong("wrong_type", key, f"must be {words}", f"write {words}")
            return None
        return value

    def text(self, key: str, pattern: re.Pattern[str] | None = None, *, required: str = "", default: str = "") -> str:
        """A text of 1 to 500 printable characters that matches `pattern` wholly. `required` is the remedy when it is missing."""
        value = self._take(key, str, "a text in double quotes", required)
        if value is None:
            return default
        if not self.printable(key, value) or (pattern and not self._matches(key, value, pattern)):
            return default
        return str(value)

    def printable(self, key: str, value: str) -> bool:
        """Whether the text is safe to show in a log or a terminal: not empty, not long, no control or invisible character."""
        if 0 < len(value) <= 500 and value.isprintable():
            return True
        self.wrong("bad_text", key, "must have 1 to 500 printable characters", "write a short text without control characters")
        return False

    def _matches(self, key: str, value: str, pattern: re.Pattern[str]) -> bool:
        if pattern.fullmatch(value):
            return True
        self.wrong("bad_name", key, f"{value[:80]!r} is not a valid name here", f"use only {pattern.pattern}")
        return False

    def texts(self, key: str, pattern: re.Pattern[str]) -> tuple[str, ...]:
        """A list of different texts that each match `pattern`."""
        value = self._take(key, list, "a list of texts", "")
        found: list[str] = []
        for item in value or ():
            if type(item) is not str:
                self.wrong("wrong_type", key, "must hold texts only", 'write a list like ["one", "two"]')
            elif item in found:
                self.wrong("duplicate", key, f"{item[:80]!r} stands twice", "remove one of the two")
            elif self._matches(key, item, pattern):
                found.append(item)
        return tuple(found)

    def choice(self, key: str, choices: tuple[str, ...], *, required: str = "") -> str:
        """One of the texts; empty when it is absent or none of them."""
        value = self.text(key, required=required)
        if value and value not in choices:
            self.wrong("bad_choice", key, f"{value[:80]!r} is not one of the choices", f"write one of: {', '.join(choices)}")
            return ""
        return value

    def path_of(self, key: str, folder: Path) -> Path | None:
        """The path of a text "file:PATH", which must be there; a relative one starts at `folder`."""
        value = self.text(key)
        if not value:
            return None
        path = folder / value.removeprefix("file:")
        if not value.startswith("file:") or not path.is_file():
            self.wrong("missing_file", key, "is not a file that is there", 'write "file:PATH"; a relative path starts at the identities folder')
            return None
        return path

    def flag(self, key: str) -> bool:
        """True or false; false when absent."""
        return bool(self._take(key, bool, "true or false", ""))

    def number(self, key: str, least: int, most: int, *, default: int) -> int:
        """A whole number between `least` and `most`."""
        value = self._take(key, int, "a whole number", "")
        if value is None:
            return default
        if not least <= value <= most:
            self.wrong("out_of_range", key, f"must be {least} to {most}", f"write a whole number from {least} to {most}")
            return default
        return int(value)

    def duration(self, key: str, most_s: int, *, default: int) -> int:
        """Seconds of a text like "90s", "5m" or "1h", at most `most_s`."""
        value = self._take(key, str, 'a duration like "5m"', "")
        if value is None:
            return default
        seconds = duration_s(value)
        if seconds is None or seconds > most_s:
            self.wrong("bad_duration", key, f"must be a duration of at most {most_s} s", 'write whole seconds, minutes or hours: "90s", "5m", "1h"')
            return default
        return seconds

    def day(self, key: str) -> date | None:
        """A date without a time."""
        value: date | None = self._take(key, date, "a date without quotes, like 2027-03-31", "")
        return value

    def instant(self, key: str) -> int | None:
        """Seconds since the epoch of a date-time with offset."""
        value = self._take(key, datetime, "a date-time without quotes, like 2027-03-31T12:00:00Z", "")
        if value is None:
            return None
        if value.tzinfo is None:
            self.wrong("wrong_type", key, "has no time zone", "end the date-time with Z")
            return None
        return int(value.astimezone(UTC).timestamp())

    def table(self, key: str) -> Table:
        """The table below `key`; an empty one when it is absent."""
        return self._below(self._take(key, dict, f"a table [{key}]", "") or {}, (*self.path, key))

    def tables(self, key: str) -> list[Table]:
        """Every [[key]] table."""
        value = self._take(key, list, f"tables [[{key}]]", "")
        if value and not all(type(item) is dict for item in value):
            self.wrong("wrong_type", key, f"must be tables [[{key}]]", f"write each one below its own line [[{key}]]")
            return []
        return [self._below(item, (*self.path, key, n)) for n, item in enumerate(value or ())]

    def _below(self, values: Mapping[str, Any], path: Place) -> Table:
        return Table(values, path, self.file, self.lines, self.problems)

    def close(self, explain: Callable[[str], tuple[str, str, str] | None] = lambda _: None) -> None:
        """Report every key that nobody took: a typo must never silently mean the default."""
        for key in self.values.keys() - self.taken:
            special = explain(key)
            if special:
                code, message, remedy = special
                self.wrong(code, key, message, remedy)
                continue
            near = difflib.get_close_matches(key, self.taken, 1)
            remedy = f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(sorted(self.taken)) or 'nothing'}"
            self.wrong("unknown_key", key, "is not a known key", remedy)


def duration_s(text: str) -> int | None:
    """Seconds of "90s", "5m" or "1h"; None when it is none of these."""
    match = _DURATION.fullmatch(text)
    return int(match[1]) * _UNIT_S[match[2]] if match else None
