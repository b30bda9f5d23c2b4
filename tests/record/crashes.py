"""What a disk may hold after a power cut: a model of files, names and what has been synced, driven by a trace of system calls.

Only what was synced is sure. Of the rest anything may have reached the disk: of a file's bytes any part of any write, sector by sector, with zeros
or old garbage where a sector is missing; of a folder's names any of those that were made, moved or removed since the folder was synced.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
DELETED = " (deleted)"


@dataclass
class File:
    """`sure` is the content as of the last sync, `since` what was done to it after that: (offset, bytes), or (size, None) for a cut."""

    sure: bytes = b""
    since: list[tuple[int, bytes | None]] = field(default_factory=list)

    def whole(self) -> bytes:
        return applied(self.sure, self.since)

    def after_cut(self, chance: random.Random) -> bytes:
        """Some content that the disk may hold."""
        match chance.randrange(5):
            case 0:
                return self.sure
            case 1:
                return self.whole()
            case 2:  # the file system kept the order of bytes, and stopped somewhere
                steps = list(self.since)
                kept = steps[: chance.randrange(len(steps) + 1)]
                if len(kept) < len(steps) and (last := steps[len(kept)])[1]:
                    kept.append((last[0], last[1][: chance.randrange(len(last[1]) + 1)]))
                return applied(self.sure, kept)
            case _:
                return self._sectors(chance)

    def _sectors(self, chance: random.Random) -> bytes:
        """Each sector that was touched has its new content, its old one, zeros, or what was on the disk before."""
        new, old = self.whole(), self.sure
        found = bytearray(new)
        for start in range(0, len(new), SECTOR):
            end = min(start + SECTOR, len(new))
            if new[start:end] == old[start:end]:
                continue
            if start < len(old) and chance.randrange(2):
                found[start:end] = old[start:end].ljust(end - start, b"\0")
            elif start >= len(old):
                kind = chance.randrange(4)
                if kind == 0:
                    found[start:end] = bytes(end - start)
                elif kind == 1:
                    found[start:end] = chance.randbytes(end - start)
        return bytes(found)


def applied(content: bytes, steps: list[tuple[int, bytes | None]]) -> bytes:
    found = bytearray(content)
    for at, data in steps:
        if data is None:
            del found[at:]
        else:
            found.extend(bytes(max(0, at - len(found))))
            found[at : at + len(data)] = data
    return bytes(found)


@dataclass
class Folder:
    """Names as of the last sync, and what was done to them since: (name, what stands there now or None)."""

    sure: dict[str, File | Folder] = field(default_factory=dict)
    since: list[tuple[tuple[str, File | Folder | None], ...]] = field(default_factory=list)

    @classmethod
    def of(cls, path: Path) -> Folder:
        """A folder as it is, all of it sure."""
        return cls({each.name: cls.of(each) if each.is_dir() else File(each.read_bytes()) for each in path.iterdir() if not each.is_socket()})

    def now(self) -> dict[str, File | Folder]:
        return self._with(self.since)

    def _with(self, steps) -> dict[str, File | Folder]:
        found = dict(self.sure)
        for step in steps:
            for name, what in step:
                if what is None:
                    found.pop(name, None)
                else:
                    found[name] = what
        return found

    def write(self, path: Path, chance: random.Random | None) -> None:
        """Make the folder as the disk may hold it; without `chance`, as it was in memory: that is what a kill leaves."""
        kind = chance.randrange(4) if chance else 0
        steps = self.since if not kind else self.since[-1:] if kind == 1 else [step for step in self.since if chance and chance.randrange(2)]
        path.mkdir()
        for name, what in self._with(steps).items():
            if isinstance(what, Folder):
                what.write(path / name, chance)
            else:
                (path / name).write_bytes(what.whole() if chance is None else what.after_cut(chance))
                (path / name).chmod(0o600)


def states(trace: Path, top: Path, before: Folder | None = None) -> Iterator[tuple[Folder, list[str]]]:
    """After each call of the trace: the folder `top`, and the lines that the process had said until then. The same objects each time, changed.

    `before` is what the process began with. Without it calls on other folders than the log's are left out.
    """
    root = before or Folder()

    def parent(path: Path) -> Folder:
        found: Folder | File = root
        for part in path.parent.relative_to(top).parts:
            assert isinstance(found, Folder)
            found = found.now()[part]
        assert isinstance(found, Folder)
        return found

    gone: dict[str, File | Folder | None] = {}  # by name, with what the kernel puts behind it: a process may still have them open
    said: list[str] = []
    for line in trace.read_text().splitlines():
        call, first, more, data = line.split("\t")
        path = Path(first)
        if call == "said":
            said += bytes.fromhex(data).decode().splitlines()
            continue
        if path == top:
            root.sure, root.since = root.now(), []
            continue
        if before is None and path.relative_to(top).parts[0] != "log":
            continue
        here = parent(path)
        what = gone.get(path.name) if path.name.endswith(DELETED) else here.now().get(path.name)
        match call:
            case "mkdir":
                here.since.append(((path.name, Folder()),))
            case "create":
                here.since.append(((path.name, File()),))
            case "rename":
                assert what is not None
                gone[Path(more).name + DELETED] = here.now().get(Path(more).name)
                here.since.append(((path.name, None), (Path(more).name, what)))
            case "link":
                assert isinstance(what, File)
                here.since.append(((Path(more).name, what),))
            case "unlink":
                gone[path.name + DELETED] = what
                here.since.append(((path.name, None),))
            case "write" | "truncate":
                assert isinstance(what, File)
                what.since.append((int(more), bytes.fromhex(data) if call == "write" else None))
            case "sync" if isinstance(what, File):
                what.sure, what.since = what.whole(), []
            case "sync":
                assert isinstance(what, Folder)
                what.sure, what.since = what.now(), []
        yield root, said
