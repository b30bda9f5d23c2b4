"""The Merkle tree over the log's lines (RFC 6962 section 2.1), kept as its frontier: one hash per full subtree."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

from gateway.canonical import Json

EMPTY_ROOT = hashlib.sha256(b"").digest()


def leaf_hash(line: bytes) -> bytes:
    """Hash of one line without its newline. It is the Merkle leaf and, in the next line, `prev`: one hash serves chain and tree."""
    return hashlib.sha256(b"\x00" + line).digest()


_LEAF = hashlib.sha256(b"\x00")


def leaf_hashes(lines: Iterable[bytes]) -> list[bytes]:
    """The leaf hash of each line; a copy of a begun hash is cheaper than a new one and a longer line."""
    found = []
    for line in lines:
        begun = _LEAF.copy()
        begun.update(line)
        found.append(begun.digest())
    return found


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """A tree of `size` leaves as the roots of its full subtrees, largest first. Grows in place; `copy()` before what may be undone."""

    __slots__ = ("hashes", "size")

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if size < 0 or len(self.hashes) != size.bit_count() or any(len(h) != 32 for h in self.hashes):
            raise ValueError("a frontier holds one hash of 32 bytes per bit of its size")

    def push(self, leaf: bytes) -> None:
        hashes = self.hashes
        size = self.size
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + hashes.pop() + leaf).digest()
            size >>= 1
        hashes.append(leaf)
        self.size += 1

    def extend(self, leaves: Sequence[bytes]) -> None:
        """Push many leaves at once, level by level."""
        old, new, size = self.hashes, list[bytes](), self.size
        level = list(leaves)
        while level:
            if size & 1:
                level.insert(0, old.pop())
            if len(level) & 1:
                new.append(level.pop())
            pairs = iter(level)
            level = [hashlib.sha256(b"\x01" + left + right).digest() for left, right in zip(pairs, pairs, strict=True)]
            size >>= 1
        self.hashes = old + new[::-1]
        self.size += len(leaves)

    def root(self) -> bytes:
        if not self.hashes:
            return EMPTY_ROOT
        root = self.hashes[-1]
        for left in reversed(self.hashes[:-1]):
            root = node_hash(left, root)
        return root

    def copy(self) -> Frontier:
        twin = Frontier.__new__(Frontier)
        twin.size = self.size
        twin.hashes = self.hashes.copy()
        return twin

    def as_json(self) -> list[str]:
        return [h.hex() for h in self.hashes]

    @classmethod
    def of_json(cls, size: int, hashes: Json) -> Frontier:
        """The inverse of `as_json`. Raises ValueError when it cannot be a frontier of that size."""
        if not isinstance(hashes, list) or not all(isinstance(h, str) for h in hashes):
            raise ValueError("a frontier is a list of hashes")
        return cls(size, map(bytes.fromhex, hashes))
