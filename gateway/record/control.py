"""How a command of the operator reaches the log of a running gateway: one line of JSON each way over a socket in the log's folder.

Only the gateway's own user (and root) is answered, as the kernel names the peer; the record that is written says who it was. While no gateway
runs, a command opens the log itself: the folder's lock lets only one of the two be the writer.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

from gateway.call import Receipt
from gateway.canonical import Json, JsonError, dumps, loads
from gateway.config.model import LogSettings
from gateway.errors import Problem, Refusal
from gateway.record.log import Log, open_log
from gateway.record.note import NoteKey
from gateway.record.remote import reach_log
from gateway.record.signer import PRIVATE_FILE, NoteSigner, make_next

SOCKET = "control"
LINE_BYTES_MAX = 65_536
TIMEOUT_S = 30.0
KINDS = frozenset({"erase", "kill", "prune", "revoke", "keys.change"})
"""What a command may have written. Everything else is said by the gateway itself."""


WRITES_APART = "another process writes this log, and its key is changed while nothing does"
STOP_IT = "stop the gateway and the log's writer, give the same command again, and start them"


class Control:
    """Answers commands for as long as the log is open. `noticed` is called before a record is written, with its kind."""

    def __init__(self, log: Log, keys: Path, noticed: Callable[[str], Awaitable[None]]) -> None:
        self._log = log
        self._keys = keys
        self._noticed = noticed
        self._server: asyncio.Server | None = None
        self._path = Path()
        self._turn = asyncio.Lock()

    async def open(self, folder: Path) -> None:
        """Listen in the log's folder, of which the caller MUST be the writer. Raises Problem."""
        self._path = folder / SOCKET
        try:
            with _short(folder) as place:
                self._server = await asyncio.start_unix_server(self._serve, place, limit=LINE_BYTES_MAX)
            self._path.chmod(0o600)
        except OSError as error:
            remedy = "keep the log on a file system of this machine"
            raise Problem("log_control", f"no socket can be made here: {error.strerror}", file=str(folder), remedy=remedy) from error

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                answer = await self._answer(await reader.readline(), _peer_of(writer.get_extra_info("socket")))
                writer.write(dumps(answer) + b"\n")
                await writer.drain()
        except (OSError, ValueError, TimeoutError):
            pass  # a peer that sends no line, or does not read the answer, gets none
        finally:
            writer.close()

    async def _answer(self, line: bytes, uid: int) -> dict[str, Json]:
        if uid not in {os.geteuid(), 0}:
            return {"error": "only the gateway's own user may do this"}
        try:
            asked = loads(line)
            if "rotate" in asked:
                return await self._rotate(asked["rotate"], uid)
            kind, body = asked["append"], asked["body"]
            if kind not in KINDS or not isinstance(body, dict):
                return {"error": f"a command cannot write a record of the kind {str(kind)[:32]!r}"}
            await self._noticed(kind)
            receipt = await self._log.append(kind, {**body, "by": f"uid:{uid}"})
        except (JsonError, KeyError, TypeError, ValueError):
            return {"error": "this is no request"}
        except Refusal as refusal:
            return {"error": refusal.reason}
        except Problem as problem:
            return {"error": problem.message, "remedy": problem.remedy}
        return {"n": receipt.n, "leaf": receipt.leaf}

    async def _rotate(self, asked: Json, uid: int) -> dict[str, Json]:
        keep, why = asked["keeps"] is True, str(asked["why"])
        if not self._log.signs:
            return {"error": WRITES_APART, "remedy": STOP_IT}
        async with self._turn:
            receipt, fresh = await _rotated(self._log, self._keys, why, keep=keep, uid=uid)
        return {"n": receipt.n, "leaf": receipt.leaf, "key": str(fresh)}


