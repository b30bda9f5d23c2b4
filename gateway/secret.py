"""Secret: a value that cannot be printed, logged, pickled, compared by accident or serialised."""

from __future__ import annotations

import hmac
from typing import Never


class Secret:
    """Holds a text that must not leak. `reveal()` is the only way out, so every use can be found by its name.

    `str`, `repr`, `format` and f-strings give ``***``; pickling, copying and JSON encoding raise TypeError.
    Equality is constant-time and only against another Secret.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text. Call it where the header is written, and keep the result in no variable that outlives the line."""
        text: str = object.__getattribute__(self, "_text")
        return text

    def __repr__(self) -> str:
        return "Secret(***)"

    def __str__(self) -> str:
        return "***"

    def __format__(self, spec: str) -> str:
        return "***"

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode("utf-8", "surrogatepass"), other.reveal().encode("utf-8", "surrogatepass"))

    __hash__ = None  # type: ignore[assignment]

    def __setattr__(self, name: str, value: object) -> Never:
        raise AttributeError("a Secret does not change")

    def __reduce_ex__(self, protocol: object) -> Never:
        raise TypeError("a Secret is not pickled, copied or serialised")

    def __getstate__(self) -> Never:
        raise TypeError("a Secret is not pickled, copied or serialised")
