"""What stays of an archived segment even when it is pruned: `log/<first n>.leaves`, a line that says what it was, and its leaf hashes.

Nobody believes it by itself: the root over the hashes has to be one that was signed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from gateway.canonical import JsonError, dumps_in_order, loads
from gateway.record.folder import LogFolder, replace
from gateway.record.stored import read_stored
from gateway.record.tree import Frontier

HASH_BYTES = 32
HEAD_BYTES_MAX = 4_096
SIDECAR_BYTES_MAX = 4 * 1024**3
"""The largest segment that can be configured, 8 GiB, has some 90 bytes in its shortest lines."""


class BadSidecar(ValueError):  # noqa: N818
    """The file is not the leaf hashes of a segment. The text says why."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A segment in short. `root` is that of the whole log up to its last record, `first_t` and `last_t` are its times in microseconds."""

    first: int
    root: bytes
    digest: str
    size_bytes: int
    first_t: int
    last_t: int
    leaves: tuple[bytes, ...]

    @property
    def end(self) -> int:
        """The number of the record after its last."""
        return self.first + len(self.leaves)

    def write(self, folder: LogFolder) -> None:
        """Put it beside the segment, durably. Raises OSError."""
        head = {
            "first": self.first,
            "size": len(self.leaves),
            "root": self.root.hex(),
            "digest": self.digest,
            "bytes": self.size_bytes,
            "first_t": self.first_t,
            "last_t": self.last_t,
        }
        replace(folder.leaves_of(self.first), dumps_in_order(head) + b"\n" + b"".join(self.leaves), durable=True)

    @classmethod
    def read(cls, path: Path) -> Sidecar:
        """Raises BadSidecar, OSError."""
        data = read_stored(path, SIDECAR_BYTES_MAX)
        line, newline, hashes = data[:HEAD_BYTES_MAX].partition(b"\n")
        try:
            head = loads(line)
            hashes = data[len(line) + 1 :]
            leaves = tuple(hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES))
            found = cls(head["first"], bytes.fromhex(head["root"]), head["digest"], head["bytes"], head["first_t"], head["last_t"], leaves)
            sound = newline and len(hashes) == head["size"] * HASH_BYTES and f"{found.first:020d}" == path.stem and leaves
        except (JsonError, KeyError, TypeError, ValueError) as error:
            raise BadSidecar(f"{path.name} does not hold the leaf hashes of a segment") from error
        if not sound:
            raise BadSidecar(f"{path.name} does not hold the leaf hashes of its segment")
        return found


def kept_leaves(folder: LogFolder, end: int) -> Iterator[bytes]:
    """The leaf hashes kept of the first `end` records. Raises BadSidecar where there are none, or others."""
    n = 0
    while n < end:
        try:
            found = Sidecar.read(folder.leaves_of(n))
        except FileNotFoundError as error:
            raise BadSidecar(f"the leaf hashes from record {n} on are missing") from error
        yield from found.leaves
        n = found.end


def kept_tree(folder: LogFolder, end: int) -> Frontier | None:
    """The tree of the first `end` records, from the leaf hashes that were kept; None where they were not all kept. Raises BadSidecar."""
    tree = Frontier()
    while tree.size < end:
        path = folder.leaves_of(tree.size)
        if not path.exists():
            return None
        found = Sidecar.read(path)
        tree.extend(list(found.leaves))
        if tree.root() != found.root:
            raise BadSidecar(f"{path.name} does not follow from the leaf hashes before it")
    if tree.size != end:
        raise BadSidecar(f"the leaf hashes that were kept end at {tree.size} and not at {end}")
    return tree
