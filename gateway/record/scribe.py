"""What makes appended records durable, as a seam: a thread of this process, or a writer process that several workers share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from gateway.record.entry import Answered, Entry, State
from gateway.record.line import REST_BYTES_MAX
from gateway.record.writer import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Writer


class Scribe(Protocol):
    """Writes entries in the order in which they are put. Its methods belong to the event loop it was started on.

    MUST answer each entry once, through `deliver` on that loop: with a Receipt only when the record is durable, with a Refusal when that is not known.
    MUST give receipts of one scribe in the order in which their entries were put. MUST NOT block the loop.
    MUST turn `failed`, for good, when nobody knows any more what is on the disk, and give no Receipt after that.
    MUST call `ended` once, after the last answer.
    """

    rest_bytes_max: int
    signs: bool
    """Whether the key that signs the log is in this process, so that it can be renewed here."""

    @property
    def state(self) -> State: ...

    @property
    def failure(self) -> str:
        """Why the state is `failed`; empty otherwise."""

    @property
    def size(self) -> int:
        """Durable records of the log, whoever wrote them."""

    @property
    def head(self) -> tuple[int, bytes]:
        """As many, and the Merkle root over them: both of one moment."""

    @property
    def signed(self) -> int:
        """Records under the newest checkpoint."""

    @property
    def open_calls(self) -> int:
        """Allowed calls in the log that have no outcome yet."""

    def start(self, deliver: Callable[[Answered], None], ended: Callable[[], None]) -> None: ...

    def put(self, entries: Sequence[Entry]) -> None: ...

    def stop(self) -> None:
        """Take no more entries; end when those that were put are answered."""


class ThreadScribe:
    """The log's one writer as a thread of this process. `lock` is the descriptor that keeps other writers out."""

    rest_bytes_max = REST_BYTES_MAX
    signs = True

    def __init__(self, writer: Writer, lock: int) -> None:
        self._writer = writer
        self._lock = lock
        self._queue: queue.SimpleQueue[Sequence[Entry] | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._deliver: Callable[[Answered], None] = lambda _: None
        self._ended: Callable[[], None] = lambda: None

    @property
    def state(self) -> State:
        return self._writer.state

    @property
    def failure(self) -> str:
        return self._writer.failure

    @property
    def size(self) -> int:
        return self._writer.tree.size

    @property
    def head(self) -> tuple[int, bytes]:
        tree = self._writer.tree
        return tree.size, tree.root()

    @property
    def signed(self) -> int:
        return self._writer.signed

    @property
    def open_calls(self) -> int:
        return len(self._writer.open_calls)

    def start(self, deliver: Callable[[Answered], None], ended: Callable[[], None]) -> None:
        self._deliver, self._ended = deliver, ended
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    def put(self, entries: Sequence[Entry]) -> None:
        self._queue.put(entries)

    def stop(self) -> None:
        self._queue.put(None)

    def take(self, patience_s: float) -> tuple[list[Entry], bool]:
        batch: list[Entry] = []
        size = 0
        try:
            part = self._queue.get(timeout=patience_s)
            while part is not None:
                batch += part
                size += sum(len(entry.rest) for entry in part)
                if len(batch) >= BATCH_RECORDS_MAX or size >= BATCH_BYTES_MAX:
                    return batch, True
                part = self._queue.get_nowait()
        except queue.Empty:
            return batch, True
        return batch, False

    def _run(self) -> None:
        try:
            self._writer.run(self, self._deliver_soon)
        finally:
            os.close(self._lock)
            with contextlib.suppress(RuntimeError):  # the loop is gone
                self._loop.call_soon_threadsafe(self._ended)

    def _deliver_soon(self, answered: Answered) -> None:
        """One wake-up of the loop for a whole batch. The loop may be gone when a process ends without `close`."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._deliver, answered)
