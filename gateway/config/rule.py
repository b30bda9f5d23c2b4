"""What the table of settings says of one key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Rule:
    """What one key means. `low` and `high` are inclusive. `text` checks and tidies a text (or each of a list, or each value of a table).

    `choices` are the only texts. `path` says what must exist: a `file`, a `folder`, or nothing yet (`new`).
    """

    doc: str
    low: float | None = None
    high: float | None = None
    text: Callable[[str], str] | None = None
    choices: tuple[str, ...] = ()
    path: Literal["file", "folder", "new"] | None = None
