"""Judging the part of a log that is gone: did the log itself say that it was pruned, and are the hashes that stayed those that were signed?"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from gateway.record.folder import LogFolder
from gateway.record.line import BrokenLine, Record, record_of
from gateway.record.note import Checkpoint
from gateway.record.reader import batches_of
from gateway.record.report import INCOMPLETE, TAMPERED, Flaw
from gateway.record.sidecar import BadSidecar, kept_leaves, kept_tree
from gateway.record.tree import Frontier


def marked(folder: LogFolder, kind: str) -> Iterator[Record]:
    """The records of a kind that is rare: lines that cannot be one are not even parsed. Raises Flaw."""
    mark = f',"k":"{kind}"'.encode()
    for _, path in folder.segment_list():
        for offset, lines, _ in batches_of(path):
            for line in lines:
                if mark in line and (record := _record(line, path.name, offset)).kind == kind:
                    yield record


def _record(line: bytes, segment: str, offset: int) -> Record:
    try:
        return record_of(line, segment, offset)
    except BrokenLine as error:
        raise Flaw(TAMPERED, f"a line of this part of the segment is no record: {error}", segment=segment, offset=offset) from error


def stated(folder: LogFolder, before: int, signed: int) -> Record | None:
    """The signed record that says that everything before this number was pruned, perhaps with more that a stop has left there; None when none does.
    Behind `signed` anybody can write one.
    """
    return next((record for record in marked(folder, "prune") if _up_to(record) >= before and record.n < signed), None)


def _up_to(record: Record) -> int:
    found = record.body.get("before")
    return found if type(found) is int else 0


def of_pruned(folder: LogFolder, tree: Frontier, pinned: Checkpoint | None, signed: int) -> Flaw:
    """What is to be told of a log that begins with `tree`, which was signed, when all the rest is sound. `pinned` is a checkpoint of the part before,
    `signed` the size under the newest one.

    Raises Flaw when the leaf hashes that stayed are not those under the tree, or those under the pin, or when there are none to hold the pin against.
    """
    before = tree.size
    record = stated(folder, before, signed)
    if record is None or (_up_to(record) == before and record.body.get("root") != tree.root().hex()):
        return Flaw(INCOMPLETE, f"records 0 to {before - 1} are missing, and no record says that they were pruned", n=0)
    try:
        kept = kept_tree(folder, before)
        if kept is not None and kept.hashes != tree.hashes:
            raise Flaw(TAMPERED, "the leaf hashes kept of pruned records are not those that were signed", n=0)
        if pinned is not None and kept is not None and _root_at(folder, pinned.size) != pinned.root:
            raise Flaw(TAMPERED, f"the first {pinned.size} records were not the ones that were pinned", n=max(0, pinned.size - 1))
    except BadSidecar as error:
        raise Flaw(TAMPERED, str(error), n=0) from error
    if pinned is not None and kept is None:
        raise Flaw(INCOMPLETE, f"the pin is of {pinned.size} records, and those before {before} were pruned with their leaf hashes", n=0)
    how = "their leaf hashes are those that were signed" if kept is not None else "of them only the signed root is left"
    more = f", and up to {_up_to(record) - 1} were to go (a stop came in between: prune again)" if _up_to(record) > before else ""
    text = f"records 0 to {before - 1} were pruned, as record {record.n} says{more}; {how}, and the rest is as it was written"
    return Flaw(INCOMPLETE, text)


def _root_at(folder: LogFolder, size: int) -> bytes:
    tree = Frontier()
    tree.extend(list(islice(kept_leaves(folder, size), size)))
    return tree.root()
