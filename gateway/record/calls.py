"""What is asked of recorded calls: by whom, to what, how decided, and what came of it. One form for the index and for reading the log itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from gateway.canonical import Json, JsonError, loads_trusted
from gateway.record.line import LINE_BYTES_MAX, BrokenLine
from gateway.record.reader import LogReader, batches_of
from gateway.record.recovery import closes_calls, opens_call

OPEN = "open"
INTEGER_MAX = UNLIMITED = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Call:
    """One `call` record, by what it can be found by. `t` in microseconds; `segment` and `offset` (bytes) say where it stands.

    `decision` is allow, deny, hold or error, and `refused` where policy was not asked. `status` is what came of an allowed call, `open` while nothing
    has, and empty where nothing was sent; `closed_by` is the record that says so.
    """

    n: int
    t: int
    segment: int
    offset: int
    agent: str
    user: str
    run: str
    tool: str
    operation: str
    effect: str
    decision: str
    reasons: tuple[str, ...]
    code: str
    status: str
    closed_by: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """Which calls: those that have every value given. Newest first, at most `limit`; times in microseconds, `until_t` and `before` not included."""

    agent: str | None = None
    user: str | None = None
    run: str | None = None
    tool: str | None = None
    operation: str | None = None
    decision: str | None = None
    reason: str | None = None
    code: str | None = None
    status: str | None = None
    since_t: int | None = None
    until_t: int | None = None
    before: int | None = None
    limit: int = 50

    def takes(self, call: Call) -> bool:
        """Whether a call is meant, whatever came of it: that can still change."""
        wanted = (
            (self.agent, call.agent),
            (self.user, call.user),
            (self.run, call.run),
            (self.tool, call.tool),
            (self.operation, call.operation),
            (self.decision, call.decision),
            (self.code, call.code),
        )
        if any(value is not None and value != found for value, found in wanted):
            return False
        if self.reason is not None and self.reason not in call.reasons:
            return False
        early = self.since_t is not None and call.t < self.since_t
        late = (self.until_t is not None and call.t >= self.until_t) or (self.before is not None and call.n >= self.before)
        return not early and not late


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: its number, the first number of its segment, and bytes into it."""

    n: int = 0
    segment: int = 0
    offset: int = 0


def batches_from(reader: LogReader, start: Place) -> Iterator[tuple[Place, list[bytes]]]:
    """Every whole line from a place on, many at a time, with the place of the first. Lines are counted; nobody has judged them."""
    for first, path in reader.folder.segment_list():
        if first < start.segment:
            continue
        here = first == start.segment
        n = start.n if here else first
        for offset, lines, whole in batches_of(path, start.offset if here else 0):
            if whole:
                yield Place(n, first, offset), lines
                n += len(lines)


def members_of(line: bytes, n: int) -> dict[str, Json]:
    """The members of the line at `n`, as far as whoever looks for calls relies on them. Raises BrokenLine."""
    try:
        members: dict[str, Json] = loads_trusted(line)
        sound = (
            len(line) <= LINE_BYTES_MAX
            and members["n"] == n
            and type(members["t"]) is int
            and 0 <= members["t"] <= INTEGER_MAX
            and type(members["k"]) is str
        )
    except (JsonError, KeyError, TypeError) as error:
        raise BrokenLine(f"record {n} is not a record") from error
    if not sound:
        raise BrokenLine(f"record {n} does not stand where it belongs")
    return members


Row = tuple[Json, ...]
"""A Call's values in order: a `Call` of each of a million records would take longer than all the rest."""


def row_of(members: Mapping[str, Json], segment: int, offset: int) -> Row:
    """A `call` record as it can be found. Members of another type than ours count as empty.

    This reads the verdict alone, which is never sealed; the inputs of a decision are read through `LogReader.decision`.
    """
    who, what, authz = _mapping(members.get("who")), _mapping(members.get("what")), _mapping(members.get("authz"))
    reasons = authz.get("reasons")
    return (
        members["n"],
        members["t"],
        segment,
        offset,
        _text(who.get("agent")),
        _text(who.get("user")),
        _text(who.get("run")),
        _text(what.get("tool")),
        _text(what.get("op")),
        _text(what.get("effect")),
        _text(authz.get("decision")) or "refused",
        tuple(map(_text, reasons)) if type(reasons) is list else (),
        _text(members.get("code")),
        OPEN if opens_call("call", members) else "",
        None,
    )


def outcome_of(members: Mapping[str, Json]) -> tuple[list[int], str]:
    """The calls whose outcome a record states, and the outcome."""
    closed = [n for n in closes_calls(members["k"], members) if 0 <= n <= INTEGER_MAX]
    return closed, _text(members.get("status")) or "unknown"


def scan_calls(reader: LogReader, query: Query, progress: Callable[[int], None] = lambda _: None) -> list[Call]:
    """The calls that a query means, found by reading the whole log. Raises BrokenLine."""
    found: dict[int, Call] = {}
    for place, lines in batches_from(reader, Place()):
        offset = place.offset
        for n, line in enumerate(lines, place.n):
            members = members_of(line, n)
            if members["k"] == "call":
                call = Call(*row_of(members, place.segment, offset))
                if query.takes(call):
                    found[n] = call
            else:
                _close(found, members)
            offset += len(line) + 1
        progress(place.n + len(lines))
    return [call for call in reversed(found.values()) if query.status in {None, call.status}][: query.limit]  # outcomes stand behind their calls


def _close(found: dict[int, Call], members: Mapping[str, Json]) -> None:
    closed, status = outcome_of(members)
    for n in closed:
        opened = found.get(n)
        if opened is not None and opened.status == OPEN:
            found[n] = replace(opened, status=status, closed_by=members["n"])


def _text(value: Json) -> str:
    return value if type(value) is str else ""


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if type(value) is dict else {}
