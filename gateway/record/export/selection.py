"""Which records an export is about: the calls that a query means, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from gateway.record.calls import Call, Query, row_of
from gateway.record.line import BrokenLine, Record
from gateway.record.reader import LogReader
from gateway.record.recovery import closes_calls

PROGRESS_RECORDS = 1_024


def selected(reader: LogReader, query: Query, progress: Callable[[int], None] = lambda _: None) -> Iterator[Record]:
    """Records in order. A query that names no call takes every record of its time, whatever its kind; one that does takes calls, and the records
    that state their outcomes, also after its time. `limit` and `status` of the query are not looked at. Raises BrokenLine.
    """
    everything = replace(query, since_t=None, until_t=None, limit=0) == Query(limit=0)
    waiting: set[int] = set()
    for n, record in enumerate(reader.records(), _first(reader)):
        if record.n != n:
            raise BrokenLine(f"record {n} does not stand where it belongs")
        if n % PROGRESS_RECORDS == 0:
            progress(n)
        if everything:
            if _within(query, record.t):
                yield record
        elif record.kind == "call":
            call = Call(*row_of({"n": n, "t": record.t, **record.body}, 0, record.offset))
            if query.takes(call):
                waiting.add(n)
                yield record
        elif not waiting.isdisjoint(closed := closes_calls(record.kind, record.body)):
            waiting.difference_update(closed)
            yield record


def _first(reader: LogReader) -> int:
    return min((first for first, _ in reader.folder.segment_list()), default=0)


def _within(query: Query, t: int) -> bool:
    return (query.since_t is None or t >= query.since_t) and (query.until_t is None or t < query.until_t)
