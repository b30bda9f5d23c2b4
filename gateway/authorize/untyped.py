"""Turns a typed Cedar context back into the JSON arguments it was made from: for people, for suggestions, and to ask the same question again.

It needs no schema. Whatever is an escape in a typed context was put there by `typed.py`, because no member that a contract declares may be named
like one. Back come a number for a decimal, an RFC 3339 text in UTC for a datetime, a text for an address; null members are absent, as they were.
"""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canonical import Json, loads_trusted

_WHOLE = ".0"


def arguments(context: Mapping[str, Json]) -> dict[str, Json]:
    """The arguments of a recorded call. What is shown raw comes from its text, which is all of it; the typed rest from `input`."""
    found = {name: plain(value) for name, value in context.get("input", {}).items()}
    return found | {name: loads_trusted(text.encode()) for name, text in context.get("raw", {}).items()}


def plain(value: Json) -> Json:
    """One typed value as JSON. Raises ValueError for an escape that typed values never hold."""
    if isinstance(value, list):
        return [plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "__extn" in value:
        return _extension(value["__extn"]["fn"], value["__extn"]["arg"])
    if "__entity" in value:
        return str(value["__entity"]["id"])
    return {name: plain(item) for name, item in value.items()}


def _extension(constructor: str, text: str) -> Json:
    if constructor == "decimal":
        whole = text.removesuffix(_WHOLE)
        return int(whole) if whole not in {text, "-0"} else float(text)
    if constructor in {"datetime", "ip"}:
        return text
    raise ValueError(f"{constructor!r} makes no value of an argument")
