"""How a claim is matched: exactly, or by one `*` within the last segment of a name. Never by a pattern that two people could read differently.

`*` stands for one or more characters of the last segment (after the last `/` or `:`), so `repo:acme/*` is any repository of acme and nothing
below or beside it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_SEGMENT = re.compile(r"[^/:]+")


def fault_of(pattern: str) -> str:
    """Why a text is no pattern, empty when it is one."""
    if pattern.count("*") > 1:
        return "holds more than one *"
    head, last = _split(pattern)
    if "*" in head:
        return "holds a * before its last segment"
    if "*" in last and not head:
        return "would match a whole name: begin it with what all the names have in common, up to a / or :"
    return ""


def matches(pattern: str, value: str) -> bool:
    """Whether a value is what the pattern says."""
    if "*" not in pattern:
        return pattern == value
    start, _, end = pattern.partition("*")
    middle = value[len(start) : len(value) - len(end)]
    return value.startswith(start) and value.endswith(end) and len(value) >= len(start) + len(end) and _SEGMENT.fullmatch(middle) is not None


def overlap(one: str, other: str) -> bool:
    """Whether some value may match both patterns."""
    if "*" not in one:
        return matches(other, one)
    if "*" not in other:
        return matches(one, other)
    (start, _, end), (begin, _, finish) = one.partition("*"), other.partition("*")
    return (start.startswith(begin) or begin.startswith(start)) and (end.endswith(finish) or finish.endswith(end))


def may_both_match(one: Mapping[str, str], other: Mapping[str, str]) -> bool:
    """Whether one token could satisfy both sets of patterns: unless some claim is asked to be two things, it could."""
    return all(overlap(one[name], other[name]) for name in one.keys() & other.keys())


def unmatched(patterns: Mapping[str, str], claims: Mapping[str, Any]) -> str:
    """The first claim that is not what its pattern says; empty when all are."""
    for name, pattern in patterns.items():
        value = claim_at(claims, name)
        if value is None or not matches(pattern, value):
            return name
    return ""


def claim_at(claims: Mapping[str, Any], name: str) -> str | None:
    """A claim's text, by its name or by its place in nested objects (`kubernetes.io/serviceaccount/uid`). Whole numbers as digits; else None."""
    found: Any = claims
    if name in claims:
        found = claims[name]
    else:
        for part in name.split("/"):
            if type(found) is not dict or part not in found:
                return None
            found = found[part]
    if type(found) is int:
        return str(found)
    return found if type(found) is str else None


def _split(pattern: str) -> tuple[str, str]:
    at = max(pattern.rfind("/"), pattern.rfind(":")) + 1
    return pattern[:at], pattern[at:]
