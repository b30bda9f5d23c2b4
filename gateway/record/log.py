"""The decision log as the gateway uses it: append a record, wait for its receipt.

An append is cheap on the event loop: the body is serialised there, everything else is the scribe's.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.call import Blob, Receipt
from gateway.canonical import Json, JsonError
from gateway.config.model import LogSettings
from gateway.errors import Refusal
from gateway.record.disk import Disk, SystemDisk
from gateway.record.entry import Answered, Entry, State
from gateway.record.line import LineTooLong, rest_of
from gateway.record.opening import open_writer
from gateway.record.recovery import closes_calls, opens_call
from gateway.record.scribe import Scribe, ThreadScribe
from gateway.record.signer import NoteSigner
from gateway.record.writer import OPEN_CALLS_MAX

OUTCOMES = frozenset({"result", "recover", "log.open", "log.close"})
"""Kinds that are written while the disk is full: what has happened must be told; what has not happened yet can wait."""
LINGER_S = 0.002
"""How long a record that nobody waits for may wait for one that somebody does, to share its commit."""


async def open_log(settings: LogSettings, key: NoteSigner, *, on_fatal: Callable[[], object] | None = None, disk: Disk | None = None) -> Log:
    """Open the log for writing in this process, or begin it. Calls that a crash left open are closed as `unknown`.

    `on_fatal` is called once, without arguments, on the event loop, when the log can never be written again in this process: the caller should exit (75).
    Raises Problem when the folder belongs to another log or writer, is damaged, or has no room.
    """
    lock, writer = await asyncio.to_thread(open_writer, settings, key, disk or SystemDisk())
    return Log(settings, ThreadScribe(writer, lock), on_fatal)


@dataclass(slots=True, eq=False, kw_only=True)
class Pending(Entry):
    """One append on its way. `deadline` is on the loop's clock, in seconds."""

    future: asyncio.Future[Receipt]
    deadline: float
    call_id: Json
    answered: bool = False


