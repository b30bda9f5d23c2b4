"""Lays policies out as Cedar's own formatter does, one by one, with everything between them kept: nothing but space may change.

A layout is taken only if every policy still parses to the same tree and every comment is still there, in order.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from gateway.authorize.engine import EngineError, format_text, policy_json
from gateway.authorize.pinpoint_syntax import syntax_spot
from gateway.authorize.splitting import Piece, split
from gateway.authorize.syntax import tokens
from gateway.canonical import Json
from gateway.errors import Problem

WIDTH = 120
INDENT = 4
WORDS_MAX = 10_000
"""Words of a policy that is laid out. Parser and formatter nest their calls with the length of an expression, and a process has one stack."""

_COMMENT = re.compile(r'"(?:[^"\\]|\\.)*"|(//[^\n]*)', re.DOTALL)


Layout = Callable[[str, int, int], str]
"""Lays one policy out, given the width of a line and the indent. It is not trusted."""


def formatted(file: str, text: str, width: int = WIDTH, layout: Layout = format_text) -> str:
    """The text of a policy file in its layout. Raises Problem where it is not Cedar, or where the layout would change more than space."""
    parts: list[str] = []
    end = 0
    for piece in split(file, text):
        start = text.index(piece.text, end)
        parts += [_between(text[end:start], is_first=not parts), _policy(piece, width, layout)]
        end = start + len(piece.text)
    found = "".join(parts) + _after(text[end:], is_all=not parts)
    if _meaning(file, found) != _meaning(file, text):
        raise Problem("format_refused", "the layout would change more than space", file=file, remedy="lay this file out by hand and report this")
    return found


def _policy(piece: Piece, width: int, layout: Layout) -> str:
    if len(tokens(piece.text)) > WORDS_MAX:
        raise piece.problem("format_refused", f"more than {WORDS_MAX:,} words are not laid out", remedy="split the policy")
    tree = _tree(piece)
    try:
        found = layout(piece.text.replace("\r\n", "\n"), width, INDENT).strip()
        is_same = _comments(found) == _comments(piece.text) and policy_json(found) == tree
    except EngineError as error:
        raise piece.problem("format_refused", f"the layout is no policy: {error}", remedy="lay this policy out by hand and report this") from error
    if not is_same:
        raise piece.problem("format_refused", "the layout would change more than space", remedy="lay this policy out by hand and report this")
    return found


def _tree(piece: Piece) -> Json:
    try:
        return policy_json(piece.text)
    except EngineError as error:
        spot = syntax_spot(piece.text, str(error), _complaint)
        message = spot.message or str(error)
        raise piece.problem("policy_syntax", message, spot.offset, remedy=spot.remedy or "see `portreeve policy check`") from error


def _complaint(text: str) -> str:
    try:
        policy_json(text)
    except EngineError as error:
        return str(error)
    return ""


def _between(gap: str, *, is_first: bool) -> str:
    """What stands before a policy: the comment at the end of the line before, an empty line, comments, at most one empty line at a time."""
    beside, _, below = ("", "", gap) if is_first else gap.partition("\n")
    lines = _lines(below.rsplit("\n", 1)[0] if "\n" in below else "")
    block = "".join(f"{line}\n" for line in lines)
    return block if is_first else f"{_beside(beside)}\n\n{block}"


def _after(gap: str, *, is_all: bool) -> str:
    """What stands behind the last policy."""
    beside, _, below = ("", "", gap) if is_all else gap.partition("\n")
    lines = _lines(below)
    while lines and not lines[-1]:
        lines.pop()
    block = "".join(f"{line}\n" for line in lines)
    return block if is_all else f"{_beside(beside)}\n" + (f"\n{block}" if block else "")


def _beside(comment: str) -> str:
    return f" {comment.strip()}" if comment.strip() else ""


def _lines(text: str) -> list[str]:
    """The lines of a gap, without an empty one at the beginning or after another."""
    found: list[str] = []
    for line in (line.strip() for line in text.split("\n")):
        if line or (found and found[-1]):
            found.append(line)
    return found


def _comments(text: str) -> list[str]:
    return [match[1].rstrip() for match in _COMMENT.finditer(text) if match[1]]


def _meaning(file: str, text: str) -> tuple[list[Json], list[str]]:
    return [policy_json(piece.text) for piece in split(file, text)], _comments(text)
