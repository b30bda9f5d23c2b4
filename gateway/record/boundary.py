"""Beginning a look in the middle of a log: at the head of a segment, which repeats the state of the log before it."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

from gateway.canonical import JsonError, loads_trusted
from gateway.record.due import Trust
from gateway.record.folder import LogFolder
from gateway.record.reader import lines_of
from gateway.record.report import INCOMPLETE, TAMPERED, Flaw, Level
from gateway.record.stored import open_stored
from gateway.record.tree import Frontier
from gateway.record.walk import Reached


def segment_since(segments: list[tuple[int, Path]], n: int | None, t: int | None) -> int:
    """The place in the list of the segment that holds record `n`, or the first record at or after time `t`, in microseconds.

    A head with a false time cannot lead past it: the segment that is chosen is looked at, its head first. One that cannot be read counts as early.
    """
    if n is not None:
        return max((i for i, (first, _) in enumerate(segments) if first <= n), default=0)
    if t is None:
        return 0
    low, high = 0, max(0, len(segments) - 1)
    while low < high:
        middle = (low + high + 1) // 2
        if _time_of(segments[middle][1]) < t:
            low = middle
        else:
            high = middle - 1
    return low


def _time_of(path: Path) -> int:
    try:
        found = loads_trusted(_first_line(path))["t"]
    except (JsonError, KeyError, TypeError):
        return 0
    return found if type(found) is int else 0


def _first_line(path: Path) -> bytes:
    return next((line for _, line, _ in lines_of(path)), b"")


def state_at(first: int, path: Path, level: Level) -> Reached | None:
    """What the head of a segment says of the log before it; None when it says nothing that could be true. Whether it is, is the caller's to see."""
    try:
        members = loads_trusted(_first_line(path))
        tree = Frontier.of_json(members["size"], members["frontier"])
        prev, open_calls = bytes.fromhex(members["prev"]), members["open_calls"]
        sound = members["k"] == "seg.open" and tree.size == first and members["root"] == tree.root().hex() and len(prev) == 32
        if not sound or any(type(n) is not int for n in open_calls):
            return None
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    reached = Reached(prev, first)
    if level != "chain":
        reached.tree = tree
    if level in {"full", "replay"}:
        reached.open_calls = set(open_calls)
    return reached


def begin_at(folder: LogFolder, trust: Trust, first: int, path: Path, level: Level) -> tuple[Reached, int]:
    """The state to begin from, and where the checkpoint that must confirm it stands in the list. Raises Flaw when nothing can confirm it."""
    reached = state_at(first, path, level)
    if reached is None:
        raise Flaw(TAMPERED, "the segment does not begin with the state of the log before it", n=first, segment=path.name, offset=0)
    wanted = f"{trust.origin}\n{first}\n".encode()
    at = _listed_at(folder.checkpoints, wanted)
    if at is None:
        raise Flaw(INCOMPLETE, f"no checkpoint says what the log was when it had {first} records: begin earlier", n=first, segment=path.name)
    return reached, at


def _listed_at(path: Path, beginning: bytes) -> int | None:
    """Where in the list of checkpoints the first note stands that begins so."""
    with open_stored(path) as stream:
        if not os.fstat(stream.fileno()).st_size:
            return None  # nothing can be mapped of an empty file
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as listed:
            if listed[: len(beginning)] == beginning:
                return 0
            return listed.find(b"\n" + beginning) + 1 or None
