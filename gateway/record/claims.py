"""What others hold of a log, against the log: each claims that its first records had a certain root, and all claims must be true of one history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.record.boundary import state_at
from gateway.record.folder import LogFolder
from gateway.record.reader import lines_of
from gateway.record.sidecar import BadSidecar, kept_leaves
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


def comparable_from(folder: LogFolder) -> int:
    """The least size whose root the log can still tell: not 0 where it was pruned with its leaf hashes."""
    begins = _begins(folder)
    return begins if begins and not folder.leaves_of(0).exists() else 0


def contradiction(folder: LogFolder, claims: Iterable[Claim], progress: Callable[[int], None] = lambda _: None) -> Contradiction | None:
    """Look for one, in a single pass over the log's own lines. Blocking. None when every claim is the beginning of this log.

    Claims of fewer records than `comparable_from` MUST NOT be among them. Raises OSError.
    """
    due = sorted(claims, key=lambda claim: claim.size, reverse=True)
    begins = _begins(folder)
    begun = _state(folder) if begins else Frontier()
    tree = begun.copy() if comparable_from(folder) else Frontier()
    leaves = _leaves(folder, kept=begins if not tree.size else 0)
    while due:
        claim = due.pop()
        while tree.size < claim.size:
            try:
                leaf = next(leaves, None)
            except BadSidecar as error:
                return Contradiction(claim, str(error))
            if leaf is None:
                return Contradiction(claim, f"{claim.size} records were there, and the log ends after {tree.size}")
            tree.push(leaf)
            if tree.size == begins and tree.hashes != begun.hashes:
                return Contradiction(claim, f"the leaf hashes kept of the first {begins} records are not those that the log goes on from")
            if tree.size % PROGRESS_RECORDS == 0:
                progress(tree.size)
        if tree.root() != claim.root:
            return Contradiction(claim, f"the first {claim.size} records are not the ones that were there")
    return None


def _begins(folder: LogFolder) -> int:
    return next((first for first, _ in folder.segment_list()), 0)


def _state(folder: LogFolder) -> Frontier:
    """The tree of what was pruned, as the first segment says. Nothing follows from an empty one."""
    state = state_at(*folder.segment_list()[0], "root")
    return state.tree if state is not None else Frontier()


def _leaves(folder: LogFolder, *, kept: int) -> Iterator[bytes]:
    """The leaf hashes kept of the first `kept` records, which were pruned, and those of all lines."""
    yield from kept_leaves(folder, kept)
    for _, path in folder.segment_list():
        for _, line, whole in lines_of(path):
            if whole:
                yield leaf_hash(line)
