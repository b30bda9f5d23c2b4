"""Making proofs from a log's folder: that a record is in it, that one checkpoint goes on from another, what a receipt is worth.

Every proof is checked against a checkpoint that one of the given keys has signed before it leaves here. The index that it is made from is
rebuilt once when it is stale; what then still does not fit is the log itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from gateway.errors import Problem
from gateway.record.leaves import Leaves, LeavesBroken
from gateway.record.line import Record
from gateway.record.note import BadNote, Checkpoint, NoteKey
from gateway.record.proof import BadProof, check_consistency, check_inclusion, prove_consistency, prove_inclusion
from gateway.record.reader import LogReader
from gateway.record.tlogproof import TlogProof

T = TypeVar("T")
_RECEIPT = re.compile(r"([^#;\s]{1,255})#(0|[1-9][0-9]{0,18});([0-9a-f]{64})")


class NotAsSigned(Exception):  # noqa: N818
    """The log's records are not those that were signed. The text says which."""


@dataclass(frozen=True, slots=True)
class ReceiptText:
    """A receipt as the gateway gives it with every decision: `origin#n;leaf`."""

    origin: str
    n: int
    leaf: bytes

    @classmethod
    def parse(cls, text: str) -> ReceiptText | None:
        """None for what is no receipt. The header's name in front is let be."""
        match = _RECEIPT.fullmatch(text.strip().removeprefix("portreeve-decision:").strip())
        return cls(match[1], int(match[2]), bytes.fromhex(match[3])) if match else None


@dataclass(frozen=True, slots=True)
class Prefix:
    """The first `size` records of a log as a tree, and the hashes that lead from its root to that of a larger one."""

    size: int
    root: bytes
    path: tuple[bytes, ...]


class Prover:
    """Proofs of one log. Blocking; made once and used often, from any thread. `pause` is called every few hundred records of a long look;
    `fresh` reads the keys anew, where they can be.
    """

    def __init__(
        self,
        reader: LogReader,
        keys: Sequence[NoteKey],
        *,
        pause: Callable[[int], None] = lambda _: None,
        fresh: Callable[[], Sequence[NoteKey]] | None = None,
    ) -> None:
        self.reader = reader
        self.keys = tuple(key for key in keys if key.name == reader.origin)
        self._fresh = fresh
        self._pause = pause
        self._leaves = Leaves(reader.folder)

    def close(self) -> None:
        self._leaves.close()

    def checkpoint(self) -> Checkpoint:
        """The newest one. Raises BadNote when there is none that a given key has signed."""
        try:
            found = self.reader.checkpoint(self.keys)
        except BadNote:
            if self._fresh is None:
                raise
            self.keys = tuple(key for key in self._fresh() if key.name == self.reader.origin)  # the log's key may have been renewed
            found = self.reader.checkpoint(self.keys)
        if found is None:
            raise BadNote("nothing is signed yet")
        return found

    def record(self, n: int) -> Record:
        """A signed record, proven before it is given out. Raises what `inclusion` raises."""
        return self._twice(lambda: self._proven(n)[0])

    def inclusion(self, n: int) -> TlogProof:
        """The proof of record `n` under the newest checkpoint. Raises Problem for a number that is not signed, NotAsSigned, BadNote."""
        return self._twice(lambda: self._proven(n)[1])

    def prefix(self, old: int, new: Checkpoint) -> Prefix:
        """The tree of the first `old` records, shown to be the beginning of the one that `new` speaks of. Raises NotAsSigned."""
        return self._twice(lambda: self._prefix(old, new))

    def _proven(self, n: int) -> tuple[Record, TlogProof]:
        newest = self._signed(n)
        self._leaves.grow(newest.size, pause=self._pause)
        record = self._leaves.record(n)
        path = prove_inclusion(n, newest.size, self._leaves.root)
        try:
            check_inclusion(self._leaves.leaf(n), n, newest.size, newest.root, path)
        except BadProof as error:
            raise LeavesBroken(f"the first {newest.size} records are not the ones that were signed") from error
        return record, TlogProof(n, tuple(path), newest.note, record.line)

    def _prefix(self, old: int, new: Checkpoint) -> Prefix:
        self._leaves.grow(new.size, pause=self._pause)
        root, path = self._leaves.root(0, old), prove_consistency(old, new.size, self._leaves.root)
        try:
            check_consistency(new.size, self._leaves.root(0, new.size), new.size, new.root, [])
            check_consistency(old, root, new.size, new.root, path)
        except BadProof as error:
            raise LeavesBroken(f"the first {new.size} records are not the ones that were signed") from error
        return Prefix(old, root, tuple(path))

    def _signed(self, n: int) -> Checkpoint:
        newest = self.checkpoint()
        if not 0 <= n < newest.size:
            raise Problem(
                "log_not_signed", f"record {n} is under no checkpoint", file=str(self.reader.folder.path), remedy=f"{newest.size} records are signed"
            )
        begins = next((first for first, _ in self.reader.folder.segment_list()), 0)
        if n < begins:
            raise Problem("log_pruned", f"record {n} was pruned", file=str(self.reader.folder.path), remedy=f"the log begins with record {begins}")
        return newest

    def _twice(self, attempt: Callable[[], T]) -> T:
        """An index can be older than a log that was repaired; the second attempt begins with none."""
        try:
            return attempt()
        except LeavesBroken:
            self._leaves.forget()
        try:
            return attempt()
        except LeavesBroken as error:
            raise NotAsSigned(str(error)) from error
