"""What to write instead of a key that does not exist: the nearest key, the same key with its unit, or the right place for a secret."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable

# One of each unit, in seconds or in bytes.
_SECONDS = {
    "ms": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "secs": 1.0,
    "seconds": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minutes": 60.0,
    "h": 3600.0,
    "hours": 3600.0,
    "d": 86_400.0,
}
_BYTES = {
    "b": 1.0,
    "byte": 1.0,
    "bytes": 1.0,
    "k": 1024.0,
    "kb": 1000.0,
    "kib": 1024.0,
    "mb": 1e6,
    "mib": 1024.0**2,
    "gb": 1e9,
    "gib": 1024.0**3,
}
_UNITS = frozenset(_SECONDS) | frozenset(_BYTES)
_AMOUNT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([A-Za-z]{0,7})\s*")
_PARTS_OF_ADDRESS = frozenset({"host", "port", "bind", "ip"})
_SECRET_WORDS = frozenset({"secret", "password", "passwd", "token", "apikey", "key", "bearer", "authorization", "auth"})


def unit(key: str) -> str:
    """The unit in which a key counts, from its name: seconds, bytes, bytes per second, or nothing."""
    parts = key.split("_")
    if parts[-2:] == ["bytes", "s"]:
        return "bytes/s"
    if parts[-2:] == ["per", "s"]:
        return "1/s"
    return "bytes" if "bytes" in parts else "s" if "s" in parts else ""


def in_unit(key: str, value: object, given: str = "") -> str:
    """`key = number` with the value turned into the key's unit; empty when it cannot be. `given` is the unit that the wrong key named."""
    amount = _AMOUNT.fullmatch(value) if isinstance(value, str) else None
    if amount:
        number, written = float(amount[1]), amount[2].lower() or given
    elif isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e15 and math.isfinite(value):
        number, written = float(value), given
    else:
        return ""
    table = {"s": _SECONDS, "bytes": _BYTES}.get(unit(key))
    if table is None or (written and written not in table):
        return ""
    result = round(number * table.get(written, 1.0), 9)
    return f"{key} = {int(result) if result == int(result) else result}"


def for_unknown(key: str, value: object, known: Iterable[str]) -> tuple[str, str]:
    """(code, remedy) for a key that does not exist."""
    known = sorted(known)
    if key in _PARTS_OF_ADDRESS and "address" in known:
        return "unknown_key", 'write host and port as one: address = "127.0.0.1:9090"'
    stem, given = _stem(key)
    for other in known:
        if _stem(other)[0] == stem and unit(other) in {"s", "bytes"}:
            return "bad_unit", f"write {in_unit(other, value, given) or other + ' = a number'} ({'seconds' if unit(other) == 's' else 'bytes'})"
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    if near:
        return "unknown_key", f"did you mean {near[0]}?"
    if set(re.split(r"[_-]", key.lower())) & _SECRET_WORDS:
        return "unknown_key", 'keep secrets out of this file: [credential.NAME] with secret = "env:NAME", and credential = "NAME" in the tool'
    return "unknown_key", f"take it out; known here: {', '.join(known)}"


def _stem(key: str) -> tuple[list[str], str]:
    """The words of a key without its units, and the unit it named."""
    words = key.lower().split("_")
    units = [w for w in words if w in _UNITS]
    return sorted(w for w in words if w not in _UNITS), units[-1] if units else ""
