"""What others hold of a log, against the log: each claims that its first records had a certain root, and all claims must be true of one history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.record.folder import LogFolder
from gateway.record.reader import lines_of
from gateway.record.tree import Frontier, leaf_hash

PROGRESS_RECORDS = 4_096


@dataclass(frozen=True, slots=True)
class Claim:
    """Somebody saw the log with `size` records and this root. `by` says who and when, for people."""

    size: int
    root: bytes
    by: str


@dataclass(frozen=True, slots=True)
class Contradiction:
    """The first claim, by size, that is not true of the log as it stands."""

    claim: Claim
    why: str

    def __str__(self) -> str:
        return f"{self.claim.by}: {self.why}"


def contradiction(folder: LogFolder, claims: Iterable[Claim], progress: Callable[[int], None] = lambda _: None) -> Contradiction | None:
    """Look for one, in a single pass over the log's own lines. Blocking. None when every claim is the beginning of this log."""
    due = sorted(claims, key=lambda claim: claim.size, reverse=True)
    tree = Frontier()
    leaves = _leaves(folder)
    while due:
        claim = due.pop()
        while tree.size < claim.size:
            leaf = next(leaves, None)
            if leaf is None:
                return Contradiction(claim, f"{claim.size} records were there, and the log ends after {tree.size}")
            tree.push(leaf)
            if tree.size % PROGRESS_RECORDS == 0:
                progress(tree.size)
        if tree.root() != claim.root:
            return Contradiction(claim, f"the first {claim.size} records are not the ones that were there")
    return None


def _leaves(folder: LogFolder) -> Iterator[bytes]:
    for _, path in folder.segment_list():
        for _, line, whole in lines_of(path):
            if whole:
                yield leaf_hash(line)
