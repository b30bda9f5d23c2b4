"""How the decision log may hold an argument of a call: in clear, sealed, as a keyed digest, or not at all."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

LogMode = Literal["plain", "seal", "hmac", "drop"]
"""In clear, sealed under a key that can be destroyed, as a keyed digest, or as its type and length."""

LOG_MODES: tuple[LogMode, ...] = ("plain", "seal", "hmac", "drop")
"""From the most open to the strictest."""

LogRule = tuple[str, LogMode]
"""A JSON pointer into the arguments, and the mode in which the log holds what stands there. `-` in it stands for any item of a list."""

REDACT = "redact"
"""The name of the annotation, and of the obligation that it becomes."""

REDACTED = "redacted"
"""The member of a recorded decision that lists what was taken out of it. A decision that has it can be made again only where nothing of it was looked at."""


def strictest(modes: Iterable[LogMode]) -> LogMode:
    """The strictest of some modes; `plain` when there is none."""
    return max(modes, key=LOG_MODES.index, default="plain")


def parts_of(pointer: str) -> tuple[str, ...]:
    """The members of a JSON pointer (RFC 6901). Raises ValueError when it is none, or points to the whole."""
    if not pointer.startswith("/"):
        raise ValueError("a JSON pointer begins with a slash")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def pointer_of(parts: Iterable[str]) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)


def rules_of(text: str) -> tuple[LogRule, ...]:
    """The rules of one `@redact`: pointers with white space between them, each with `=MODE` where it is not to be sealed. Raises ValueError."""
    found: list[LogRule] = []
    for word in text.split():
        pointer, _, stated = word.rpartition("=") if "=" in word else (word, "", "seal")
        mode = next((mode for mode in LOG_MODES[1:] if mode == stated), None)
        if mode is None or not all(parts_of(pointer)):
            raise ValueError(f"{word[:64]!r} is no rule")
        found.append((pointer, mode))
    if not found:
        raise ValueError("there is no pointer")
    return tuple(found)
