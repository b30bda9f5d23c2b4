"""A small log to look at, break and look at again."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.call import Blob
from gateway.canonical import Json, dumps
from gateway.config.model import LogSettings
from gateway.record import Log, NoteSigner, Report, open_log, verify_folder
from gateway.record.disk import Disk, SystemDisk
from gateway.record.note import Checkpoint
from gateway.record.opening import open_writer
from gateway.record.service import WriterService, listen_at
from gateway.record.tree import Frontier, leaf_hash

ORIGIN = "gw.example/test"
POLICIES = Blob.of(dumps({"files": [["refunds.cedar", '@id("small-refunds") permit(principal, action, resource);']]}))
SCHEMA = Blob.of(b'{"entities":{}}')
ENTITIES = Blob.of(b"[]")


def settings(folder: Path, **changes: Json) -> LogSettings:
    """Small and quick: no low-water mark, a small reserve, checkpoints by count only."""
    given: dict[str, Json] = {
        "folder": folder / "log",
        "origin": ORIGIN,
        "reserve_bytes": 65_536,
        "low_water_bytes": 0,
        "checkpoint_interval_s": 3600.0,
        **changes,
    }
    return LogSettings(**given)


@asynccontextmanager
async def opened(folder: Path, *, disk: Disk | None = None, on_fatal=None, **changes: Json) -> AsyncIterator[Log]:
    log = await open_log(settings(folder, **changes), NoteSigner.open(folder / "keys"), disk=disk, on_fatal=on_fatal)
    try:
        yield log
    finally:
        await log.close()


@dataclass
class Service:
    """The writer's service while it runs. `path` is its socket, `said` what it reported."""

    path: Path
    of: WriterService
    thread: threading.Thread
    said: list[str]

    def stop(self) -> None:
        self.of.stop()
        self.thread.join(30)


@contextmanager
def service(folder: Path, *, disk: Disk | None = None, uids: frozenset[int] | None = None, **changes: Json) -> Iterator[Service]:
    """The service that workers append through, in a thread. Its socket has a short path, as sockets must."""
    said: list[str] = []
    given = settings(folder, **changes)
    with tempfile.TemporaryDirectory(prefix="portreeve-") as near:
        lock, writer = open_writer(given, NoteSigner.open(folder / "keys"), disk or SystemDisk())
        listening = listen_at(Path(near) / "log.sock")
        of = WriterService(listening, writer, given.origin, frozenset({os.getuid()}) if uids is None else uids, said.append)
        thread = threading.Thread(target=of.run)
        thread.start()
        found = Service(Path(near) / "log.sock", of, thread, said)
        try:
            yield found
        finally:
            if thread.is_alive():
                found.stop()
            os.close(lock)


def root(folder: Path, size: int) -> bytes:
    """The Merkle root of the first records as they stand in the files."""
    tree = Frontier()
    for line in lines(folder)[:size]:
        tree.push(leaf_hash(line))
    return tree.root()


def keys(folder: Path, origin: str = ORIGIN):
    return (NoteSigner.open(folder / "keys").key(origin),)


def verified(folder: Path, **options) -> Report:
    return verify_folder(folder / "log", keys=keys(folder), **options)


def call(number: int, decision: str = "allow") -> dict[str, Json]:
    """The members of a `call` that the log itself looks at, and a few others."""
    authz = {
        "p": 'Agent::"billing"',
        "ents": ENTITIES.digest,
        "policies": POLICIES.digest,
        "schema": SCHEMA.digest,
        "decision": decision,
        "reasons": ["small-refunds"],
    }
    return {"id": f"call-{number}", "authz": authz, "code": "" if decision == "allow" else "denied"}


def plain(number: int) -> dict[str, Json]:
    """A call that was refused before policy saw it: it names no object and opens nothing."""
    return {"id": f"call-{number}", "authz": None, "code": "contract_violation"}


def result(n: int, number: int) -> dict[str, Json]:
    return {"call": n, "id": f"call-{number}", "status": "ok", "http": 200}


async def write_call(log: Log, number: int) -> int:
    receipt = await log.append("call", call(number), blobs=(POLICIES, SCHEMA, ENTITIES))
    await log.append("result", result(receipt.n, number))
    return receipt.n


async def small_log(folder: Path, calls: int = 4, **changes: Json) -> None:
    """A closed log of a few short segments and checkpoints."""
    async with opened(folder, **{"segment_bytes_max": 1_000, "checkpoint_records": 4, **changes}) as log:
        for number in range(calls):
            await write_call(log, number)


def files(folder: Path) -> list[Path]:
    """The segments in order."""
    return sorted((folder / "log" / "log").iterdir())


def lines(folder: Path) -> list[bytes]:
    return [line for path in files(folder) for line in path.read_bytes().split(b"\n")[:-1]]


def twin(folder: Path, to: Path) -> Path:
    """A copy to break."""
    shutil.copytree(folder, to)
    return to


def signed_by_its_own_key(folder: Path) -> None:
    """Sign the log as it stands now, whatever was done to it: one checkpoint at each head of a segment, and one at the end."""
    signer, tree, notes = NoteSigner.open(folder / "keys"), Frontier(), []
    for path in files(folder):
        if tree.size:
            notes.append(signer.sign(ORIGIN, Checkpoint(ORIGIN, tree.size, tree.root()).text))
        tree.extend([leaf_hash(line) for line in path.read_bytes().split(b"\n")[:-1]])
    notes.append(signer.sign(ORIGIN, Checkpoint(ORIGIN, tree.size, tree.root()).text))
    (folder / "log" / "checkpoint").write_bytes(notes[-1])
    (folder / "log" / "checkpoints").write_bytes(b"".join(notes))
