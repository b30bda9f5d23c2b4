"""The signed log as a directory of tiles (c2sp.org/tlog-tiles), which any tool for transparency logs can read over HTTP or from the disk.

`checkpoint`, `tile/entries/N[.p/W]` (entries with a 16-bit big-endian length in front) and `tile/L/N[.p/W]` (hashes), where N is written in groups of
three digits, all but the last with an `x` in front. Partial tiles are those of the checkpoint's size alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from gateway.errors import Problem
from gateway.record.folder import replace
from gateway.record.line import BrokenLine
from gateway.record.note import Checkpoint, NoteKey
from gateway.record.reader import LogReader
from gateway.record.tree import Frontier, leaf_hash

WIDTH = 256


def write_tiles(reader: LogReader, keys: Sequence[NoteKey], to: Path, progress: Callable[[int], None] = lambda _: None) -> Checkpoint:
    """Write the records under the newest checkpoint, and that last: a reader sees no checkpoint whose tiles are not there.

    The root is computed from what is written and must be the signed one. Full tiles that are there already, from an earlier export, are kept when
    they are the same. Raises Problem, BadNote, BrokenLine, OSError.
    """
    signed = reader.checkpoint(keys)
    if signed is None:
        raise Problem("log_unsigned", "the log has no checkpoint", file=str(reader.folder.path), remedy="start the gateway once")
    begins = next((first for first, _ in reader.folder.segment_list()), 0)
    if begins:
        remedy = "export the tiles before you prune"
        raise Problem(
            "log_pruned", f"records 0 to {begins - 1} were pruned, and tiles hold a log as a whole", file=str(reader.folder.path), remedy=remedy
        )
    tree, tiles = Frontier(), _Tiles(to)
    for record in reader.records():
        if record.n != tree.size:
            raise BrokenLine(f"record {tree.size} does not stand where it belongs")
        if tree.size >= signed.size:
            break
        leaf = leaf_hash(record.line)
        tree.push(leaf)
        tiles.add(record.line, leaf)
        if tree.size % WIDTH == 0:
            progress(tree.size)
    if (tree.size, tree.root()) != (signed.size, signed.root):
        raise BrokenLine(f"the first {signed.size} records are not the ones that were signed")
    tiles.close()
    replace(to / "checkpoint", signed.note, durable=True)
    return signed


def tile_path(index: int) -> str:
    """`x001/x234/067` for 1234067."""
    digits = f"{index:d}"
    digits = digits.zfill(-(-len(digits) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    return "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])


class _Tiles:
    """Tiles as they fill up. `levels` holds the hashes of the one that is not full yet, and how many full ones there are."""

    def __init__(self, to: Path) -> None:
        self._to = to / "tile"
        self._levels: list[tuple[int, list[bytes]]] = []
        self._entries: list[bytes] = []

    def add(self, line: bytes, leaf: bytes) -> None:
        self._entries.append(len(line).to_bytes(2, "big") + line)
        if len(self._entries) == WIDTH:
            self._write("entries", self._levels[0][0] if self._levels else 0, self._entries)
            self._entries = []
        self._push(0, leaf)

    def close(self) -> None:
        """Write what is not full."""
        if self._entries:
            self._write("entries", self._levels[0][0], self._entries)
        for level, (full, hashes) in enumerate(self._levels):
            if hashes:
                self._write(str(level), full, hashes)

    def _push(self, level: int, found: bytes) -> None:
        if level == len(self._levels):
            self._levels.append((0, []))
        full, hashes = self._levels[level]
        hashes.append(found)
        if len(hashes) == WIDTH:
            self._write(str(level), full, hashes)
            above = Frontier()
            above.extend(hashes)
            self._levels[level] = (full + 1, [])
            self._push(level + 1, above.root())

    def _write(self, kind: str, index: int, parts: list[bytes]) -> None:
        data = b"".join(parts)
        path = self._to / kind / (tile_path(index) + (f".p/{len(parts)}" if len(parts) < WIDTH else ""))
        if path.exists():
            if path.read_bytes() == data:
                return
            raise Problem("log_tiles", "these are the tiles of another log", file=str(path), remedy="name an empty folder")
        path.parent.mkdir(parents=True, exist_ok=True)
        replace(path, data, durable=False)
