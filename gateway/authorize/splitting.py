"""Splits Cedar text into its policies with line and column, and refuses nesting that could kill the parser.

The engine's parse errors carry no position, and text with about a thousand nested brackets ends the process (a stack overflow, which nothing
can catch). So this scan knows just enough of the language: strings, comments, brackets, `if`, and the `;` that ends a policy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.errors import Problem

NESTING_MAX = 100
POLICY_CHARS_MAX = 65_536
FILE_CHARS_MAX = 4 * 1024 * 1024

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|[()\[\]{}]|;|\bif\b|\s+|[^\s"()\[\]{};/\w]+|\w+|"|/', re.DOTALL)
_HIDDEN = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    r"\u2060-\u206f\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
)
"""Control characters, other ends of line, what turns the direction of text, and what Unicode lets be drawn as nothing."""
_LONE_RETURN = re.compile(r"\r(?!\n)")


_DECLARED = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|[()\[\]{}<>]', re.DOTALL)
_NESTS = {"(": 1, "[": 1, "{": 1, "<": 1, ")": -1, "]": -1, "}": -1, ">": -1}

# `if a then b else if ...` nests without a bracket, so every `if` of a policy counts.
_DEEPER = {"(": 1, "[": 1, "{": 1, ")": -1, "]": -1, "}": -1, "if": 1}


@dataclass(frozen=True, slots=True)
class _Spot:
    """A place in a file, for a message."""

    file: str
    text: str
    offset: int


@dataclass(frozen=True, slots=True)
class Piece:
    """The text of one policy and where it begins. `line` and `column` are 1-based."""

    file: str
    text: str
    line: int
    column: int

    def line_of(self, offset: int) -> int:
        return self.line + self.text.count("\n", 0, offset)

    def column_of(self, offset: int) -> int:
        newline = self.text.rfind("\n", 0, offset)
        return offset - newline if newline >= 0 else self.column + offset

    def holds(self, problem: Problem) -> bool:
        """Whether a problem stands within this policy."""
        end = len(self.text)
        first, last = (self.line, self.column), (self.line_of(end), self.column_of(end))
        return problem.file == self.file and first <= (problem.line, problem.column) < last

    def problem(self, code: str, message: str, offset: int = 0, *, key: str = "", remedy: str = "") -> Problem:
        """A finding about this policy, placed where the offset is."""
        return Problem(code, message, file=self.file, line=self.line_of(offset), column=self.column_of(offset), key=key, remedy=remedy)


def as_text(file: str, data: bytes, code: str = "policy_not_utf8") -> str:
    """A file's bytes as text. Raises Problem with the place of the first byte that is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        message = f"the byte 0x{data[error.start]:02x} is not UTF-8"
        raise _problem(code, message, _Spot(file, before, len(before)), "save the file as UTF-8") from error


def split(file: str, text: str) -> list[Piece]:
    """Cut a file into its policies, in order. Raises Problem where it is not possible or not safe."""
    _refuse_unreadable(file, text)
    pieces: list[Piece] = []
    start = -1
    depth = end = 0
    line, counted = 1, 0  # counted on from the policy before: a file of many policies is read once
    for match in _TOKEN.finditer(text):
        part = match[0]
        if part[0].isspace() or part.startswith("//"):
            continue
        if start < 0:
            start, depth = match.start(), 0
        if part == '"':
            raise _problem("string_not_closed", "this string has no end", _Spot(file, text, _unclosed(text, match.start())), 'close it with "')
        if part == ";":
            line, counted = line + text.count("\n", counted, start), start
            pieces.append(_piece(_Spot(file, text, start), match.end(), line))
            start = -1
        elif part in _DEEPER:
            depth = max(0, depth + _DEEPER[part])
        if depth > NESTING_MAX:
            raise _problem(
                "policy_too_deep", f"nested deeper than {NESTING_MAX}", _Spot(file, text, match.start()), "split the policy into simpler ones"
            )
        end = match.end()
    if start >= 0:
        raise _problem("policy_not_closed", "this policy has no end", _Spot(file, text, end), "end it with a semicolon")
    return pieces


def scan_declared(file: str, text: str) -> None:
    """See that a declared schema hides nothing and cannot end the parser: `Set<Set<...` nests like brackets. Raises Problem."""
    _refuse_unreadable(file, text)
    depth = 0
    for match in _DECLARED.finditer(text):
        depth = max(0, depth + _NESTS.get(match[0], 0))
        if depth > NESTING_MAX:
            raise _problem("schema_too_deep", f"nested deeper than {NESTING_MAX}", _Spot(file, text, match.start()), "declare simpler types")


def _unclosed(text: str, last: int) -> int:
    """Where the string begins that lacks its end. The quote without a partner is the last one of the file, but a string that goes over the end of
    its line is where they began to be paired wrongly.
    """
    strings = (match for match in _TOKEN.finditer(text, 0, last) if match[0][0] == '"')
    return next((match.start() for match in strings if "\n" in match[0]), last)


def _piece(spot: _Spot, end: int, line: int) -> Piece:
    start = spot.offset
    if end - start > POLICY_CHARS_MAX:
        raise _problem("policy_too_large", f"this policy is longer than {POLICY_CHARS_MAX} characters", spot, "split it")
    return Piece(spot.file, spot.text[start:end], line, start - spot.text.rfind("\n", 0, start))


def _refuse_unreadable(file: str, text: str) -> None:
    """A reviewer must see what the engine sees: no direction override, no invisible character, comments included (CVE-2021-42574)."""
    if len(text) > FILE_CHARS_MAX:
        raise Problem("policy_too_large", f"longer than {FILE_CHARS_MAX} characters", file=file, remedy="split the file")
    if found := _HIDDEN.search(text):
        message = f"U+{ord(found[0]):04X} is invisible or changes the direction of text"
        raise _problem("hidden_character", message, _Spot(file, text, found.start()), "remove it, or write it as \\u{...} inside a string")
    if found := _LONE_RETURN.search(text):  # it ends a comment for the engine, and for nobody who reads the file as lines
        message = "a carriage return without a line feed: what stands behind it may look like part of a comment"
        raise _problem("line_ending", message, _Spot(file, text, found.start()), "save the file with line ends of one kind, LF or CRLF")


def _problem(code: str, message: str, spot: _Spot, remedy: str) -> Problem:
    line = spot.text.count("\n", 0, spot.offset) + 1
    column = spot.offset - spot.text.rfind("\n", 0, spot.offset)
    return Problem(code, message, file=spot.file, line=line, column=column, remedy=remedy)
