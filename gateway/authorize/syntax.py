"""Reads the text of a policy as tokens and nested expressions, each with its place: what the engine's own parser keeps to itself.

It decides nothing. It says where something stands and takes conditions apart for findings; tests hold it to the engine's tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|//[^\n]*|\s+|[^\W\d]\w*|\d+|::|==|!=|<=|>=|&&|\|\||\?\w+|.', re.DOTALL)
_WEAKEST, _RELATION, _UNARY = 1, 3, 6
_STRENGTH = {"||": 1, "&&": 2, **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in", "has", "like", "is"), _RELATION), "+": 4, "-": 4, "*": 5}
CLOSING = {"(": ")", "[": "]", "{": "}"}

Kind = Literal[
    "or", "and", "not", "negate", "compare", "in", "has", "like", "is", "sum", "if", "member", "call", "set", "record", "entity", "literal", "name"
]
_KINDS: dict[str, Kind] = {"||": "or", "&&": "and", "in": "in", "has": "has", "like": "like", "is": "is", "+": "sum", "-": "sum", "*": "sum"}


class NotUnderstood(ValueError):  # noqa: N818 - what it says of the text
    """The text is not what a parsed policy looks like."""


@dataclass(frozen=True, slots=True)
class Token:
    """One word, number, string or sign, with its offset."""

    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True)
class Node:
    """One expression. `word` is its operator, attribute, function or literal text; `at` is where that stands; `parts` are what it is made of.

    A chain of `&&` or of `||` is one node. Brackets around an expression are no node but belong to its text. Behind `has`, `word` is the name.
    """

    kind: Kind
    word: str
    start: int
    end: int
    at: int
    parts: tuple[Node, ...] = ()

    def walk(self) -> Iterator[Node]:
        """This node and all below, outer ones first."""
        pending = [self]
        while pending:
            node = pending.pop()
            yield node
            pending += reversed(node.parts)

    @property
    def path(self) -> tuple[str, ...] | None:
        """`context.input.amount` as its names; None for anything else."""
        names: list[str] = []
        node = self
        while node.kind == "member":
            names.append(node.word)
            node = node.parts[0]
        return (node.word, *reversed(names)) if node.kind == "name" else None


@dataclass(frozen=True, slots=True)
class Clause:
    """One `when` or `unless`: where its word stands, and its expression."""

    kind: Literal["when", "unless"]
    start: int
    body: Node

    @property
    def conjuncts(self) -> tuple[Node, ...]:
        """Its conditions, each of which has to be true (when) or false (unless) by itself."""
        cut = "and" if self.kind == "when" else "or"
        return tuple(_flat(self.body, cut))


def _flat(node: Node, kind: str) -> Iterator[Node]:
    if node.kind != kind:
        yield node
        return
    for part in node.parts:
        yield from _flat(part, kind)


def tokens(text: str) -> list[Token]:
    """The words of a text, without space and comments."""
    found = (Token(match[0], match.start()) for match in _TOKEN.finditer(text))
    return [token for token in found if not token.text[0].isspace() and not token.text.startswith("//")]


def clauses(text: str) -> tuple[Clause, ...]:
    """The conditions of a policy's text. Raises NotUnderstood."""
    return tuple(_Reader(tokens(text)).clauses())


