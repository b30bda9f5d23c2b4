"""Merkle proofs (RFC 6962 section 2.1, RFC 9162 section 2.1.3 and 2.1.4): that a record is in a tree, that one tree goes on from another.

Pure arithmetic over hashes. Where the hashes of a tree come from is the caller's `Root`: it is asked for ranges of leaves only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.record.tree import EMPTY_ROOT, node_hash

PATH_HASHES_MAX = 63
"""Longest proof that is read: no tree is deeper, and c2sp.org/tlog-witness has the same limit."""

Root = Callable[[int, int], bytes]
"""The root of the subtree over the leaves from `start` to before `end`."""


class BadProof(ValueError):  # noqa: N818
    """A proof does not prove what it should, or is none. The text says why."""


def _split(size: int) -> int:
    """The largest power of two below `size`: where RFC 6962 cuts a tree of two and more leaves."""
    return 1 << (size - 1).bit_length() - 1


def prove_inclusion(n: int, size: int, root: Root) -> list[bytes]:
    """The hashes beside the way from leaf `n` up to the root of the first `size` leaves. `n` is below `size`."""
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if n < middle:
            path.append(root(middle, end))
            end = middle
        else:
            path.append(root(start, middle))
            start = middle
    return path[::-1]


def prove_consistency(old: int, new: int, root: Root) -> list[bytes]:
    """The hashes that lead from the root of the first `old` leaves to that of the first `new`. Empty for nothing and for the same size."""
    if old in {0, new}:
        return []
    path: list[bytes] = []
    start, end = 0, new
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            path.append(root(middle, end))
            end = middle
        else:
            path.append(root(start, middle))
            start = middle
    if start:
        path.append(root(start, end))
    return path[::-1]


def included_root(leaf: bytes, n: int, size: int, path: Sequence[bytes]) -> bytes:
    """The root that a tree of `size` leaves has when `leaf` is its leaf `n` and `path` is right. Raises BadProof for a path that cannot be one."""
    if not 0 <= n < size:
        raise BadProof(f"a tree of {size} records has no record {n}")
    at, last, root = n, size - 1, leaf
    for beside in path:
        if not last:
            raise BadProof("the proof is too long")
        if at & 1 or at == last:
            root = node_hash(beside, root)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            root = node_hash(root, beside)
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("the proof is too short")
    return root


def check_inclusion(leaf: bytes, n: int, size: int, root: bytes, path: Sequence[bytes]) -> None:
    """Whether `leaf` is leaf `n` of the tree with this size and root. Raises BadProof when it is not shown."""
    if included_root(leaf, n, size, path) != root:
        raise BadProof("the proof does not lead to the signed root")


def check_consistency(old: int, old_root: bytes, new: int, new_root: bytes, path: Sequence[bytes]) -> None:
    """Whether the tree of `new` leaves begins with all of the tree of `old`. Raises BadProof when it is not shown."""
    if not 0 <= old <= new:
        raise BadProof(f"{new} records do not go on from {old}")
    if old in {0, new}:
        if path:
            raise BadProof("the proof is too long")
        if old == new and old_root != new_root:
            raise BadProof("two trees of one size have different roots")
        if not old and old_root != EMPTY_ROOT:
            raise BadProof("the empty tree has another root")
        return
    hashes = list(path)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)  # the old tree is one full subtree: its root is known and not sent
    if not hashes:
        raise BadProof("the proof is too short")
    _climb(old, old_root, new, new_root, hashes)


def _climb(old: int, old_root: bytes, new: int, new_root: bytes, hashes: list[bytes]) -> None:
    """RFC 9162 section 2.1.4.2, steps 4 to 7."""
    at, last = old - 1, new - 1
    while at & 1:
        at, last = at >> 1, last >> 1
    was = now = hashes[0]
    for beside in hashes[1:]:
        if not last:
            raise BadProof("the proof is too long")
        if at & 1 or at == last:
            was, now = node_hash(beside, was), node_hash(beside, now)
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            now = node_hash(now, beside)
        at, last = at >> 1, last >> 1
    if last:
        raise BadProof("the proof is too short")
    if was != old_root or now != new_root:
        raise BadProof("the proof does not lead from the one root to the other")
