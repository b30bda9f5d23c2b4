"""The one thread that writes the log: whatever arrived while the last batch was made durable becomes the next batch.

There is no time window: alone, a record waits for one fdatasync; in a crowd, many share it. A batch is acknowledged only after fdatasync.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from gateway.call import Receipt
from gateway.canonical import Json
from gateway.config.model import LogSettings
from gateway.errors import Refusal
from gateway.record.disk import FULL, Disk
from gateway.record.entry import Answered, Entry, Source, State
from gateway.record.folder import LogFolder
from gateway.record.line import genesis, line_of, rest_of
from gateway.record.notary import Notary
from gateway.record.objects import ObjectBroken, ObjectMissing, Objects
from gateway.record.payload import Payloads
from gateway.record.recovery import Standing, closes_calls
from gateway.record.reserve import LOOK_INTERVAL_S, Reserve
from gateway.record.segment import Segment
from gateway.record.tree import Frontier, leaf_hash

BATCH_RECORDS_MAX = 1_024
BATCH_BYTES_MAX = 4 * 1024 * 1024

OPEN_CALLS_MAX = 4_096
"""Calls without an outcome at one time. They are named in one line when a segment begins, so there is a limit."""


class Writer:
    """Owns the log's files. Everything but reading the plain attributes belongs to the thread that runs `run`; before that, to its maker."""

    def __init__(self, folder: LogFolder, settings: LogSettings, standing: Standing | None, notary: Notary, disk: Disk) -> None:
        self.state: State = "ok"
        self.failure = ""
        self._folder = folder
        self._settings = settings
        self._notary = notary
        self._disk = disk
        self._objects = Objects(folder.objects)
        self._payloads = Payloads(folder, disk)
        self._reserve = Reserve(folder, settings, disk)
        found = standing or Standing(Frontier(), genesis(settings.origin))
        self.tree = found.tree  # replaced, never changed in place: other threads read it
        self.open_calls = set(found.open_calls)
        self.signed = found.signed
        self._prev = found.prev
        self._t = found.t
        if standing:
            self._segment = Segment(folder.segment(found.first), found.first, found.end, found.opened_t, disk)
            self._segment.sync(0)  # lines of a process that was killed are whole in memory, perhaps: nothing is signed that a power cut takes back
        else:
            self._segment = Segment.create(folder, 0, time.time_ns() // 1000, disk)
            self._segment.settle()
        self._signed_at = time.monotonic()
        self._batch: list[Entry] = []
        self._deliver: Callable[[Answered], None] = _nobody
        if not self._reserve.has_room(self._segment.end, make=True):
            self.state = "full"

    def begin(self, kind: str, body: Mapping[str, Json]) -> Receipt | Refusal:
        """Write a record of the log's own, before `run`. Raises OSError when the disk is broken."""
        answers: Answered = []
        self._deliver = answers.extend
        self._commit([Entry(rest_of(kind, body), outcome=True, closes=closes_calls(kind, body))])
        self._deliver = _nobody
        return answers[-1][1]

    def renew(self, *, keep: bool) -> None:
        """Let the next key sign from here on. Raises OSError, Problem."""
        self._notary.renew(self.tree.size, self.tree.root(), keep=keep)
        self.signed = self.tree.size

    def run(self, source: Source, deliver: Callable[[Answered], None]) -> None:
        """Work until the source ends, then write `log.close` and sign. `deliver` gets every entry with its answer; the first answer counts."""
        self._deliver = deliver
        try:
            going = True
            while going:
                going = self._turn(source)
            self._finish()
        except BaseException as error:
            self._fail(error)
            self._refuse(self._batch)
            raise
        finally:
            if self.state != "failed":
                self.state = "closed"
            self.close()

    def close(self) -> None:
        """Let go of the files; `run` does it by itself."""
        self._segment.close()
        self._payloads.close()
        self._notary.close()

    def _turn(self, source: Source) -> bool:
        batch, going = source.take(self._patience())
        self._batch = batch
        try:
            if batch and self.state != "failed":
                self._commit(batch)
            if self.state != "failed":
                self._keep()
        except OSError as error:
            self._fail(error)
        if batch and self.state == "failed":
            self._refuse(batch)
        return going

    def _finish(self) -> None:
        if self.state == "failed":
            return
        deliver, self._batch = self._deliver, []
        try:
            self.begin("log.close", {})
            if self.tree.size > self.signed:
                self.sign(durable=True)
        except OSError as error:
            self._deliver = deliver
            self._fail(error)

    def _patience(self) -> float:
        """Seconds until there is something to do without an append."""
        if self.state != "ok":
            return LOOK_INTERVAL_S
        dirty = self.tree.size > self.signed
        interval = self._settings.checkpoint_interval_s if dirty else self._settings.heartbeat_interval_s
        return max(0.001, self._signed_at + interval - time.monotonic())

    def _commit(self, batch: list[Entry]) -> None:
        """Make a batch durable. When there is no room, its outcomes get a second try on the reserve; the rest is refused."""
        if (self._segment.end >= self._settings.segment_bytes_max or self._is_old()) and self.tree.size > self._segment.first + 1:
            self._rotate()
        batch = self._ready(batch)
        if not batch or self._write(batch):
            return
        self._is_full()
        outcomes = [item for item in batch if item.outcome]
        self._refuse([item for item in batch if not item.outcome])
        if outcomes and not self._write(outcomes):
            self._refuse(outcomes)

    def _ready(self, batch: list[Entry]) -> list[Entry]:
        """Those whose objects are on the disk and that the head of a segment can still name; the others are refused."""
        ready = []
        opened = len(self.open_calls)
        for item in batch:
            if item.opens:
                if opened >= OPEN_CALLS_MAX:
                    self._refuse([item], f"{OPEN_CALLS_MAX} calls have no outcome in the log")
                    continue
                opened += 1
            try:
                if item.blobs:
                    self._objects.keep(item.blobs)
                ready.append(item)
            except OSError as error:
                if error.errno not in FULL:
                    raise
                self._is_full()
                self._refuse([item])
            except (ObjectBroken, ObjectMissing) as error:
                self._refuse([item], f"not an object: {error}")
        return ready

    def _write(self, batch: list[Entry]) -> bool:
        """Chain, write, sync, acknowledge. False when there was no room; then nothing of the batch is in the log."""
        tree, prev = self.tree.copy(), self._prev
        t = max(self._t, time.time_ns() // 1000)
        origin = self._settings.origin
        lines: list[bytes] = []
        answered: Answered = []
        for item in batch:
            n = tree.size
            line = line_of(n, prev, t, item.rest)
            prev = leaf_hash(line)
            tree.push(prev)
            lines.append(line)
            answered.append((item, Receipt(origin, n, prev.hex())))
        lines.append(b"")
        if not self._store(b"\n".join(lines), b"".join([item.payload for item in batch])):
            return False
        self.tree, self._prev, self._t = tree, prev, t
        for at, item in enumerate(batch, tree.size - len(batch)):
            if item.opens:
                self.open_calls.add(at)
            elif item.closes:
                self.open_calls.difference_update(item.closes)
        for item in batch:
            if item.renews:
                self.renew(keep=item.renews == "keep")
        if not self.signed:  # a log is never acknowledged without a first checkpoint: one that has none is no log
            self.sign(durable=True)
        self._deliver(answered)
        return True

    def _store(self, data: bytes, payload: bytes = b"") -> bool:
        """Write and sync. False, with the files as they were, when there is no room; any other OSError is final."""
        try:
            if payload:
                self._payloads.write(self._segment.first, payload)
            self._segment.write(data)
        except OSError as error:
            self._segment.cut()
            if payload:
                self._payloads.cut()
            if error.errno not in FULL:
                raise
            return False
        beside = self._payloads.sync() if payload else None
        self._segment.sync(len(data))
        if beside is not None:
            beside.result()
            self._payloads.settle()
        return True

    def _is_old(self) -> bool:
        return time.time_ns() // 1000 - self._segment.opened_t > self._settings.segment_age_s_max * 1_000_000

    def _rotate(self) -> None:
        """Begin a segment whose first record carries all that a restart needs. Without room, the old segment just grows on."""
        try:
            if self.tree.size > self.signed:
                self.sign(durable=True)
            tree = self.tree.copy()
            t = max(self._t, time.time_ns() // 1000)
            state = {"size": tree.size, "root": tree.root().hex(), "frontier": tree.as_json(), "open_calls": sorted(self.open_calls)}
            line = line_of(tree.size, self._prev, t, rest_of("seg.open", state))
            fresh = Segment.create(self._folder, tree.size, t, self._disk)
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._is_full()
            return
        old, self._segment = self._segment, fresh
        if not self._store(line + b"\n"):
            fresh.path.unlink()
            fresh.close()
            self._segment = old
            self._is_full()
            return
        fresh.settle()
        old.close()
        self._prev = leaf_hash(line)
        tree.push(self._prev)
        self.tree, self._t = tree, t

    def _keep(self) -> None:
        """Between batches: sign when due, see whether there is still room, and again."""
        due = time.monotonic() - self._signed_at
        dirty = self.tree.size - self.signed
        by_time = due >= (self._settings.checkpoint_interval_s if dirty else self._settings.heartbeat_interval_s)
        if self.tree.size and (by_time or dirty >= self._settings.checkpoint_records):
            self.sign(durable=by_time)
        if self._reserve.look_due():
            if self.state == "ok" and not self._reserve.has_room(self._segment.end, make=False):
                self.state = "full"
            elif self.state == "full" and self._reserve.has_room(self._segment.end, make=True):
                self.state = "ok"

    def sign(self, *, durable: bool) -> None:
        """Sign the durable log. Without room the log goes on unsigned until there is some: records are worth more than signatures."""
        self._signed_at = time.monotonic()
        tree = self.tree
        try:
            self._notary.sign(tree.size, tree.root())
        except OSError as error:
            if error.errno not in FULL:
                raise
            self._is_full()
            return
        self.signed = tree.size
        if durable:
            self._notary.sync()

    def _is_full(self) -> None:
        self.state = "full"
        self._reserve.release()

    def _fail(self, error: BaseException) -> None:
        """Final: after a failed fdatasync nobody knows what is on the disk, and a retry would lie. Only a restart can read it anew."""
        self.failure = f"{type(error).__name__}: {error}"
        self.state = "failed"
        self._deliver([])

    def _refuse(self, batch: list[Entry], reason: str = "") -> None:
        self._deliver([(item, Refusal("log_unavailable", reason=reason or f"the log is {self.state}")) for item in batch])


def _nobody(answered: Answered) -> None:
    """Before `run`, nobody waits."""
