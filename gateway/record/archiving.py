"""Archives a log's sealed segments: packs them, puts their leaf hashes beside them, and takes them away when their time is over.

A segment is sealed when the next one has begun; the writer never touches it again, so all this goes on beside a running gateway. Nothing is packed
or pruned before the segment has been read and found to lead to the state that the next one begins with.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from gateway.canonical import JsonError, loads_trusted
from gateway.errors import Problem
from gateway.record.boundary import state_at
from gateway.record.folder import LogFolder, sync_folder, write_all
from gateway.record.line import genesis
from gateway.record.packed import FRAME_BYTES, SUFFIX, open_segment, pack
from gateway.record.reader import batches_of
from gateway.record.sidecar import Sidecar
from gateway.record.tree import Frontier, leaf_hashes
from gateway.record.walk import Reached

Progress = Callable[[int], None]


@contextlib.contextmanager
def alone(folder: LogFolder) -> Iterator[None]:
    """One archiving command at a time. Raises Problem when another is at work."""
    descriptor = os.open(folder.path / "archive.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise Problem("log_busy", "another command archives or prunes this log", file=str(folder.path), remedy="wait for it") from error
    finally:
        os.close(descriptor)


def sealed(folder: LogFolder) -> list[tuple[int, Path, Reached]]:
    """Every segment that is complete, with the state that the next one begins with."""
    found = []
    for (first, path), (following, after) in pairwise(folder.segment_list()):
        state = state_at(following, after, "root")
        if state is None:
            break  # the next one has only just been made, or is damaged: either way nothing says that this one is complete
        found.append((first, path, state))
    return found


def archive(folder: LogFolder, progress: Progress = lambda _: None) -> list[Sidecar]:
    """Pack every sealed segment that is not packed yet. Returns what was packed. Raises Problem for a damaged segment, OSError."""
    done = []
    with alone(folder):
        for first, path, state in sealed(folder):
            if path.suffix != SUFFIX:
                found = sidecar_of(folder, first, path, state)
                _pack(path, found.digest)
                path.unlink()
                sync_folder(path.parent)
                done.append(found)
            progress(state.size)
    return done


def sidecar_of(folder: LogFolder, first: int, path: Path, state: Reached) -> Sidecar:
    """The sidecar of a sealed segment, made anew and written: one that is there may hold anything. `state` is that of the head that follows.
    Raises Problem.
    """
    before = state_at(first, path, "root") if first else Reached(genesis(folder.origin()))
    leaves: list[bytes] = []
    whole = hashlib.sha256()
    size = 0
    ends: list[bytes] = []
    for _, lines, _ in batches_of(path):
        leaves += leaf_hashes(lines)
        data = b"\n".join(lines) + b"\n"
        whole.update(data)
        size += len(data)
        ends = [*ends[:1], lines[0], lines[-1]]
    tree = before.tree.copy() if before else Frontier()
    tree.extend(leaves)
    if not leaves or tree.hashes != state.tree.hashes or leaves[-1] != state.prev:
        raise Problem("log_damaged", "the segment does not lead to the one after it", file=str(path), remedy="see `portreeve log verify`")
    found = Sidecar(first, tree.root(), f"sha256:{whole.hexdigest()}", size, _time(ends[0]), _time(ends[-1]), tuple(leaves))
    found.write(folder)
    return found


def _pack(path: Path, digest: str) -> None:
    """Write the packed form beside the segment, and read it back, before it gets its name."""
    target = path.with_name(path.name + SUFFIX)
    own = path.with_name(f".{target.name}.new{SUFFIX}")
    descriptor = os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        for piece in pack(_pieces(path, FRAME_BYTES)):
            write_all(descriptor, piece)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    again = hashlib.sha256()
    for piece in _pieces(own, FRAME_BYTES):
        again.update(piece)
    if f"sha256:{again.hexdigest()}" != digest:
        own.unlink()
        raise Problem("log_damaged", "what was packed does not unpack to the same bytes", file=str(path), remedy="check disk and memory")
    own.replace(target)
    sync_folder(path.parent)


def _pieces(path: Path, size: int) -> Iterator[bytes]:
    with open_segment(path) as stream:
        while piece := stream.read(size):
            while len(piece) < size and (more := stream.read(size - len(piece))):
                piece += more
            yield piece


def _time(line: bytes) -> int:
    try:
        found = loads_trusted(line)["t"]
    except (JsonError, KeyError, TypeError):
        found = 0
    return found if type(found) is int else 0
