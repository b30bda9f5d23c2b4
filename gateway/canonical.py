"""Strict JSON in, one canonical form out, and the digests taken over it.

In: UTF-8 only, no duplicate member, no NaN or infinity, no lone surrogate, bounded depth and member count, integers exact.
Out: compact, members sorted by code point, valid UTF-8 (not RFC 8785: integers keep all 64 bits).
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import orjson

Json = Any
"""A JSON value: None, bool, int, float, str, list or dict with str keys."""

DEPTH_MAX = 32
MEMBERS_MAX = 2_000
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**63 - 1


class JsonError(ValueError):
    """The bytes are not unambiguous JSON. The text says why and is safe for a stranger: it quotes at most a key.

    `line` and `column` (1-based) say where the text stops being JSON; 0 where that is not what is wrong.
    """

    def __init__(self, why: str, line: int = 0, column: int = 0) -> None:
        super().__init__(why)
        self.line = line
        self.column = column


def loads(raw: bytes, *, depth_max: int = DEPTH_MAX, members_max: int = MEMBERS_MAX) -> Json:
    """Parse strictly. Raises JsonError for anything that two parsers might read differently."""
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise JsonError("not valid JSON", error.lineno, error.colno) from error
    members, exact = _measure(value, depth_max, members_max)
    if members == raw.count(b":") and exact:
        return value  # each colon belongs to a member that survived: no duplicate, and none inside a text
    return _loads_slowly(raw)


def _measure(value: Json, depth_max: int, members_max: int) -> tuple[int, bool]:
    """Count members within the limits; `exact` is False where a number may have lost digits."""
    members = items = 0
    exact = True
    level = [value]
    for _ in range(depth_max + 1):
        below: list[Json] = []
        for item in level:
            kind = type(item)
            if kind is dict:
                members += len(item)
                below += item.values()
            elif kind is list:
                items += len(item)
                below += item
            elif (kind is float or kind is int) and not INTEGER_MIN < item <= INTEGER_MAX:
                exact = False  # an integer beyond 64 bits has become a float
        if members + items > members_max:
            raise JsonError(f"more than {members_max} members")
        if not below:
            return members, exact
        level = below
    raise JsonError(f"nested deeper than {depth_max}")


def _loads_slowly(raw: bytes) -> Json:
    """The same text by the standard library, which shows every member and every digit. Depth is already known to be small."""
    try:
        return json.loads(raw, object_pairs_hook=_object, parse_int=_integer, parse_float=_number, parse_constant=_constant)
    except JsonError:
        raise
    except ValueError as error:
        raise JsonError("not valid JSON") from error


def _object(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(k for k, _ in pairs if k in seen or seen.add(k))  # type: ignore[func-returns-value]
        raise JsonError(f"duplicate key {twice[:64]!r}")
    return found


def _integer(text: str) -> int:
    if len(text) > 20 or not INTEGER_MIN <= int(text) <= INTEGER_MAX:
        raise JsonError("an integer does not fit in 64 bits")
    return int(text)


def _number(text: str) -> float:
    if len(text) > 64:
        raise JsonError("a number has too many digits")
    value = float(text)
    if math.isinf(value):
        raise JsonError("a number is out of range")
    return value


def _constant(text: str) -> Json:
    raise JsonError(f"{text} is not JSON")


def dumps(value: Json) -> bytes:
    """Encode in the canonical form. Raises JsonError for what has none (NaN, a lone surrogate, an integer beyond 64 bits, a key that is no text)."""
    try:
        return orjson.dumps(
            value, option=orjson.OPT_SORT_KEYS | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS
        )
    except (orjson.JSONEncodeError, TypeError) as error:
        raise JsonError("the value has no canonical JSON form") from error


def dumps_in_order(value: Json) -> bytes:
    """Encode compactly, members as they stand: for records whose field order is part of the format."""
    try:
        return orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS)
    except (orjson.JSONEncodeError, TypeError) as error:
        raise JsonError("the value has no JSON form") from error


def embed(canonical: bytes) -> Json:
    """Stand for bytes that already are canonical JSON inside a value to be dumped, without parsing them again."""
    return orjson.Fragment(canonical)


def loads_trusted(raw: bytes) -> Json:
    """Parse bytes that we wrote ourselves and have authenticated: fast, last duplicate wins."""
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise JsonError("not valid JSON") from error


def loads_exact(raw: bytes) -> Json:
    """Parse bytes that are, to the last one, what `dumps_in_order` makes of their value. Raises JsonError for JSON in any other form.

    The round trip refuses what two parsers may read differently: a duplicate member, white space, a needless escape, a rounded number.
    """
    try:
        value = orjson.loads(raw)
        same: bool = orjson.dumps(value) == raw
    except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
        raise JsonError("not valid JSON") from error
    if not same:
        raise JsonError("not in its one form")
    return value


def digest(raw: bytes) -> str:
    """`sha256:` and 64 hex digits of the bytes: the name by which the log refers to them."""
    return "sha256:" + hashlib.sha256(raw).hexdigest()
