"""What arrives at the writer from a worker, and whether a worker may say it.

A worker is believed nothing: each record must be the one JSON form of something that is a worker's to say, it is stamped with who sent it, and it
may state the outcome only of calls that the same worker recorded. A worker that was taken over can so write records that are false, but none in
another's name, and none that breaks the log.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.call import Blob, Receipt
from gateway.canonical import Json, JsonError, dumps_in_order, loads_trusted
from gateway.errors import Refusal
from gateway.record.entry import Entry
from gateway.record.frames import BLOB, PAYLOAD, Frames, Sent
from gateway.record.line import HEAD_MEMBERS, KIND, REST_BYTES_MAX
from gateway.record.log import OUTCOMES
from gateway.record.payload import row_of
from gateway.record.recovery import closes_calls, opens_call

OWN_KINDS = frozenset({"log.open", "log.close", "seg.open", "recover", "worker.open", "worker.close"})
"""What only the writer itself may say."""
STAMP = b',"w":%d}'
STAMPED_REST_BYTES_MAX = REST_BYTES_MAX - len(STAMP) - 20


@dataclass(slots=True, eq=False)
class Worker:
    """One connection. `n` is the record that opened it; every record it writes names it. `gone`: nobody reads its answers any more."""

    socket: socket.socket
    pid: int
    uid: int
    gid: int
    n: int = -1
    gone: bool = False
    greeted: bool = False
    frames: Frames = field(default_factory=Frames)
    unread: bytearray = field(default_factory=bytearray)
    batches: deque[Batch] = field(default_factory=deque)
    open_calls: set[int] = field(default_factory=set)


@dataclass(slots=True, eq=False)
class Batch:
    answers: list[Receipt | Refusal | None]
    missing: int


@dataclass(slots=True, eq=False, kw_only=True)
class Arrived(Entry):
    """A worker's record on its way."""

    worker: Worker
    batch: Batch
    place: int


@dataclass(slots=True, eq=False, kw_only=True)
class Opening(Entry):
    """The record of the writer's own that a worker has come."""

    worker: Worker


def entry_of(sent: Sent, worker: Worker, batch: Batch, place: int) -> tuple[Entry, str]:
    """A worker's record as an entry, stamped with who sent it; and why it is refused, when it is."""
    entry = Arrived(sent.rest, worker=worker, batch=batch, place=place)
    text = b"{" + sent.rest[1:]
    try:
        members = loads_trusted(text)
        same = sent.rest[:1] == b"," and dumps_in_order(members) == text
        kind = next(iter(members.items()), ("", ""))
    except (JsonError, AttributeError):
        return entry, "not a record"
    if not same or kind[0] != "k" or type(kind[1]) is not str or len(kind[1]) > 32 or not KIND.fullmatch(kind[1]):
        return entry, "not in the one form that a record has"
    if kind[1] in OWN_KINDS or "w" in members or len(HEAD_MEMBERS & members.keys()) != 1:
        return entry, "not for a worker to say"
    if len(sent.rest) > STAMPED_REST_BYTES_MAX:
        return entry, "longer than a line may be"
    entry.rest = sent.rest[:-1] + STAMP % worker.n
    entry.outcome = kind[1] in OUTCOMES
    entry.opens = opens_call(kind[1], members)
    entry.closes = () if entry.opens else closes_calls(kind[1], members)
    if not worker.open_calls.issuperset(entry.closes):
        return entry, "not the outcome of a call of this worker"
    entry.blobs = tuple(Blob(side.name.decode("ascii", "replace"), side.data) for side in sent.sides if side.kind == BLOB)
    entry.payload = b"".join([side.data for side in sent.sides if side.kind == PAYLOAD])
    return entry, "" if _is_own_payload(entry.payload, members) else "its payload is not that of its call"


def _is_own_payload(payload: bytes, members: Mapping[str, Json]) -> bool:
    """Whether a payload is nothing, or one whole line for this very call: no worker may put a line in the place of another's."""
    if not payload:
        return True
    row = row_of(payload[:-1])
    return payload.endswith(b"\n") and payload.count(b"\n") == 1 and row is not None and row[0] == members.get("id") and members["k"] == "call"
