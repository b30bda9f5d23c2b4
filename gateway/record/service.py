"""The writer's side of the socket: workers' connections become the writer's source, and its answers their acknowledgements.

One thread does everything, because it has nothing better to do while the disk works: what arrives meanwhile waits in the sockets and is the next
batch. A worker is believed nothing: who it is, the kernel says; what it may say, `arrival` judges.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path

from gateway.call import Receipt
from gateway.errors import Problem, Refusal
from gateway.record import frames
from gateway.record.arrival import Arrived, Batch, Opening, Worker, entry_of
from gateway.record.entry import Answered, Entry
from gateway.record.frames import BadFrame, Status
from gateway.record.line import rest_of
from gateway.record.writer import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Writer

WORKERS_MAX = 256
READ_BYTES = 1024 * 1024
UNREAD_BYTES_MAX = 4 * 1024 * 1024
"""Answers that a worker has not read: beyond it the worker is given up."""
TELL_INTERVAL_S = 1.0
_CREDENTIALS = struct.Struct("iII")


def listen_at(path: Path, group: int | None = None) -> socket.socket:
    """A socket that only its owner, and the members of `group`, may connect to. Call it only as the log's one writer: what a dead one left there
    is removed. Raises Problem.
    """
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        if path.is_socket():
            path.unlink()
        before = os.umask(0o177)
        try:
            listening.bind(str(path))
        finally:
            os.umask(before)
        if group is not None:
            os.chown(path, -1, group)
            path.chmod(0o660)
        listening.listen(128)
    except OSError as error:
        listening.close()
        remedy = "name a path of at most 100 bytes in a folder that the writer's user may write, and that other users may not"
        raise Problem("log_socket", f"cannot listen here: {error.strerror or error}", file=str(path), key="log.socket", remedy=remedy) from error
    return listening


class WriterService:
    """Serves workers until `stop`. `uids` are the users whose processes may append. `report` is told of connections that were refused."""

    def __init__(self, listening: socket.socket, writer: Writer, origin: str, uids: frozenset[int], report: Callable[[str], None]) -> None:
        self._listening = listening
        self._writer = writer
        self._origin = origin
        self._uids = uids
        self._report = report
        self._workers: set[Worker] = set()
        self._arrived: list[Entry] = []
        self._arrived_bytes = 0
        self._left: list[Worker] = []
        self._stopping = self._ending = self._forlorn = False
        self._tied = -1
        self._told = self._status()
        self._told_at = time.monotonic()
        self._selector = selectors.DefaultSelector()
        self._woken, self._wake = socket.socketpair()
        for one in (listening, self._woken, self._wake):
            one.setblocking(False)
        self._selector.register(listening, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def run(self) -> None:
        """Serve; returns after `stop`, or when the writer has failed."""
        try:
            self._writer.run(self, self._deliver)
        finally:
            for worker in tuple(self._workers):  # there are some only when the writer has failed
                self._tell_one(worker, frames.frame(frames.STATUS, frames.status_bytes(self._status())))
                worker.socket.close()
            self._selector.close()
            for one in (self._listening, self._woken, self._wake):
                one.close()

    def stop(self) -> None:
        """Take what has arrived, and end. May be called from a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):  # it has ended, or is woken already
            self._wake.send(b"\0")

    def tie(self, descriptor: int) -> None:
        """Stop when the other end of a pipe is closed and the last worker has left: whoever started us has gone."""
        self._selector.register(descriptor, selectors.EVENT_READ)
        self._tied = descriptor

    # the writer's source

    def take(self, patience_s: float) -> tuple[list[Entry], bool]:
        deadline = time.monotonic() + patience_s
        if self._ending:  # all that had arrived is answered
            for worker in tuple(self._workers):
                self._leave(worker)
        self._arrived += map(self._farewell_of, self._left)
        self._left = []
        while self._writer.state != "failed":
            wait = 0.0 if self._arrived or self._stopping else max(0.0, deadline - time.monotonic())
            for key, events in self._selector.select(min(wait, self._tell())):
                self._on_event(key, events)
            if self._arrived or self._stopping or time.monotonic() >= deadline:
                break
        batch, self._arrived, self._arrived_bytes = self._arrived, [], 0
        going = not self._ending and self._writer.state != "failed"
        self._ending = self._stopping
        return batch, going

    def _on_event(self, key: selectors.SelectorKey, events: int) -> None:
        worker = key.data
        if isinstance(worker, Worker):
            if events & selectors.EVENT_WRITE:
                self._write(worker)
            full = len(self._arrived) >= BATCH_RECORDS_MAX or self._arrived_bytes >= BATCH_BYTES_MAX
            if events & selectors.EVENT_READ and not worker.gone and not full:  # what is not read now stays in its socket
                self._read(worker)
        elif key.fileobj is self._listening:
            self._accept()
        elif key.fileobj == self._tied:
            self._selector.unregister(self._tied)
            self._forlorn = True
            self._stopping = self._stopping or not self._workers
        else:
            self._woken.recv(4096)

    def _accept(self) -> None:
        try:
            connected, _ = self._listening.accept()
        except OSError:  # gone before it was taken, or no descriptor is left
            return
        pid, uid, gid = _CREDENTIALS.unpack(connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if uid not in self._uids or len(self._workers) >= WORKERS_MAX:
            self._report(f"process {pid} of user {uid} may not append")
            connected.close()
            return
        connected.setblocking(False)
        worker = Worker(connected, pid, uid, gid)
        self._workers.add(worker)
        self._selector.register(connected, selectors.EVENT_READ, worker)

    def _read(self, worker: Worker) -> None:
        try:
            data = worker.socket.recv(READ_BYTES)
            if not data:
                self._leave(worker)
            for kind, payload in worker.frames.feed(data):
                self._hear(worker, kind, payload)
        except BlockingIOError:
            return
        except BadFrame as error:
            self._report(f"process {worker.pid} was cut off: {error}")
            self._leave(worker)
        except OSError:
            self._leave(worker)

    def _hear(self, worker: Worker, kind: int, payload: bytes) -> None:
        if kind == frames.BATCH and worker.n >= 0:
            sent = frames.read_batch(payload)
            batch = Batch([None] * len(sent), len(sent))
            worker.batches.append(batch)
            refused: Answered = []
            for place, item in enumerate(sent):
                entry, why = entry_of(item, worker, batch, place)
                if why:
                    refused.append((entry, Refusal("log_unavailable", reason=why)))
                else:
                    self._arrived.append(entry)
            self._arrived_bytes += len(payload)
            if refused:
                self._deliver(refused)
        elif kind == frames.HELLO and not worker.greeted:
            worker.greeted = True
            if payload != frames.MAGIC + self._origin.encode():
                self._tell_one(worker, frames.frame(frames.FAREWELL, f"this is the writer of {self._origin}".encode()))
                self._leave(worker)
                return
            rest = rest_of("worker.open", {"uid": worker.uid, "gid": worker.gid, "pid": worker.pid})
            self._arrived.append(Opening(rest, worker=worker))
        else:
            raise BadFrame("not what a worker may say now")

    def _leave(self, worker: Worker) -> None:
        """The worker has gone or is let go. Its last entries may still be on their way, so its farewell is written with the next batch."""
        if worker.gone:
            return
        worker.gone = True
        self._workers.discard(worker)
        self._selector.unregister(worker.socket)
        worker.socket.close()
        self._stopping = self._stopping or (self._forlorn and not self._workers)
        if worker.n >= 0:
            self._left.append(worker)

    def _farewell_of(self, worker: Worker) -> Entry:
        """Calls that it leaves open end as `unknown`: nobody else will ever know."""
        if not worker.open_calls:
            return Entry(rest_of("worker.close", {"worker": worker.n}), outcome=True)
        calls = sorted(worker.open_calls)
        return Entry(rest_of("recover", {"status": "unknown", "calls": calls, "torn": [], "worker": worker.n}), outcome=True, closes=calls)

    # the writer's answers

    def _deliver(self, answered: Answered) -> None:
        touched: dict[Worker, None] = {}
        for entry, answer in answered:
            if isinstance(entry, Opening):
                self._welcome(entry.worker, answer)
            elif isinstance(entry, Arrived) and entry.batch.answers[entry.place] is None:
                entry.batch.answers[entry.place] = answer
                entry.batch.missing -= 1
                touched[entry.worker] = None
                if isinstance(answer, Receipt):
                    if entry.opens:
                        entry.worker.open_calls.add(answer.n)
                    elif entry.closes:
                        entry.worker.open_calls.difference_update(entry.closes)
        if not touched:
            return
        status = frames.status_bytes(self._status())
        for worker in touched:
            while worker.batches and not worker.batches[0].missing:
                answers = [a for a in worker.batches.popleft().answers if a is not None]
                self._tell_one(worker, frames.ack(status, answers))

    def _welcome(self, worker: Worker, answer: Receipt | Refusal) -> None:
        if isinstance(answer, Refusal):
            self._tell_one(worker, frames.frame(frames.FAREWELL, answer.reason.encode()))
            self._leave(worker)
            return
        worker.n = answer.n
        if worker.gone:  # between its greeting and now
            self._left.append(worker)
        self._tell_one(worker, frames.frame(frames.WELCOME, frames.status_bytes(self._status())))

    def _status(self) -> Status:
        writer = self._writer
        tree = writer.tree
        return Status(writer.state, tree.size, writer.signed, len(writer.open_calls), tree.root())

    def _tell(self) -> float:
        """Tell everybody how the log stands, at once when its state has changed, else once a second when anything has. Seconds until there may be news."""
        writer = self._writer
        same = (writer.tree.size, writer.signed) == (self._told.size, self._told.signed)
        due = self._told_at + TELL_INTERVAL_S - time.monotonic()
        if writer.state == self._told.state and (same or due > 0):
            return 3600.0 if same else due
        self._told, self._told_at = self._status(), time.monotonic()
        news = frames.frame(frames.STATUS, frames.status_bytes(self._told))
        for worker in tuple(self._workers):
            if worker.n >= 0:
                self._tell_one(worker, news)
        return 3600.0

    def _tell_one(self, worker: Worker, data: bytes) -> None:
        if worker.gone:
            return
        worker.unread += data
        if len(worker.unread) > UNREAD_BYTES_MAX:
            self._report(f"process {worker.pid} was cut off: it does not read its answers")
            self._leave(worker)
        elif len(worker.unread) == len(data):
            self._write(worker)

    def _write(self, worker: Worker) -> None:
        try:
            del worker.unread[: worker.socket.send(worker.unread)]
        except BlockingIOError:
            pass
        except OSError:
            self._leave(worker)
            return
        if bool(worker.unread) != worker.stuck:
            worker.stuck = not worker.stuck
            self._selector.modify(worker.socket, selectors.EVENT_READ | (selectors.EVENT_WRITE if worker.stuck else 0), worker)
