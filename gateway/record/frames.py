"""What workers and the process that writes their log say to each other: u32 length, u8 kind, payload; big-endian, every length has a limit.

worker: HELLO, then BATCH after BATCH. writer: WELCOME or FAREWELL, then one ACK for each BATCH in order, and STATUS when there is news.
Neither side believes a length: what does not add up exactly is a BadFrame, and the connection ends.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, get_args

from gateway.call import Receipt
from gateway.errors import REFUSALS, Refusal
from gateway.record.entry import State
from gateway.record.line import LINE_BYTES_MAX
from gateway.record.objects import OBJECT_BYTES_MAX

MAGIC = b"portreeve-log-writer/1\n"
HELLO, WELCOME, FAREWELL, BATCH, ACK, STATUS = range(1, 7)
BLOB, PAYLOAD = 1, 2
"""Kinds of a side object: an object of the log under its digest; the sealed arguments of the record, without a name."""
FRAME_BYTES_MAX = OBJECT_BYTES_MAX + 1024 * 1024
ENTRIES_MAX = 4_096
SIDES_MAX = 64
NAME_BYTES_MAX = 256
REASON_BYTES_MAX = 1_024

_HEAD = struct.Struct(">IB")
_COUNT = struct.Struct(">H")
_ENTRY = struct.Struct(">BIB")
_SIDE = struct.Struct(">BHI")
_STATUS = struct.Struct(">BQQI32s")
_RUN = struct.Struct(">BHQ")
_REFUSED = struct.Struct(">BHiH")
_STATES: tuple[State, ...] = get_args(State)


class BadFrame(ValueError):  # noqa: N818
    """The bytes are not what the other side may say. The text says why."""


class Side(NamedTuple):
    """Something that must be durable before the record it comes with. `kind` says what, `name` under which name."""

    kind: int
    name: bytes
    data: bytes


class Sent(NamedTuple):
    """One record of a batch: what stands behind `t` in its line, and what comes with it."""

    rest: bytes
    sides: tuple[Side, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """How the log stands, as its writer tells its workers. `root` is the root of `size` records."""

    state: State
    size: int
    signed: int
    open_calls: int
    root: bytes


Answer = Receipt | Refusal


class Frames:
    """Cuts a stream into frames. `feed` what arrives, then iterate; what is not whole yet waits."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Each whole frame as (kind, payload). Raises BadFrame for a length beyond the limit before any of it is kept waiting for."""
        self._data += data
        at = 0
        try:
            while len(self._data) - at >= _HEAD.size:
                length, kind = _HEAD.unpack_from(self._data, at)
                if length > FRAME_BYTES_MAX:
                    raise BadFrame(f"a frame of {length} bytes")
                end = at + _HEAD.size + length
                if len(self._data) < end:
                    return
                payload = bytes(memoryview(self._data)[at + _HEAD.size : end])
                at = end
                yield kind, payload
        finally:
            del self._data[:at]


def frame(kind: int, payload: bytes) -> bytes:
    return _HEAD.pack(len(payload), kind) + payload


def batch(entries: Sequence[Sent]) -> bytes:
    """A BATCH frame."""
    parts = [_COUNT.pack(len(entries))]
    for rest, sides in entries:
        parts.append(_ENTRY.pack(0, len(rest), len(sides)))
        parts.append(rest)
        for kind, name, data in sides:
            parts += (_SIDE.pack(kind, len(name), len(data)), name, data)
    return frame(BATCH, b"".join(parts))


def read_batch(payload: bytes) -> list[Sent]:
    """The entries of a BATCH. Raises BadFrame."""
    cut = _Cut(payload)
    (count,) = cut.take(_COUNT)
    if not 0 < count <= ENTRIES_MAX:
        raise BadFrame(f"a batch of {count}")
    found = []
    for _ in range(count):
        flags, length, sides = cut.take(_ENTRY)
        if flags or length > LINE_BYTES_MAX or sides > SIDES_MAX:
            raise BadFrame("an entry beyond its limits")
        found.append(Sent(cut.bytes(length), tuple(_read_side(cut) for _ in range(sides)) if sides else ()))
    cut.end()
    return found


def _read_side(cut: _Cut) -> Side:
    kind, name, data = cut.take(_SIDE)
    if kind not in {BLOB, PAYLOAD} or name > NAME_BYTES_MAX or data > OBJECT_BYTES_MAX:
        raise BadFrame("a side object beyond its limits")
    return Side(kind, cut.bytes(name), cut.bytes(data))


def status_bytes(status: Status) -> bytes:
    return _STATUS.pack(_STATES.index(status.state), status.size, status.signed, status.open_calls, status.root)


def read_status(payload: bytes) -> Status:
    """Raises BadFrame."""
    cut = _Cut(payload)
    found = _status(cut)
    cut.end()
    return found


def _status(cut: _Cut) -> Status:
    state, size, signed, open_calls, root = cut.take(_STATUS)
    if state >= len(_STATES):
        raise BadFrame("an unknown state")
    return Status(_STATES[state], size, signed, open_calls, root)


def ack(status: bytes, answers: Sequence[Answer]) -> bytes:
    """An ACK frame: for each run of records that stand one behind the other (first n, count) and their leaves; a refusal for itself."""
    parts = [status]
    at = 0
    while at < len(answers):
        answer = answers[at]
        if isinstance(answer, Refusal):
            reason = answer.reason.encode("utf-8", "backslashreplace")[:REASON_BYTES_MAX]
            code = answer.code.encode()
            parts += (_REFUSED.pack(1, len(code), -1 if answer.retry_after_s is None else answer.retry_after_s, len(reason)), code, reason)
            at += 1
            continue
        first = answer.n
        leaves: list[bytes] = []
        while at < len(answers) and isinstance(answer := answers[at], Receipt) and answer.n == first + len(leaves):
            leaves.append(bytes.fromhex(answer.leaf))
            at += 1
        parts.append(_RUN.pack(0, len(leaves), first))
        parts += leaves
    return frame(ACK, b"".join(parts))


def read_ack(payload: bytes, origin: str) -> tuple[Status, list[Answer]]:
    """Raises BadFrame."""
    cut = _Cut(payload)
    status = _status(cut)
    found: list[Answer] = []
    while not cut.done:
        if cut.peek():
            _, code, wait, reason = cut.take(_REFUSED)
            if code > NAME_BYTES_MAX or reason > REASON_BYTES_MAX:
                raise BadFrame("a refusal beyond its limits")
            name, text = cut.bytes(code).decode("ascii", "replace"), cut.bytes(reason).decode("utf-8", "replace")
            if name not in REFUSALS:
                raise BadFrame("an unknown refusal")
            found.append(Refusal(name, reason=text, retry_after_s=wait if wait >= 0 else None))
            continue
        _, count, first = cut.take(_RUN)
        if not 0 < count <= ENTRIES_MAX:
            raise BadFrame(f"a run of {count}")
        leaves = cut.bytes(32 * count)
        found += [Receipt(origin, first + i, leaves[32 * i : 32 * i + 32].hex()) for i in range(count)]
    return status, found


class _Cut:
    """Takes pieces off a payload, never beyond its end."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._data)

    def peek(self) -> int:
        return self._data[self._at]

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        end = self._at + form.size
        if end > len(self._data):
            raise BadFrame("cut short")
        found = form.unpack_from(self._data, self._at)
        self._at = end
        return found

    def bytes(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise BadFrame("cut short")
        found = self._data[self._at : end]
        self._at = end
        return found

    def end(self) -> None:
        if not self.done:
            raise BadFrame("bytes behind the end")
