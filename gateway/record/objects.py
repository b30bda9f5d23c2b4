"""Bytes that records name by digest: policies, schemas, entity slices. One compressed copy of each, durable before the record."""

from __future__ import annotations

import re
from pathlib import Path

import zstandard

from gateway.call import Blob
from gateway.canonical import digest
from gateway.record.folder import replace, sync_folder
from gateway.record.stored import read_stored

OBJECT_BYTES_MAX = 64 * 1024 * 1024
KNOWN_MAX = 100_000
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class ObjectMissing(LookupError):  # noqa: N818
    """The log names an object that its folder does not hold."""


class ObjectBroken(ValueError):  # noqa: N818
    """What is stored under a digest has another one."""


class Objects:
    """The writer's side: `keep` is called from the writer thread only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: set[str] = set()

    def keep(self, blobs: tuple[Blob, ...]) -> None:
        """Return when every blob is on the disk. Raises OSError; ObjectBroken, ObjectMissing for a blob that is not what its digest says."""
        for blob in blobs:
            if blob.digest not in self._known:
                self._store(blob)
                if len(self._known) >= KNOWN_MAX:
                    self._known.clear()
                self._known.add(blob.digest)

    def _store(self, blob: Blob) -> None:
        path = object_path(self._folder, blob.digest)
        if path.exists():
            # The name may be younger than its folder's last fsync, if the process that made it was killed in between.
            sync_folder(path.parent)
            return
        if digest(blob.data) != blob.digest or len(blob.data) > OBJECT_BYTES_MAX:
            raise ObjectBroken(blob.digest)
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700)
            sync_folder(self._folder)
        replace(path, zstandard.ZstdCompressor(level=3).compress(blob.data), durable=True)


def object_path(folder: Path, name: str) -> Path:
    """Where an object stands. Raises ObjectMissing for what is no digest: a name never becomes a path unchecked."""
    if not DIGEST.fullmatch(name):
        raise ObjectMissing(name[:80])
    return folder / name[7:9] / f"{name[7:]}.zst"


def read_object(folder: Path, name: str) -> bytes:
    """The bytes under a digest. Raises ObjectMissing, ObjectBroken."""
    path = object_path(folder, name)
    try:
        packed = read_stored(path, OBJECT_BYTES_MAX + OBJECT_BYTES_MAX // 128)
    except OSError as error:
        raise ObjectMissing(name) from error
    try:
        if zstandard.get_frame_parameters(packed).content_size > OBJECT_BYTES_MAX:  # also when the frame does not say
            raise ObjectBroken(name)
        data = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ObjectBroken(name) from error
    if digest(data) != name:
        raise ObjectBroken(name)
    return data
