"""One record on its way to the disk, and what the writer answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from gateway.call import Blob, Receipt
from gateway.errors import Refusal

State = Literal["ok", "full", "failed", "closed"]


@dataclass(slots=True, eq=False)
class Entry:
    """`rest` is the line behind `t`; `blobs` are stored before it, `payload` (a line of sealed arguments, or nothing) with it. `outcome`: it may use the reserve. `opens`: it is a call that a result
    must follow; `closes`: the calls whose outcome it states. `renews`: once it is durable, the next key signs; the old one is kept or destroyed.
    """

    rest: bytes
    blobs: tuple[Blob, ...] = ()
    payload: bytes = b""
    outcome: bool = False
    opens: bool = False
    closes: Sequence[int] = ()
    renews: Literal["", "keep", "destroy"] = ""


Answered = list[tuple[Entry, Receipt | Refusal]]


class Source(Protocol):
    """Where the writer's entries come from."""

    def take(self, patience_s: float) -> tuple[list[Entry], bool]:
        """All entries that are there, having waited for the first at most so long; False when no more will come. MUST hand out each entry once."""
