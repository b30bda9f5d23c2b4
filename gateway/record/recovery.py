"""Where the log stands when it is opened: what is valid, what was torn by a crash, which calls were left open.

Only the last segment is read, whatever the age of the log: its first record carries the state of the tree before it. A crash can leave
unacknowledged bytes at the very end; those are moved to torn/ and named in a `recover` record. Anything else is damage, and a log that was
damaged is never shortened by itself.
"""

from __future__ import annotations

import os
from binascii import hexlify
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from gateway.canonical import Json, digest, loads_trusted
from gateway.errors import Problem
from gateway.record.folder import LogFolder, replace, sync_folder
from gateway.record.line import HEAD_MEMBERS, NOT_NEXT, BrokenLine, genesis
from gateway.record.notary import newest_checkpoint
from gateway.record.note import BadNote, Checkpoint, NoteKey
from gateway.record.stored import open_stored
from gateway.record.tree import Frontier, leaf_hash

RESTORE = "restore the log's folder from backup; `portreeve log recover` tells what is lost, and goes on without it if told to"


@dataclass(slots=True)
class Standing:
    """The log so far: its tree, the hash of its last line, its last time in microseconds, and the calls that have no result yet.

    `renews`: the key that its last segment names as the next to sign, and whether the one before it is kept.
    """

    tree: Frontier
    prev: bytes
    t: int = 0
    first: int = 0
    end: int = 0
    opened_t: int = 0
    open_calls: set[int] = field(default_factory=set)
    torn: list[dict[str, Json]] = field(default_factory=list)
    signed: int = 0
    renews: tuple[NoteKey, bool] | None = None


def opens_call(kind: str, body: Mapping[str, Json]) -> bool:
    """An allowed call is an intent: a result must follow. One with a refusal code ended there."""
    authz = body.get("authz") if kind == "call" else None
    return isinstance(authz, dict) and authz.get("decision") == "allow" and not body.get("code")


def closes_calls(kind: str, body: Mapping[str, Json]) -> Sequence[int]:
    """The calls whose outcome this record states."""
    if kind == "result" and type(body.get("call")) is int:
        return (body["call"],)
    if kind == "recover" and isinstance(body.get("calls"), list):
        return [n for n in body["calls"] if type(n) is int]
    return ()


def recover(folder: LogFolder, origin: str, keys: Sequence[NoteKey]) -> Standing | None:
    """Read the end of the log, cut what a crash tore. None when the log has no record yet. Raises Problem for damage, before anything is cut."""
    try:
        signed, listed = newest_checkpoint(folder, keys, origin)
    except BadNote as error:
        raise _damage(folder.checkpoints, str(error)) from error
    segments = folder.segment_list()
    unborn: list[Path] = []
    found: Standing | None = None
    while segments and found is None:
        first, path = segments.pop()
        read = _scan(path, first, origin, signed)
        if read.tree.size > first:
            found = read
        else:
            unborn.append(path)  # the crash came during rotation: the first record never became whole
    size = found.tree.size if found else 0
    if signed and size < signed.size:
        raise _damage(folder.path, f"{signed.size} records were signed and {size} are left")
    if signed is None and (size > 1 or any(whole != folder.segment(0) for whole in unborn)) and not folder.gap.exists():
        # The first record is signed before a second one is written. What has lost its checkpoints may have been written by anybody.
        raise _damage(folder.checkpoints, "no checkpoint is left, and a start would sign whatever stands in the log")
    torn = [_cut(folder, whole, 0) for whole in unborn if whole.stat().st_size]
    for empty in unborn:
        empty.unlink()
        sync_folder(empty.parent)
    if folder.checkpoints.exists() and folder.checkpoints.stat().st_size > listed:
        torn.append(_cut(folder, folder.checkpoints, listed))  # nothing is lost: the log can be signed again
    if found is None:
        return None
    if path.stat().st_size > found.end:
        torn.append(_cut(folder, path, found.end))
    found.torn = torn
    found.signed = signed.size if signed else 0
    return found


