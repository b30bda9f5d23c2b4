"""Finds on which line of a TOML text each key stands, so that a fault can be shown where it is.

`tomllib` gives values without places. This scan follows only what is needed for places: headers, keys, strings, brackets, comments. It is
exact for valid TOML; for text that is not, it stops where it no longer follows.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass

Key = tuple[str, ...]
"""The way to a key from the top of the file: ("tool", "tickets", "url")."""

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
_DOTTED = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_BLANK = re.compile(r"(?:[ \t\r\n]+|\#[^\n]*)+")
_HEADER = re.compile(rf"(\[\[?)[ \t]*({_DOTTED})[ \t]*\]\]?")
_ASSIGNMENT = re.compile(rf"({_DOTTED})[ \t]*=")
# One piece of a value: a string of any of the four kinds, a comment, a bracket, the end of the line, or anything else.
_PIECE = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|\#[^\n]*|[\[{]|[\]}]|\n|[^\"'\#\[\]{}\n]+|.",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Mark:
    """One header or assignment. `line` counts from 1; `header` is true for `[table]`, `repeatable` for `[[array of tables]]`."""

    key: Key
    line: int
    header: bool = False
    repeatable: bool = False


def marks(text: str) -> Iterator[Mark]:
    """Every header and assignment in the order of the text."""
    table: Key = ()
    at = line = 0
    counted = 0
    while True:
        if blank := _BLANK.match(text, at):
            at = blank.end()
        line += text.count("\n", counted, at)
        counted = at
        if header := _HEADER.match(text, at):
            table = _parts(header[2])
            yield Mark(table, line + 1, header=True, repeatable=header[1] == "[[")
            at = header.end()
        elif assignment := _ASSIGNMENT.match(text, at):
            yield Mark(table + _parts(assignment[1]), line + 1)
            at = _value_end(text, assignment.end())
        else:
            return


def _parts(dotted: str) -> Key:
    """The parts of a dotted key, unquoted by the TOML parser itself."""
    try:
        value: object = tomllib.loads(f"{dotted} = 0")
    except ValueError:
        return (dotted,)
    found: list[str] = []
    while isinstance(value, dict) and value:
        name, value = next(iter(value.items()))
        found.append(name)
    return tuple(found)


def _value_end(text: str, at: int) -> int:
    depth = 0
    while piece := _PIECE.match(text, at):
        if piece[0] == "\n" and depth <= 0:
            return at
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(piece[0], 0)
        at = piece.end()
    return at


def places(text: str) -> dict[Key, int]:
    """The line of each key and table; a table that is only implied stands where the first thing in it stands."""
    found: dict[Key, int] = {}
    implied: dict[Key, int] = {}
    for mark in marks(text):
        found.setdefault(mark.key, mark.line)
        for length in range(1, len(mark.key)):
            implied.setdefault(mark.key[:length], mark.line)
    return implied | found


def first_duplicate(text: str) -> tuple[Mark, Mark] | None:
    """The first key or table that is written twice, with both places."""
    seen: dict[Key, Mark] = {}
    for mark in marks(text):
        if mark.repeatable:
            seen = {key: m for key, m in seen.items() if key[: len(mark.key)] != mark.key}
        elif mark.key in seen:
            return seen[mark.key], mark
        else:
            seen[mark.key] = mark
    return None