class Log:
    """Appends to one log, through a scribe. All methods belong to the event loop it was opened on."""

    def __init__(self, settings: LogSettings, scribe: Scribe, on_fatal: Callable[[], object] | None) -> None:
        self.origin = settings.origin
        self._settings = settings
        self._scribe = scribe
        self._on_fatal = on_fatal
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Pending] = deque()
        self._pending = 0
        self._held: list[Pending] = []
        self._flush_at: asyncio.Handle | None = None
        self._flush_soon = False
        self._urgent = False
        self._handed = 0
        self._stopping = False
        self._quiet: asyncio.Future[None] | None = None
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._watch_every_s = max(0.05, settings.append_timeout_s / 4)
        self._watch = self._loop.call_later(self._watch_every_s, self._give_up)
        scribe.start(self._answer, self._ended)

    @property
    def state(self) -> State:
        return self._scribe.state

    @property
    def signs(self) -> bool:
        """Whether it is this process that signs the log."""
        return self._scribe.signs

    @property
    def size(self) -> int:
        """Durable records."""
        return self._scribe.size

    @property
    def head(self) -> tuple[int, bytes]:
        """Durable records and the Merkle root over them, of one moment."""
        return self._scribe.head

    @property
    def signed_size(self) -> int:
        """Records under the newest checkpoint."""
        return self._scribe.signed

    @property
    def open_calls(self) -> int:
        """Allowed calls whose outcome is not recorded yet."""
        return self._scribe.open_calls

    @property
    def failure(self) -> str:
        """Why the state is `failed`; empty otherwise. For operators, not for agents."""
        return self._scribe.failure

    def append(
        self,
        kind: str,
        body: Mapping[str, Json],
        *,
        blobs: tuple[Blob, ...] = (),
        payload: bytes = b"",
        lazily: bool = False,
        renews: Literal["", "keep", "destroy"] = "",
    ) -> asyncio.Future[Receipt]:
        """Queue a record; the future resolves when it is durable. `blobs` are stored before it, `payload` (a line of sealed arguments, or
        nothing) with it. `lazily`: nobody waits for it, so it may wait LINGER_S for another append and share its commit; the order of records
        is the order of appends all the same. `renews`: a `key.rotate`, after which the next key signs; only a log of this process can.

        The future raises Refusal: `log_unavailable` when the record cannot be durable, `body_too_large` when it does not fit in a line.
        Raises nothing itself but ValueError for a kind or body that no caller may use. A call whose future is cancelled, or has waited for
        `append_timeout_s`, may still be recorded; the log then closes it itself, as not sent.
        """
        loop = self._loop
        future: asyncio.Future[Receipt] = loop.create_future()
        outcome = kind in OUTCOMES
        try:
            self._admit(kind, outcome=outcome)
            rest = _rest(kind, body, self._scribe.rest_bytes_max)
        except Refusal as refusal:
            future.set_exception(refusal)
            return future
        opens = kind == "call" and opens_call(kind, body)
        closes = () if kind == "call" else closes_calls(kind, body)
        deadline = loop.time() + self._settings.append_timeout_s
        item = Pending(rest, blobs, payload, outcome, opens, closes, renews, future=future, deadline=deadline, call_id=body.get("id"))
        self._pending += 1
        self._waiting.append(item)
        self._held.append(item)
        self._urgent = self._urgent or not lazily
        if not self._handed:
            self._schedule()
        return future

    def _schedule(self) -> None:
        """See that what is held goes to the writer: at the end of this turn of the loop, or a little later when nobody waits for it."""
        if self._flush_at is not None:
            if not self._urgent or self._flush_soon:
                return
            self._flush_at.cancel()
        self._flush_soon = self._urgent
        self._flush_at = self._loop.call_soon(self._flush) if self._urgent else self._loop.call_later(LINGER_S, self._flush)

    def _flush(self) -> None:
        """Hand all that is held to the scribe, in one go: waking a thread or a process costs more than the rest of an append.

        There is one batch at a time. What is appended while it is being made durable is handed over when it is: a busy loop then makes fewer
        and larger batches, an idle one loses nothing.
        """
        self._flush_at, self._flush_soon, self._urgent = None, False, False
        held, self._held = self._held, []
        self._handed += len(held)
        if held:
            self._scribe.put(held)

    async def close(self) -> None:
        """Answer what is on its way, then let go of the log. A disk that hangs is not waited for."""
        if not self._stopping:
            self._flush()
            if self._pending:
                self._quiet = self._loop.create_future()
                await asyncio.wait({self._quiet}, timeout=self._settings.append_timeout_s)
            self._stopping = True
            self._flush()
            self._scribe.stop()
        await asyncio.wait({self._over}, timeout=self._settings.append_timeout_s)
        self._watch.cancel()

    def _admit(self, kind: str, *, outcome: bool) -> None:
        state = self._scribe.state
        limit = self._settings.queue_records_max
        if state not in {"ok", "full"} or self._stopping:
            raise Refusal("log_unavailable", reason=f"the log is {state}: {self._scribe.failure}".removesuffix(": "))
        if not outcome and state == "full":
            raise Refusal("log_unavailable", reason="the log's disk is full", retry_after_s=1)
        if self._pending >= (2 * limit if outcome else limit):
            raise Refusal("log_unavailable", reason="the log's queue is full", retry_after_s=1)
        if kind == "call" and self._scribe.open_calls >= OPEN_CALLS_MAX:
            raise Refusal("log_unavailable", reason=f"{OPEN_CALLS_MAX} calls have no outcome in the log", retry_after_s=1)

    def _ended(self) -> None:
        if not self._over.done():
            self._over.set_result(None)
        self._report_failure()

    def _answer(self, answered: Answered) -> None:
        for item, answer in answered:
            assert isinstance(item, Pending)
            if item.answered:
                continue
            item.answered = True
            self._pending -= 1
            self._handed -= 1
            future = item.future
            if future.done():  # cancelled, or given up: nobody holds the receipt, so nothing was sent
                if item.opens and isinstance(answer, Receipt):
                    self._disown(item, answer.n)
            elif isinstance(answer, Receipt):
                future.set_result(answer)
            else:
                future.set_exception(answer)
        waiting = self._waiting
        while waiting and waiting[0].answered:
            waiting.popleft()
        if self._held and not self._handed:
            self._schedule()
        if self._quiet is not None and not self._pending and not self._quiet.done():
            self._quiet.set_result(None)
        self._report_failure()

    def _disown(self, item: Pending, n: int) -> None:
        status = "cancelled" if item.future.cancelled() else "refused"
        closing = self.append("result", {"call": n, "id": item.call_id, "status": status, "code": "log_unavailable"})
        closing.add_done_callback(_look_at)  # if it fails, the call stays open and the next start closes it

    def _give_up(self) -> None:
        """A disk that hangs must not hang the gateway: whoever has waited too long is refused, whatever becomes of the record."""
        now = self._loop.time()
        for item in self._waiting:
            if item.deadline > now:
                break
            if not item.future.done():
                item.future.set_exception(Refusal("log_unavailable", reason="the log's disk does not answer", retry_after_s=1))
        self._watch = self._loop.call_later(self._watch_every_s, self._give_up)

    def _report_failure(self) -> None:
        if self._scribe.state == "failed" and self._on_fatal is not None:
            report, self._on_fatal = self._on_fatal, None
            report()


def _rest(kind: str, body: Mapping[str, Json], bytes_max: int) -> bytes:
    try:
        rest = rest_of(kind, body)
    except LineTooLong:
        rest = None
    except JsonError as error:
        raise Refusal("log_unavailable", reason=f"a {kind} record has no JSON form: {error}") from error
    if rest is None or len(rest) > bytes_max:
        raise Refusal("body_too_large", "The call is too large to be recorded", reason=f"a {kind} record does not fit in a line")
    return rest


def _look_at(future: asyncio.Future[Receipt]) -> None:
    if not future.cancelled():
        future.exception()