def _scan(path: Path, first: int, origin: str, signed: Checkpoint | None) -> Standing:
    """Read one segment up to its last valid line. Raises Problem when valid lines follow a broken one, or a root is not the signed one."""
    found = Standing(Frontier(), genesis(origin), first=first)
    with open_stored(path) as stream:
        while line := stream.readline(1 << 17):
            at = found.end
            try:
                if not line.endswith(b"\n"):
                    raise BrokenLine("without an end")  # noqa: TRY301
                _take(found, line[:-1], first)
            except BrokenLine as error:
                if holds_whole_records(line + stream.read()):
                    raise _damage(path, f"record {max(first, found.tree.size)} is broken ({error}), and not by a crash", at) from error
                return found
            found.end = at + len(line)
            if signed and signed.size == found.tree.size and signed.root != found.tree.root():
                raise _damage(path, f"the first {signed.size} records are not the ones that were signed", at)
    return found


def _take(found: Standing, line: bytes, first: int) -> None:
    """Add a line to the standing. The first line of a segment says what stood before it. Raises BrokenLine.

    Links and syntax only: they tell where a crash tore the file. Whether each byte is as it was written is `verify`'s to say.
    """
    try:
        members = loads_trusted(line)
        if found.tree.size < first:
            _begin(found, members, first)
        n, t, kind = found.tree.size, members["t"], members["k"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BrokenLine("not a record") from error
    if not line.startswith(b'{"n":%d,"prev":"%b","t":' % (n, hexlify(found.prev))) or type(t) is not int or t < found.t:
        raise BrokenLine(NOT_NEXT)
    found.prev = leaf_hash(line)
    found.tree.push(found.prev)
    found.t = t
    if n == first:
        found.opened_t = t
    if kind == "call":
        if opens_call(kind, members):
            found.open_calls.add(n)
        return
    if kind == "key.rotate":
        found.renews = _named(members)
    found.open_calls.difference_update(closes_calls(kind, members))


def _named(members: Mapping[str, Json]) -> tuple[NoteKey, bool] | None:
    """The key that a `key.rotate` names, and whether the one before it is to be kept."""
    try:
        return NoteKey.parse(members["new"]), members.get("keeps") is True
    except (BadNote, KeyError, AttributeError):
        return None


def _begin(found: Standing, members: Mapping[str, Json], first: int) -> None:
    """Take over the state that the head of a segment carries."""
    tree = Frontier.of_json(members["size"], members["frontier"])
    if tree.size != first or members["root"] != tree.root().hex() or members["k"] != "seg.open":
        raise BrokenLine("not the first record of this segment")
    found.prev = bytes.fromhex(members["prev"])
    found.open_calls = set(members["open_calls"])
    found.tree = tree


def holds_whole_records(data: bytes) -> bool:
    """Whether a record stands whole at or behind the break. A crash leaves a part of a line at the end of the file, and nothing behind it."""
    for line in data.split(b"\n")[:-1]:
        try:
            found = loads_trusted(line)
        except ValueError:
            continue
        if isinstance(found, dict) and found.keys() >= HEAD_MEMBERS:
            return True
    return False


def _cut(folder: LogFolder, path: Path, end: int) -> dict[str, Json]:
    """Move the bytes behind `end` to torn/ and shorten the file. The copy is durable first: nothing is ever just deleted."""
    with path.open("r+b") as stream:
        stream.seek(end)
        data = stream.read()
        mark = digest(data)
        replace(folder.torn / f"{path.stem}.{end}.{mark[7:23]}", data, durable=True)
        os.ftruncate(stream.fileno(), end)
        os.fsync(stream.fileno())
    return {"file": path.name, "at": end, "bytes": len(data), "digest": mark}


def _damage(path: Path, what: str, offset: int | None = None) -> Problem:
    where = f", at byte {offset}" if offset is not None else ""
    return Problem("log_damaged", f"the decision log is damaged{where}: {what}", file=str(path), remedy=RESTORE)
