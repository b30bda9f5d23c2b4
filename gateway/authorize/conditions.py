"""Takes the conditions of a policy apart: every conjunct with its text and line, and as a permit of its own that holds exactly where it does.

The text is cut, not the parsed tree, because an author wants to see the own words. Tests hold the cut to the parser's tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from gateway.authorize.policy import Policy

POLICIES_MAX = 4_096

Kind = Literal["when", "unless"]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|\s+|\w+|&&|\|\||.', re.DOTALL)
_CLAUSES: dict[str, Kind] = {"when": "when", "unless": "unless"}
_EFFECTS = ("permit", "forbid")
_JOINS = {"when": "&&", "unless": "||"}
"""What a clause is cut at: `unless { a || b }` is two conditions, neither of which may be true."""
_OPEN = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One conjunct. `text` is what was written, on one line and without comments; `line` is where it stands in the policy's file."""

    kind: Kind
    text: str
    line: int

    @property
    def alone(self) -> str:
        return f"permit (principal, action, resource) {self.kind} {{ {self.text} }};"

    def __str__(self) -> str:
        return f"{self.kind} {self.text}"


@dataclass(frozen=True, slots=True)
class Anatomy:
    """A policy taken apart: its scope as a permit of its own, and its conditions in the order in which they are evaluated."""

    policy: Policy
    scope: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int

    @property
    def silent(self) -> bool:
        return self.text[0].isspace() or self.text.startswith("//")


@dataclass(frozen=True, slots=True)
class _Clause:
    """One `when` or `unless`: where its word stands among the tokens, and what is between its braces."""

    kind: Kind
    at: int
    body: tuple[_Token, ...]


@lru_cache(maxsize=POLICIES_MAX)
def _anatomy(text: str) -> tuple[str, tuple[tuple[Kind, str, int], ...]]:
    tokens, effect = _tokens(text)
    clauses = list(_clauses(tokens, effect + 1))
    end = clauses[0].at if clauses else len(tokens) - 1
    found = [(clause.kind, _text(part), part[0].start) for clause in clauses for part in _cut(clause.body, _JOINS[clause.kind])]
    return f"permit {_text(tokens[effect + 1 : end])};", tuple(found)


def _tokens(text: str) -> tuple[list[_Token], int]:
    """The tokens of a policy, and which of them is its effect."""
    tokens = [_Token(match[0], match.start()) for match in _TOKEN.finditer(text)]
    tokens = [token for token in tokens if not token.silent]
    return tokens, next(n for n, token in enumerate(tokens) if token.text in _EFFECTS and (n == 0 or tokens[n - 1].text != "@"))


def without_scope(policy: Policy) -> str:
    """The policy for requests that are known to satisfy its scope: the same effect and conditions, nothing else. A seventh faster to ask."""
    tokens, effect = _tokens(policy.piece.text)
    return f"{policy.effect} (principal, action, resource){policy.piece.text[tokens[_closing(tokens, effect + 1)].start + 1 :]}"


def dissect(policy: Policy) -> Anatomy:
    """Take a policy apart that has been parsed before."""
    scope, parts = _anatomy(policy.piece.text)
    return Anatomy(policy, scope, tuple(Condition(kind, text, policy.piece.line_of(start)) for kind, text, start in parts))


def _clauses(tokens: Sequence[_Token], start: int) -> Iterator[_Clause]:
    n = start
    while n < len(tokens):
        kind = _CLAUSES.get(tokens[n].text)
        if kind is not None:
            end = _closing(tokens, n + 1)
            yield _Clause(kind, n, tuple(tokens[n + 2 : end]))
            n = end
        elif tokens[n].text in _OPEN:
            n = _closing(tokens, n)
        n += 1


def _closing(tokens: Sequence[_Token], opening: int) -> int:
    depth = 0
    for n in range(opening, len(tokens)):
        depth += (tokens[n].text in _OPEN) - (tokens[n].text in _OPEN.values())
        if depth == 0:
            return n
    raise AssertionError("a parsed policy closes its brackets")


def _cut(tokens: tuple[_Token, ...], join: str) -> Iterator[tuple[_Token, ...]]:
    """The conjuncts: cut where the join stands outside all brackets.

    `||` binds weaker than `&&`, and `if` weaker than both, so beside them nothing is cut.
    """
    while tokens and tokens[0].text == "(" and _closing(tokens, 0) == len(tokens) - 1:
        tokens = tokens[1:-1]
    outside = []
    n = 0
    while n < len(tokens):
        if tokens[n].text in _OPEN:
            n = _closing(tokens, n)
        else:
            outside.append(n)
        n += 1
    words = {tokens[n].text for n in outside}
    if join not in words or "if" in words or (join == "&&" and "||" in words):
        yield tokens
        return
    start = 0
    for at in [*(n for n in outside if tokens[n].text == join), len(tokens)]:
        yield from _cut(tokens[start:at], join)
        start = at + 1


def _text(tokens: Sequence[_Token]) -> str:
    """The words as written, one space where there were some or a comment."""
    parts = []
    end = tokens[0].start if tokens else 0
    for token in tokens:
        parts.append((" " if token.start > end else "") + token.text)
        end = token.start + len(token.text)
    return "".join(parts)
