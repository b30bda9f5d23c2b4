"""Segments packed with zstd, in frames that can be opened one by one: `log/<first n>.jsonl.zst`, which any zstd tool unpacks.

A frame holds FRAME_BYTES of the segment, the last one the rest. A skippable frame at the end lists them (the seekable format of the zstd
project), so reading one record unpacks one frame.
"""

from __future__ import annotations

import io
import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zstandard

from gateway.record.stored import descriptor_of

SUFFIX = ".zst"
FRAME_BYTES = 1 << 20
LEVEL = 9
PACKED_BYTES_MAX = FRAME_BYTES + FRAME_BYTES // 128 + 1_024
"""What a frame may take: more than any that zstd makes of FRAME_BYTES."""
FRAMES_MAX = 1 << 20

_SKIPPABLE, _SEEKABLE = 0x184D2A5E, 0x8F92EAB1
_HEAD = struct.Struct("<II")
_ENTRY = struct.Struct("<II")
_FOOT = struct.Struct("<IBI")


def pack(data: Iterator[bytes]) -> Iterator[bytes]:
    """The packed form of pieces of FRAME_BYTES each, the last one perhaps shorter."""
    packer = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True)
    entries = []
    for piece in data:
        frame = packer.compress(piece)
        entries.append(_ENTRY.pack(len(frame), len(piece)))
        yield frame
    table = b"".join(entries)
    yield _HEAD.pack(_SKIPPABLE, len(table) + _FOOT.size) + table + _FOOT.pack(len(entries), 0, _SEEKABLE)


def open_segment(path: Path) -> io.RawIOBase:
    """Open a segment for reading as if it were not packed, also one that was packed since it was listed. Raises OSError, PackedBroken."""
    if path.suffix != SUFFIX:
        try:
            return io.FileIO(descriptor_of(path), "rb")
        except FileNotFoundError:
            path = path.with_name(path.name + SUFFIX)
    return PackedFile(path)


class PackedBroken(OSError):  # noqa: N818
    """A packed segment that does not unpack to what it was made from."""


class PackedFile(io.RawIOBase):
    """A packed segment, read like the file it was made from."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = descriptor_of(path)
        self._at = 0
        self._frame = -1
        self._data = b""
        try:
            self._starts, self._offsets = self._table()
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> int:
        """Bytes, unpacked."""
        return self._offsets[-1]

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def readinto(self, target: Any, /) -> int:
        """Fill as much as one frame holds from here; nothing at the end."""
        if self._at >= self.size:
            return 0
        frame = bisect_right(self._offsets, self._at) - 1
        if frame != self._frame:
            self._data, self._frame = self._unpacked(frame), frame
        start = self._at - self._offsets[frame]
        piece = self._data[start : start + len(target)]
        target[: len(piece)] = piece
        self._at += len(piece)
        return len(piece)

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()

    def _unpacked(self, frame: int) -> bytes:
        start, size = self._starts[frame], self._starts[frame + 1] - self._starts[frame]
        wanted = self._offsets[frame + 1] - self._offsets[frame]
        packed = os.pread(self._descriptor, size, start)
        try:
            if zstandard.get_frame_parameters(packed).content_size != wanted:
                raise self._broken()
            data = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
        except zstandard.ZstdError as error:
            raise self._broken() from error
        if len(data) != wanted:
            raise self._broken()
        return data

    def _table(self) -> tuple[list[int], list[int]]:
        """Where each frame begins in the file, and in what it holds; one entry more for the end."""
        end = os.fstat(self._descriptor).st_size
        foot = os.pread(self._descriptor, _FOOT.size, max(0, end - _FOOT.size))
        count, flags, magic = _FOOT.unpack(foot) if len(foot) == _FOOT.size else (0, 0, 0)
        length = count * _ENTRY.size + _FOOT.size
        begin = end - length - _HEAD.size
        if magic != _SEEKABLE or flags or count > FRAMES_MAX or begin < 0:
            raise self._broken()
        if os.pread(self._descriptor, _HEAD.size, begin) != _HEAD.pack(_SKIPPABLE, length):
            raise self._broken()
        starts, offsets = [0], [0]
        for packed, size in _ENTRY.iter_unpack(os.pread(self._descriptor, count * _ENTRY.size, begin + _HEAD.size)):
            starts.append(starts[-1] + packed)
            offsets.append(offsets[-1] + size)
            if not 0 < size <= FRAME_BYTES or packed > PACKED_BYTES_MAX:
                raise self._broken()
        if starts[-1] != begin:
            raise self._broken()
        return starts, offsets

    def _broken(self) -> PackedBroken:
        return PackedBroken(0, "not a packed segment, or a broken one", str(self._path))
