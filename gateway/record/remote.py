"""A worker's side of the socket: the scribe whose log another process writes. When that process is gone, nothing is acknowledged any more."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from gateway.config.model import LogSettings
from gateway.errors import Problem, Refusal
from gateway.record import frames
from gateway.record.arrival import STAMPED_REST_BYTES_MAX
from gateway.record.entry import Answered, Entry, State
from gateway.record.frames import BLOB, PAYLOAD, BadFrame, Frames, Sent, Side, Status
from gateway.record.log import Log, open_log
from gateway.record.objects import KNOWN_MAX
from gateway.record.signer import NoteSigner
from gateway.record.tree import EMPTY_ROOT
from gateway.record.writer import BATCH_BYTES_MAX, BATCH_RECORDS_MAX

GONE = "its writer process is gone"


async def reach_log(settings: LogSettings, keys: Path, *, on_fatal: Callable[[], object]) -> Log:
    """The log of a gateway: written by this process with the key in the folder `keys` or, with `socket`, by the one that listens there."""
    if settings.socket is not None:
        return await connect_log(settings, settings.socket, on_fatal=on_fatal)
    return await open_log(settings, NoteSigner.open(keys), on_fatal=on_fatal)


async def connect_log(settings: LogSettings, path: Path, *, on_fatal: Callable[[], object] | None = None) -> Log:
    """Append to the log of the writer process that listens at `path`. `on_fatal` as for `open_log`; the writer's end is one, too.

    Raises Problem when nobody listens there, or whoever does will not have this process.
    """
    loop = asyncio.get_running_loop()
    remedy = "start it: portreeve log writer"
    try:
        async with asyncio.timeout(settings.append_timeout_s):
            _, scribe = await loop.create_unix_connection(lambda: SocketScribe(settings.origin), str(path))
            await scribe.welcomed
    except TimeoutError as error:
        raise Problem("log_writer", "the log's writer does not answer", file=str(path), key="log.socket", remedy=remedy) from error
    except OSError as error:
        raise Problem(
            "log_writer", f"the log's writer cannot be reached: {error.strerror}", file=str(path), key="log.socket", remedy=remedy
        ) from error
    except Refusal as refusal:
        message = f"the log's writer refuses this process: {refusal.reason}"
        raise Problem(
            "log_writer", message, file=str(path), key="log.socket", remedy="see what it printed; `--allow-uid` lets other users in"
        ) from refusal
    return Log(settings, scribe, on_fatal)


class SocketScribe(asyncio.Protocol):
    """One connection to the writer. `welcomed` is done when it may be used, and raises Refusal when it may not."""

    rest_bytes_max = STAMPED_REST_BYTES_MAX
    signs = False

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._loop = asyncio.get_running_loop()
        self.welcomed: asyncio.Future[None] = self._loop.create_future()
        self.failure = ""
        self._status = Status("closed", 0, 0, 0, EMPTY_ROOT)
        self._transport: asyncio.Transport | None = None
        self._frames = Frames()
        self._sent: deque[Sequence[Entry]] = deque()
        self._known: set[str] = set()
        self._stopping = False
        self._lost = False
        self._deliver: Callable[[Answered], None] = lambda _: None
        self._ended: Callable[[], None] | None = None

    @property
    def state(self) -> State:
        return self._status.state

    @property
    def size(self) -> int:
        return self._status.size

    @property
    def head(self) -> tuple[int, bytes]:
        return self._status.size, self._status.root

    @property
    def signed(self) -> int:
        return self._status.signed

    @property
    def open_calls(self) -> int:
        return self._status.open_calls

    def start(self, deliver: Callable[[Answered], None], ended: Callable[[], None]) -> None:
        self._deliver, self._ended = deliver, ended
        if self._lost:
            self._loop.call_soon(ended)

    def put(self, entries: Sequence[Entry]) -> None:
        if self._lost or self._transport is None:
            self._loop.call_soon(self._refuse, entries)
            return
        for part in _parts(entries):
            data = frames.batch([self._as_sent(entry) for entry in part])
            if len(data) > frames.FRAME_BYTES_MAX:
                self._loop.call_soon(self._refuse, part, "its objects are too large")
                continue
            self._sent.append(part)
            self._transport.write(data)

    def stop(self) -> None:
        self._stopping = True
        if not self._sent and self._transport is not None:
            self._transport.close()

    # what the transport says

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        transport.write(frames.frame(frames.HELLO, frames.MAGIC + self._origin.encode()))

    def data_received(self, data: bytes) -> None:
        try:
            for kind, payload in self._frames.feed(data):
                self._hear(kind, payload)
        except BadFrame as error:
            self._lose(f"its writer process cannot be understood: {error}")

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - why does not matter: nothing can be written any more
        self._lose(GONE)

    def _hear(self, kind: int, payload: bytes) -> None:
        if kind == frames.ACK and self._sent:
            self._status, answers = frames.read_ack(payload, self._origin)
            part = self._sent.popleft()
            if len(answers) != len(part):
                self._sent.appendleft(part)
                raise BadFrame("answers to something else")
            for entry, answer in zip(part, answers, strict=True):
                if entry.blobs and not isinstance(answer, Refusal):
                    self._remember(entry)
            self._deliver(list(zip(part, answers, strict=True)))
            if self._stopping and not self._sent and self._transport is not None:
                self._transport.close()
            self._look_at_state()
        elif kind in {frames.STATUS, frames.WELCOME}:
            self._status = frames.read_status(payload)
            if kind == frames.WELCOME and not self.welcomed.done():
                self.welcomed.set_result(None)
            self._look_at_state()
        elif kind == frames.FAREWELL and not self.welcomed.done():
            self._lose(payload.decode("utf-8", "replace"))
        else:
            raise BadFrame("not what a writer may say now")

    def _look_at_state(self) -> None:
        if self._status.state == "failed":
            self._lose("its writer process has failed")
        elif self._status.state == "closed":
            self._lose("its writer process has stopped")

    def _lose(self, why: str) -> None:
        """Without a writer nothing is acknowledged: what is on its way is refused, whatever became of it."""
        if self._lost:
            return
        self._lost = True
        wanted = self._stopping and not self._sent and self.state != "failed"
        self.failure = "" if wanted else why
        self._status = Status("closed" if wanted else "failed", self.size, self.signed, self.open_calls, self._status.root)
        if not self.welcomed.done():
            self.welcomed.set_exception(Refusal("log_unavailable", reason=why))
        if self._transport is not None:
            self._transport.abort()
        parts, self._sent = self._sent, deque()
        for part in parts:
            self._refuse(part)
        self._deliver([])
        if self._ended is not None:
            self._ended()

    def _refuse(self, entries: Sequence[Entry], why: str = "") -> None:
        self._deliver([(entry, Refusal("log_unavailable", reason=why or f"the log is {self.state}: {self.failure}")) for entry in entries])

    def _as_sent(self, entry: Entry) -> Sent:
        """Objects that the writer has acknowledged once are not sent again."""
        sides = [Side(BLOB, blob.digest.encode(), blob.data) for blob in entry.blobs if blob.digest not in self._known]
        if entry.payload:
            sides.append(Side(PAYLOAD, b"", entry.payload))
        return Sent(entry.rest, tuple(sides))

    def _remember(self, entry: Entry) -> None:
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.update(blob.digest for blob in entry.blobs)


def _parts(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    """Batches within the limits of a frame, one of the entries at least."""
    part: list[Entry] = []
    size = 0
    for entry in entries:
        if part and (len(part) >= BATCH_RECORDS_MAX or size >= BATCH_BYTES_MAX):
            yield part
            part, size = [], 0
        part.append(entry)
        size += len(entry.rest) + len(entry.payload) + sum(len(blob.data) for blob in entry.blobs)
    if part:
        yield part