@dataclass(slots=True)
class _Reader:
    """Reads expressions from tokens, one call for each bracket and operator that nests: a policy nests at most a hundred deep."""

    tokens: Sequence[Token]
    at: int = field(default=0)

    def clauses(self) -> Iterator[Clause]:
        self._skip_head()
        while self._peek() in {"when", "unless"}:
            word = self._take()
            self._take("{")
            body = self._expression(_WEAKEST)
            self._take("}")
            yield Clause("when" if word.text == "when" else "unless", word.start, body)
        self._take(";")

    def _skip_head(self) -> None:
        """Annotations, effect and scope."""
        while self._peek() == "@":
            self.at += 2
            if self._peek() == "(":
                self._skip_brackets()
        self.at += 1
        self._skip_brackets()

    def _skip_brackets(self) -> None:
        depth = 0
        while True:
            text = self._take().text
            depth += (text in CLOSING) - (text in CLOSING.values())
            if depth == 0:
                return

    def _peek(self) -> str:
        return self.tokens[self.at].text if self.at < len(self.tokens) else ""

    def _take(self, text: str = "") -> Token:
        if self.at >= len(self.tokens) or (text and self.tokens[self.at].text != text):
            raise NotUnderstood(f"{text or 'more'} was expected")
        self.at += 1
        return self.tokens[self.at - 1]

    def _expression(self, weakest: int) -> Node:
        if weakest == _WEAKEST and self._peek() == "if":
            return self._if()
        left = self._unary()
        while (strength := _STRENGTH.get(self._peek(), 0)) >= weakest:
            operator = self._take()
            kind = _KINDS.get(operator.text, "compare")
            if kind in {"is", "has"}:
                left = self._is(left, operator) if kind == "is" else self._has(left)
                continue
            right = self._expression(strength + 1)
            parts = (*left.parts, right) if kind in {"and", "or"} and left.kind == kind else (left, right)
            left = Node(kind, operator.text, left.start, right.end, operator.start, parts)
        return left

    def _if(self) -> Node:
        word = self._take("if")
        condition = self._expression(_WEAKEST)
        self._take("then")
        then = self._expression(_WEAKEST)
        self._take("else")
        otherwise = self._expression(_WEAKEST)
        return Node("if", "if", word.start, otherwise.end, word.start, (condition, then, otherwise))

    def _is(self, left: Node, operator: Token) -> Node:
        kind = self._entity(self._take())
        if self._peek() != "in":
            return Node("is", kind.word, left.start, kind.end, operator.start, (left,))
        self._take("in")
        group = self._expression(_RELATION + 1)
        return Node("is", kind.word, left.start, group.end, operator.start, (left, group))

    def _has(self, left: Node) -> Node:
        """Behind `has` stands a name, a string, or names with points between."""
        first = last = self._take()
        names = [_plain(first.text)]
        while self._peek() == ".":
            self._take()
            last = self._take()
            names.append(last.text)
        return Node("has", ".".join(names), left.start, last.end, first.start, (left,))

    def _unary(self) -> Node:
        if self._peek() in {"!", "-"}:
            sign = self._take()
            inner = self._unary()
            return Node("not" if sign.text == "!" else "negate", sign.text, sign.start, inner.end, sign.start, (inner,))
        return self._members(self._primary())

    def _members(self, node: Node) -> Node:
        while self._peek() in {".", "["}:
            if self._take().text == "[":
                name = self._take()
                node = Node("member", _plain(name.text), node.start, self._take("]").end, name.start, (node,))
                continue
            name = self._take()
            if self._peek() == "(":
                arguments, end = self._list()
                node = Node("call", name.text, node.start, end, name.start, (node, *arguments))
            else:
                node = Node("member", name.text, node.start, name.end, name.start, (node,))
        return node

    def _primary(self) -> Node:
        token = self._take()
        match token.text:
            case "(":
                inner = self._expression(_WEAKEST)
                return replace(inner, start=token.start, end=self._take(")").end)
            case "[":
                self.at -= 1
                parts, end = self._list()
                return Node("set", "[", token.start, end, token.start, tuple(parts))
            case "{":
                return self._record(token)
            case "true" | "false":
                return Node("literal", token.text, token.start, token.end, token.start)
        if token.text[0] == '"' or token.text.isdigit():
            return Node("literal", token.text, token.start, token.end, token.start)
        if not (token.text[0].isalpha() or token.text[0] == "_"):
            raise NotUnderstood(f"{token.text} begins no expression")
        if self._peek() == "::":
            return self._entity(token)
        if self._peek() == "(":
            arguments, end = self._list()
            return Node("call", token.text, token.start, end, token.start, tuple(arguments))
        return Node("name", token.text, token.start, token.end, token.start)

    def _entity(self, first: Token) -> Node:
        """A type, an entity such as Agent::"a", or a function below a namespace."""
        words, end = [first.text], first.end
        while self._peek() == "::":
            self._take()
            part = self._take()
            words.append(part.text)
            end = part.end
        word = "::".join(words)
        if self._peek() == "(":
            arguments, end = self._list()
            return Node("call", word, first.start, end, first.start, tuple(arguments))
        return Node("entity", word, first.start, end, first.start)

    def _list(self) -> tuple[list[Node], int]:
        """Expressions between brackets, with commas; and where the bracket closes."""
        closing = CLOSING[self._take().text]
        found: list[Node] = []
        while self._peek() != closing:
            found.append(self._expression(_WEAKEST))
            if self._peek() == ",":
                self._take()
        return found, self._take(closing).end

    def _record(self, opening: Token) -> Node:
        parts = []
        while self._peek() != "}":
            self._take()
            self._take(":")
            parts.append(self._expression(_WEAKEST))
            if self._peek() == ",":
                self._take()
        return Node("record", "{", opening.start, self._take("}").end, opening.start, tuple(parts))


def _plain(text: str) -> str:
    """A name that may be written as a string."""
    return text[1:-1] if text[:1] == '"' else text
