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
from gateway.record.line import HEAD_MEMBERS, REST_BYTES_MAX, is_kind
from gateway.record.log import OUTCOMES
from gateway.record.payload import row_of
from gateway.record.recovery import closes_calls, opens_call

OWN_KINDS = frozenset({"log.open", "log.close", "seg.open", "recover", "worker.open", "worker.close", "gap", "key.rotate"})
"""What only the writer itself may say."""
NOT_A_WORKERS = HEAD_MEMBERS - {"k"} | {"w"}
STAMP = b',"w":%d}'
STAMPED_REST_BYTES_MAX = REST_BYTES_MAX - len(STAMP) - 20


@dataclass(slots=True, eq=False)
class Worker:
    """One connection. `n` is the record that opened it; every record it writes names it. `gone`: nobody reads its answers any more;
    `stuck`: it has not read them all yet.
    """

    socket: socket.socket
    pid: int
    uid: int
    gid: int
    n: int = -1
    gone: bool = False
    greeted: bool = False
    stuck: bool = False
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
    rest = sent.rest
    entry = Arrived(rest, worker=worker, batch=batch, place=place)
    text = b"{" + rest[1:]
    try:
        members = loads_trusted(text)
        if not rest.startswith(b',"k":"') or dumps_in_order(members) != text or not is_kind(members["k"]):
            return entry, "not in the one form that a record has"
    except JsonError:
        return entry, "not a record"
    kind: str = members["k"]
    if kind in OWN_KINDS or not NOT_A_WORKERS.isdisjoint(members):
        return entry, "not for a worker to say"
    if len(rest) > STAMPED_REST_BYTES_MAX:
        return entry, "longer than a line may be"
    entry.rest = rest[:-1] + STAMP % worker.n
    entry.outcome = kind in OUTCOMES
    if kind == "call":
        entry.opens = opens_call(kind, members)
    else:
        entry.closes = closes_calls(kind, members)
        if not worker.open_calls.issuperset(entry.closes):
            return entry, "not the outcome of a call of this worker"
    if not sent.sides:
        return entry, ""
    entry.blobs = tuple(Blob(side.name.decode("ascii", "replace"), side.data) for side in sent.sides if side.kind == BLOB)
    entry.payload = b"".join([side.data for side in sent.sides if side.kind == PAYLOAD])
    return entry, "" if _is_own_payload(entry.payload, members) else "its payload is not that of its call"


def _is_own_payload(payload: bytes, members: Mapping[str, Json]) -> bool:
    """Whether a payload is nothing, or one whole line for this very call: no worker may put a line in the place of another's."""
    if not payload:
        return True
    row = row_of(payload[:-1])
    return payload.endswith(b"\n") and payload.count(b"\n") == 1 and row is not None and row[0] == members.get("id") and members["k"] == "call"
