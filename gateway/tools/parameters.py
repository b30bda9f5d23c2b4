"""Turns the texts of a query, a form, a path or a header into typed arguments, and pairs back into one canonical text.

Strict on purpose: what two parsers might read differently (a `;`, an empty pair, a broken escape, the same name twice) is refused. Numbers follow
the grammar of JSON, so `True`, `0x10`, `1_000` or `٣` are no arguments. Style: `form` (arrays exploded or comma-separated) and `simple`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote, unquote_to_bytes

from gateway.canonical import INTEGER_MAX, INTEGER_MIN, Json, JsonError, dumps, loads
from gateway.errors import Refusal
from gateway.tools.document import pointer

PAIRS_MAX = 1_000
KEY_CHARACTERS_MAX = 64

Scalar = Literal["string", "integer", "number", "boolean"]
Pairs = list[tuple[str, str]]

_BROKEN_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_RAW_REFUSED = re.compile(r"[^\x21-\x7e]|[;#]")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,18}", re.ASCII)
_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?", re.ASCII)
_UNRESERVED = "-._~"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One declared parameter: its `name` on the wire (header names in lower case) and its `argument` in what policy sees."""

    name: str
    argument: str
    place: Literal["path", "query", "header", "form"]
    kind: Scalar
    array: bool = False
    explode: bool = True
    required: bool = False


def parse_pairs(text: str, code: str = "malformed_request") -> Pairs:
    """Split and decode `a=1&b=2`. Raises Refusal(code) for what has more than one reading."""
    if not text:
        return []
    if _RAW_REFUSED.search(text) or _BROKEN_ESCAPE.search(text):
        raise Refusal(code, "a query or form holds a character or escape that has to be percent-encoded")
    parts = text.split("&")
    if len(parts) > PAIRS_MAX:
        raise Refusal(code, f"more than {PAIRS_MAX} pairs")
    pairs: Pairs = []
    for part in parts:
        name, _, value = part.partition("=")
        if not name:
            raise Refusal(code, "a query or form holds a pair without a name")
        if "%" in part or "+" in part:
            name, value = _decode(name, code), _decode(value, code)
        pairs.append((name, value))
    return pairs


def _decode(text: str, code: str) -> str:
    try:
        plain = unquote_to_bytes(text.replace("+", " ")).decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refusal(code, "a query or form is not UTF-8") from error
    if "\x00" in plain:
        raise Refusal(code, "a query or form holds a NUL character")  # ends the text early for whatever is written in C
    return plain


def take_pairs(pairs: Pairs, declared: Mapping[str, Parameter], arguments: dict[str, Json]) -> str:
    """Add the typed values of `pairs` to `arguments` and return the text that goes upstream. Raises Refusal("contract_violation").

    That text is written anew from the values: all but unreserved characters (RFC 3986 section 2.3) percent-encoded, a space as %20.
    """
    sent: list[str] = []
    for name, text in pairs:
        parameter = declared.get(name)
        if parameter is None:
            raise Refusal("contract_violation", "is not declared by the contract", pointer=pointer((name[:KEY_CHARACTERS_MAX],)))
        argument = parameter.argument
        if parameter.array:
            texts = [text] if parameter.explode else text.split(",")
            values = [coerce(item, parameter) for item in texts]
            if argument not in arguments:
                arguments[argument] = values
            elif parameter.explode:
                arguments[argument] += values
            else:
                raise Refusal("contract_violation", "stands more than once", pointer=pointer((argument,)))
            # A comma between items stays plain: no item holds one, so splitting before or after decoding gives the same list.
            sent.append(f"{quote(name, safe=_UNRESERVED)}={','.join(map(_encoded, values))}")
            continue
        if argument in arguments:
            # `a=1&a=2`: one reads the first, another the last, a third both.
            raise Refusal("contract_violation", "stands more than once", pointer=pointer((argument,)))
        value = arguments[argument] = coerce(text, parameter)
        sent.append(f"{quote(name, safe=_UNRESERVED)}={_encoded(value)}")
    return "&".join(sent)


def coerce(text: str, parameter: Parameter) -> Json:
    """Read one text as the declared type. Raises Refusal("contract_violation")."""
    kind = parameter.kind
    if kind == "string":
        return text
    if kind == "integer":
        if _INTEGER.fullmatch(text) and INTEGER_MIN <= int(text) <= INTEGER_MAX:
            return int(text)
    elif kind == "boolean":
        if text in {"true", "false"}:
            return text == "true"
    elif _NUMBER.fullmatch(text):
        try:
            number = loads(text.encode("ascii"))
        except JsonError as error:
            raise Refusal("contract_violation", "is a number out of range", pointer=pointer((parameter.argument,))) from error
        # A path or header goes upstream as it came: `50.000000000000000001` must not be 50 to policy and more to the upstream.
        if parameter.place in {"query", "form"} or _encoded(number) == text:
            return number
        raise Refusal("contract_violation", "must be a number in its shortest form", pointer=pointer((parameter.argument,)))
    raise Refusal("contract_violation", f"must be of type {kind}", pointer=pointer((parameter.argument,)))


def _encoded(value: Json) -> str:
    """A typed scalar as it stands in a query: the number that policy saw, not the digits it was read from."""
    return quote(value if type(value) is str else dumps(value).decode("ascii"), safe=_UNRESERVED)
