"""Tiles by c2sp.org/tlog-tiles, read back by a reader that knows that specification and nothing of our code."""

import asyncio
import hashlib
from base64 import b64decode
from pathlib import Path

import pytest

from gateway.errors import Problem
from gateway.record import BadNote, BrokenLine, LogFolder, LogReader
from gateway.record.export import write_tiles
from gateway.record.export.tiles import tile_path
from tests.record.test_pruning import pruned
from tests.record.world import files, keys, lines, opened, plain, small_log


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def mth(hashes: list[bytes]) -> bytes:
    """RFC 6962 section 2.1."""
    if len(hashes) == 1:
        return hashes[0]
    k = 1 << (len(hashes) - 1).bit_length() - 1
    return node(mth(hashes[:k]), mth(hashes[k:]))


def fetched(prefix: Path, kind: str, index: int, width: int) -> bytes:
    name = "/".join(f"x{index // 1000**at % 1000:03d}" for at in range(4, 0, -1) if index >= 1000**at)
    path = prefix / "tile" / kind / name / (f"{index % 1000:03d}" + (f".p/{width}" if width < 256 else ""))
    return path.read_bytes()


def entries(prefix: Path, size: int) -> list[bytes]:
    found = []
    for index in range((size + 255) // 256):
        width = min(256, size - index * 256)
        data = fetched(prefix, "entries", index, width)
        for _ in range(width):
            length = int.from_bytes(data[:2], "big")
            found.append(data[2 : 2 + length])
            data = data[2 + length :]
        assert data == b""
    return found


def tiles(prefix: Path, level: int, size: int) -> list[bytes]:
    """All hashes of a level, by its full tiles and the partial one."""
    count = size // 256**level
    parts = [fetched(prefix, str(level), index, min(256, count - index * 256)) for index in range((count + 255) // 256)]
    data = b"".join(parts)
    assert len(data) == count * 32
    return [data[at : at + 32] for at in range(0, len(data), 32)]


def read(prefix: Path) -> tuple[int, list[bytes]]:
    """Size and entries, after everything in the folder has been held to the checkpoint."""
    _, size_text, root, *_ = (prefix / "checkpoint").read_text().split("\n")
    size = int(size_text)
    found = entries(prefix, size)
    leaves = [hashlib.sha256(b"\x00" + entry).digest() for entry in found]
    level, hashes, seen = 0, leaves, 0
    while hashes:
        assert tiles(prefix, level, size) == hashes
        seen += (len(hashes) + 255) // 256
        hashes = [mth(hashes[at : at + 256]) for at in range(0, len(hashes) - len(hashes) % 256, 256)]
        level += 1
    assert mth(leaves) == b64decode(root)
    assert sum(path.is_file() for path in (prefix / "tile").rglob("*") if "entries" not in path.parts) == seen  # and nothing else is there
    return size, found


async def grown(folder: Path, count: int) -> None:
    async with opened(folder, checkpoint_records=1_000, segment_bytes_max=max(20_000, count * 100)) as log:
        for start in range(0, count, 1_000):
            await asyncio.gather(*(log.append("call", plain(n)) for n in range(start, min(count, start + 1_000))))


def exported(folder: Path, to: Path) -> int:
    return write_tiles(LogReader(folder / "log"), keys(folder), to).size


@pytest.mark.parametrize("count", [0, 1, 253, 254, 255, 600])
async def test_the_root_comes_out_of_the_tiles_and_the_entries_are_the_lines(tmp_path, count):
    await grown(tmp_path, count)
    size = exported(tmp_path, tmp_path / "tiles")
    assert read(tmp_path / "tiles") == (size, lines(tmp_path)[:size])
    assert size >= count
    assert (tmp_path / "tiles" / "checkpoint").read_bytes() == (tmp_path / "log" / "checkpoint").read_bytes()


@pytest.mark.slow
async def test_two_full_levels(tmp_path):
    await grown(tmp_path, 256 * 256 + 300)
    size = exported(tmp_path, tmp_path / "tiles")
    assert size > 65_536
    assert len(read(tmp_path / "tiles")[1]) == size


def test_numbers_are_written_as_the_specification_shows():
    assert tile_path(1234067) == "x001/x234/067"
    assert [tile_path(n) for n in (0, 7, 999, 1000, 273)] == ["000", "007", "999", "x001/000", "273"]


async def test_a_later_export_goes_on_in_the_same_folder(tmp_path):
    await grown(tmp_path, 300)
    early = exported(tmp_path, tmp_path / "tiles")
    full = tmp_path / "tiles" / "tile" / "0" / "000"
    before = full.stat().st_ino
    await grown(tmp_path, 300)
    assert exported(tmp_path, tmp_path / "tiles") > early + 256
    assert full.stat().st_ino == before
    assert len(entries(tmp_path / "tiles", early)) == early  # also what the earlier checkpoint needs is still there


async def test_the_tiles_of_another_log_are_not_written_over(tmp_path):
    await grown(tmp_path / "a", 300)
    await grown(tmp_path / "b", 300)
    exported(tmp_path / "a", tmp_path / "tiles")
    with pytest.raises(Problem, match="another log"):
        exported(tmp_path / "b", tmp_path / "tiles")


async def test_what_is_not_as_it_was_signed_gets_no_checkpoint(tmp_path):
    await grown(tmp_path, 10)
    path = files(tmp_path)[0]
    sound = path.read_bytes()
    for at, change in enumerate(
        (sound.replace(b"contract_violation", b"contract_violatiom", 1), sound[: sound.rindex(b"\n", 0, -1) + 1], sound.replace(b'"n":3', b'"n":4'))
    ):
        path.write_bytes(change)
        with pytest.raises(BrokenLine):
            exported(tmp_path, tmp_path / f"tiles{at}")
        assert not (tmp_path / f"tiles{at}" / "checkpoint").exists()
    path.write_bytes(sound)
    with pytest.raises(BadNote):
        write_tiles(LogReader(tmp_path / "log"), keys(tmp_path / "nobody"), tmp_path / "tiles")
    (tmp_path / "log" / "checkpoint").unlink()
    with pytest.raises(Problem, match="no checkpoint"):
        exported(tmp_path, tmp_path / "tiles")


async def test_a_pruned_log_is_no_longer_whole_and_not_called_broken(tmp_path):
    await small_log(tmp_path, calls=10)
    await pruned(tmp_path, LogFolder(tmp_path / "log").segment_list()[3][0])
    with pytest.raises(Problem, match="were pruned"):
        exported(tmp_path, tmp_path / "tiles")
    assert not (tmp_path / "tiles").exists()
