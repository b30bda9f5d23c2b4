"""What a look at a log found, and the first thing that was wrong with it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["chain", "root", "full", "replay"]
OK, TAMPERED, USAGE, INCOMPLETE, KEY = 0, 1, 2, 3, 4


@dataclass(frozen=True, slots=True)
class Report:
    """`exit_code`: 0 ok, 1 tampered, 2 usage, 3 incomplete, 4 key or signature.

    `first_bad` is the n of the first record that is not as it was written, `segment` and `offset` (bytes) say where. `since` is the first record
    that was looked at: of those before it only the root was compared. `unsigned` records at the end are under no checkpoint yet: they are chained,
    but whoever can write the folder could have changed them. `newest_t` is the time of the last record, in microseconds. `checkpoint_age_s` is by the
    file's own time, which a copy may not keep; None when the file's time cannot be read.
    """

    level: Level
    origin: str = ""
    exit_code: int = OK
    message: str = ""
    since: int = 0
    size: int = 0
    root: str = ""
    signed: int = 0
    unsigned: int = 0
    checkpoints: int = 0
    checkpoint_age_s: float | None = None
    newest_t: int | None = None
    segments: int = 0
    objects: int = 0
    decisions: int = 0
    first_bad: int | None = None
    segment: str = ""
    offset: int | None = None
    elapsed_s: float = 0.0

    @property
    def ok(self) -> bool:
        return self.exit_code == OK


class Flaw(Exception):  # noqa: N818
    """The first thing that is wrong. It ends the look."""

    def __init__(self, exit_code: int, message: str, *, n: int | None = None, segment: str = "", offset: int | None = None) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.n = n
        self.segment = segment
        self.offset = offset