def rotate_key(settings: LogSettings, keys: Path, why: str, *, keep: bool) -> tuple[Receipt, NoteKey]:
    """Let a new key sign the log: in the running gateway, or in this process when none runs. Raises Problem, OSError.

    With a writer process of its own the log is rotated while that is stopped: only the process that writes can.
    """
    path = keys / PRIVATE_FILE
    if not path.exists():
        remedy = "give the folder of keys that the log's writer has (--keys), as its user"
        raise Problem("log_key", "the key that signs the log is not here", file=str(path), remedy=remedy)
    connection = _connect(settings.folder)
    if connection is None:
        return asyncio.run(_rotate_alone(settings, keys, why, keep=keep))
    with connection:
        answer = _ask(connection, {"rotate": {"keeps": keep, "why": why}}, settings.folder)
    if "error" in answer:
        message = f"the running gateway did not rotate its key: {answer['error']}"
        raise Problem("log_refused", message, file=str(settings.folder), remedy=answer.get("remedy", "see its standard error"))
    return Receipt(settings.origin, answer["n"], answer["leaf"]), NoteKey.parse(answer["key"])


async def _rotate_alone(settings: LogSettings, keys: Path, why: str, *, keep: bool) -> tuple[Receipt, NoteKey]:
    try:
        log = await open_log(settings, NoteSigner.open(keys))
    except Problem as problem:
        if problem.code != "log_locked":
            raise
        raise Problem("log_locked", WRITES_APART, file=str(settings.folder), remedy=STOP_IT) from problem
    try:
        return await _rotated(log, keys, why, keep=keep, uid=os.geteuid())
    except Refusal as refusal:
        raise Problem("log_unavailable", refusal.reason, file=str(settings.folder), remedy="free space on the log's disk") from refusal
    finally:
        await log.close()


async def _rotated(log: Log, keys: Path, why: str, *, keep: bool, uid: int) -> tuple[Receipt, NoteKey]:
    """Make a key, have the log name it, and let it sign from there on. One at a time: the key that waits is the one that was named last."""
    signer = await asyncio.to_thread(NoteSigner.open, keys)
    fresh = await asyncio.to_thread(make_next, keys, log.origin)
    body = {"old": str(signer.key(log.origin)), "new": str(fresh), "keeps": keep, "why": why, "by": f"uid:{uid}"}
    return await log.append("key.rotate", body, renews="keep" if keep else "destroy"), fresh


def append_record(settings: LogSettings, keys: Path, kind: str, body: Mapping[str, Json]) -> Receipt:
    """Have a record written: by the log's writer process where it has one, by the running gateway, or by this process when none runs. Returns when it is durable. Raises Problem."""
    connection = _connect(settings.folder) if settings.socket is None else None
    if connection is None:
        return asyncio.run(_append(settings, keys, kind, body))
    with connection:
        answer = _ask(connection, {"append": kind, "body": dict(body)}, settings.folder)
    if "error" in answer:
        raise Problem("log_refused", f"the running gateway did not write the record: {answer['error']}", file=str(settings.folder))
    return Receipt(settings.origin, answer["n"], answer["leaf"])


async def _append(settings: LogSettings, keys: Path, kind: str, body: Mapping[str, Json]) -> Receipt:
    log = await reach_log(settings, keys, on_fatal=lambda: None)
    try:
        return await log.append(kind, {**body, "by": f"uid:{os.geteuid()}"})
    except Refusal as refusal:
        raise Problem("log_unavailable", refusal.reason, file=str(settings.folder), remedy="free space on the log's disk") from refusal
    finally:
        await log.close()


def _connect(folder: Path) -> socket.socket | None:
    """A connection to the gateway that has the log open; None when there is none."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(TIMEOUT_S)
    try:
        with _short(folder) as place:
            connection.connect(place)
    except OSError:
        connection.close()
        return None
    return connection


def _ask(connection: socket.socket, request: Mapping[str, Json], folder: Path) -> dict[str, Json]:
    try:
        connection.sendall(dumps(request) + b"\n")
        with connection.makefile("rb") as stream:
            found: Json = loads(stream.readline(LINE_BYTES_MAX))
    except (OSError, JsonError) as error:
        raise Problem(
            "log_refused", "the running gateway gave no answer", file=str(folder), remedy="see its standard error, and try again"
        ) from error
    return dict(found)


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """The socket's path by a descriptor of its folder: the kernel takes at most 107 bytes, and a folder's path may be longer."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}/{SOCKET}"
    finally:
        os.close(descriptor)


def _peer_of(connection: socket.socket) -> int:
    """The user at the other end (SO_PEERCRED)."""
    _, uid, _ = struct.unpack("3i", connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)
