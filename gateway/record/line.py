"""The form of one record: a line of JSON whose first members are `n`, `prev`, `t`, `k`, in that order.

`n` is the leaf index, `prev` the leaf hash of the line before, `t` microseconds since the epoch (never decreasing), `k` the kind.
The producer serialises the rest; the writer only puts the head in front, so a line is serialised once and hashed as stored.
"""

from __future__ import annotations

import hashlib
import re
from binascii import hexlify
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from gateway.canonical import Json, JsonError, dumps_in_order, loads_exact, loads_trusted
from gateway.record.tree import leaf_hash

FORMAT = "portreeve-log/v1"
NOT_NEXT = "it does not follow from the record before: one of the two was changed, or what stood between them is gone"
LINE_BYTES_MAX = 65_535
"""Without the newline: what a C2SP tlog-tiles entry bundle can hold."""
HEAD_BYTES_MAX = len('{"n":,"prev":"","t":') + 20 + 64 + 20
REST_BYTES_MAX = LINE_BYTES_MAX - HEAD_BYTES_MAX
HEAD_MEMBERS = frozenset({"n", "prev", "t", "k"})
KIND = re.compile(r"[a-z]+(\.[a-z]+)*", re.ASCII)


class LineTooLong(ValueError):  # noqa: N818
    """The body does not fit in one line."""


class BrokenLine(ValueError):  # noqa: N818
    """The bytes are not a line of this log at this place. The text says why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One line read back. `body` holds every member but the first four; `offset` is in bytes within the segment."""

    n: int
    prev: str
    t: int
    kind: str
    body: Mapping[str, Json]
    line: bytes
    segment: str = ""
    offset: int = 0

    @property
    def leaf(self) -> str:
        return leaf_hash(self.line).hex()


def genesis(origin: str) -> bytes:
    """`prev` of the first line. It depends on the origin, so records of one log cannot begin another."""
    return hashlib.sha256(f"{FORMAT}\n{origin}\n".encode()).digest()


def rest_of(kind: str, body: Mapping[str, Json]) -> bytes:
    """Everything after `t`. Raises JsonError for a body without JSON form, LineTooLong for one that does not fit, ValueError for our own mistakes."""
    if not HEAD_MEMBERS.isdisjoint(body):
        raise ValueError(f"not a body of a record: {kind!r}")
    members = dumps_in_order(body if type(body) is dict else dict(body))
    before = _kind(kind)
    rest = before + b"," + members[1:] if len(members) > 2 else before + b"}"
    if len(rest) > REST_BYTES_MAX:
        raise LineTooLong("the record is longer than a line may be")
    return rest


@lru_cache(maxsize=64)
def _kind(kind: str) -> bytes:
    if not is_kind(kind):
        raise ValueError(f"not a kind of a record: {kind!r}")
    return b',"k":"%b"' % kind.encode()


def is_kind(text: str) -> bool:
    return len(text) <= 32 and KIND.fullmatch(text) is not None


def line_of(n: int, prev: bytes, t: int, rest: bytes) -> bytes:
    """The whole line without its newline; `prev` is the hash itself."""
    return b'{"n":%d,"prev":"%b","t":%d%b' % (n, prev.hex().encode(), t, rest)


def parse(line: bytes, n: int, prev: bytes, t_min: int = 0) -> dict[str, Json]:
    """The line's members when it is, byte for byte, the line that belongs at `n` after the line whose hash is `prev`. Raises BrokenLine."""
    if len(line) > LINE_BYTES_MAX:
        raise BrokenLine("longer than a line may be")
    try:
        members: dict[str, Json] = loads_exact(line)
        t, kind = members["t"], members["k"]
        head = b'{"n":%d,"prev":"%b","t":%d,"k":"%b"' % (n, hexlify(prev), t, kind.encode())
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise BrokenLine("not a record in the one form that it has") from error
    if not line.startswith(head):
        raise BrokenLine(NOT_NEXT)
    if t < t_min:
        raise BrokenLine("its time is earlier than the record before")
    return members


def record_of(line: bytes, segment: str = "", offset: int = 0) -> Record:
    """Read a line without judging its place. Raises BrokenLine when it is no record at all."""
    if len(line) > LINE_BYTES_MAX:
        raise BrokenLine("longer than a line may be")
    try:
        members = loads_trusted(line)
        n, prev, t, kind = members["n"], members["prev"], members["t"], members["k"]
        body = {k: v for k, v in members.items() if k not in HEAD_MEMBERS}
    except (JsonError, KeyError, AttributeError, TypeError) as error:
        raise BrokenLine("not a record") from error
    if type(n) is not int or type(t) is not int or type(prev) is not str or type(kind) is not str:
        raise BrokenLine("not a record")
    return Record(n, prev, t, kind, body, line, segment, offset)
