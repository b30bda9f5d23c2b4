"""Finds the operation of a path: literal segments win over parameters, and each segment is compared as whole bytes."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from urllib.parse import quote, unquote, unquote_to_bytes

from gateway.errors import Refusal
from gateway.tools.document import pointer
from gateway.tools.parameters import Parameter
from gateway.tools.plan import LeftOut, Plan

# What a server may decode into a separator, a cut or an end. The door refuses these; a route does not rely on the door.
_REFUSED = re.compile(r"%(?:5C|00|[01][0-9A-F]|7F|25|3F|23)", re.IGNORECASE)
_SLASH = re.compile(r"%2F", re.IGNORECASE)
_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_PCHAR = "-._~!$&'()*+,;=:@"


@dataclass(slots=True)
class _Node:
    literals: dict[str, _Node] = field(default_factory=dict)
    readings: set[str] = field(default_factory=set)
    parameter: _Node | None = None
    methods: dict[str, Plan | LeftOut] = field(default_factory=dict)


class AmbiguousError(ValueError):
    """Two templates match the same paths for the same method; `other` is the one that was there first."""

    def __init__(self, other: str) -> None:
        super().__init__(other)
        self.other = other


class Routes:
    """The templates of one tool as a tree of segments."""

    __slots__ = ("_root",)

    def __init__(self, entries: Iterable[Plan | LeftOut] = ()) -> None:
        self._root = _Node()
        for entry in entries:
            self.add(entry)

    def add(self, entry: Plan | LeftOut) -> None:
        """Raises AmbiguousError."""
        node = self._root
        for segment in entry.segments:
            if segment is None:
                node.parameter = node.parameter or _Node()
                node = node.parameter
            else:
                node.readings.add(_reading(segment))
                node = node.literals.setdefault(segment, _Node())
        if entry.method in node.methods:
            raise AmbiguousError(node.methods[entry.method].template)
        node.methods[entry.method] = entry

    def match(self, method: str, path: str) -> tuple[Plan, list[str]] | None:
        """The operation and the raw segments of its parameters; None when no operation is declared for this method and path.

        The most literal template decides alone: a method that it lacks is not looked for in a wider one, since the upstream would not either.
        """
        segments = path.split("/")
        raw: list[str] = []
        node = _walk(self._root, segments, 1, raw)
        if node is None:
            return None
        entry = node.methods.get(method)
        if entry is None and method == "HEAD":
            entry = node.methods.get("GET")
        return (entry, raw) if isinstance(entry, Plan) else None


def _walk(node: _Node, segments: list[str], at: int, raw: list[str]) -> _Node | None:
    """Follow segments[at:]; depth is that of the templates, and no node is visited twice."""
    if at == len(segments):
        return node if node.methods else None
    segment = segments[at]
    below = node.literals.get(segment)
    if below is not None and (found := _walk(below, segments, at + 1, raw)) is not None:
        return found
    if node.parameter is None or not segment:
        return None
    if below is None and node.readings and _reading(segment) in node.readings:
        return None  # `/Refunds` or `/r%C3%A9` is no argument where an upstream may read it as the literal beside the parameter
    raw.append(segment)
    found = _walk(node.parameter, segments, at + 1, raw)
    if found is None:
        raw.pop()
    return found


def _reading(segment: str) -> str:
    """How the most lenient upstream reads a segment: decoded and without case."""
    return unquote(segment).casefold()


def literal(segment: str) -> str:
    """A template's literal segment in the canonical form in which paths arrive."""
    return quote(unquote_to_bytes(segment), safe=_PCHAR)


def decode_segment(segment: str, parameter: Parameter, *, slash: bool) -> str:
    """The value of a path parameter. `slash`: the tool takes `%2F`. Raises Refusal("path_refused")."""
    if "%" in segment:
        if _REFUSED.search(segment) or _BROKEN_ESCAPE.search(segment) or (not slash and _SLASH.search(segment)):
            raise Refusal("path_refused", "a path parameter holds an escape that is not accepted", pointer=pointer((parameter.argument,)))
        try:
            segment = unquote_to_bytes(segment).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Refusal("path_refused", "a path parameter is not UTF-8", pointer=pointer((parameter.argument,))) from error
    if segment in {".", ".."}:
        raise Refusal("path_refused", "a path parameter is a dot segment", pointer=pointer((parameter.argument,)))
    return segment
