"""Tells when the files of a deployment have changed: at once where the system notifies, within seconds where it does not.

A notice alone is not trusted. Folders are compared by what stands in them (names, inodes, sizes, times), so that a change between loading and
watching, a lost notice, or a folder swapped by a symlink is seen all the same, and writing the same thing twice is one change.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path

import watchfiles

from gateway.config.model import Settings

LOOK_MS = 2_000
"""How often to look without a notice."""
RETRY_S = 3.0
FILES_MAX = 50_000

Print = frozenset[tuple[str, int, int, int]]
"""What stands in the folders: (path, inode, size, time of change in ns) of each entry."""


def folders_of(settings: Settings) -> frozenset[Path]:
    """The folders whose entries a reload would read, symlinks resolved. Log and keys are not among them."""
    roots = [settings.policies, settings.identities, *([settings.candidate] if settings.candidate else [])]
    found = {file.parent.resolve() for file in (*settings.files, *roots) if file.parent.is_dir()}
    for root in roots:
        if root.is_dir():  # a candidate may not be there yet
            found.add(root.resolve())
            found.update(folder.resolve() for folder in root.rglob("*") if folder.is_dir())
    return frozenset(found)


def print_of(folders: Iterable[Path]) -> Print:
    """The state of the folders as `Print`. An entry that vanishes while we look is left out."""
    found = set()
    for folder in folders:
        try:
            for entry in folder.iterdir():
                if entry.is_file():
                    stat = entry.stat()
                    found.add((str(entry), stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError:
            continue
        if len(found) > FILES_MAX:
            break
    return frozenset(found)


async def changes(settings: Callable[[], Settings], seen: Print, report: Callable[[str], None]) -> AsyncIterator[None]:
    """Yield after each change since `seen` (taken with `print_of` before the files were loaded). Never ends by itself."""
    polling = False
    while True:
        folders = folders_of(settings())
        try:
            async for _ in watchfiles.awatch(
                *folders, recursive=False, debounce=200, step=100, rust_timeout=LOOK_MS, yield_on_timeout=True, force_polling=polling
            ):
                now = print_of(folders_of(settings()))
                if now != seen:
                    seen = now
                    yield
                if folders_of(settings()) != folders:
                    break
        except (OSError, RuntimeError) as error:
            if not polling:
                report(f"the system cannot tell of changed files ({error}); looking at them every few seconds instead")
            polling = True
            await asyncio.sleep(RETRY_S)
