"""Which records an export is about: the calls that a query means, and what came of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from gateway.record.calls import Call, Query, row_of
from gateway.record.line import BrokenLine, Record
from gateway.record.reader import LogReader
from gateway.record.recovery import closes_calls

PROGRESS_RECORDS = 1_024


class Selection:
    """Takes records in order, those that a query means. A query that names no call takes every record of its time, whatever its kind; one that does
    takes calls, and the records that state their outcomes, also after its time. `limit` and `status` of the query are not looked at.
    """

    def __init__(self, query: Query) -> None:
        self._query = query
        self._everything = replace(query, since_t=None, until_t=None, limit=0) == Query(limit=0)
        self._waiting: set[int] = set()

    def takes(self, record: Record) -> bool:
        query = self._query
        if self._everything:
            return (query.since_t is None or record.t >= query.since_t) and (query.until_t is None or record.t < query.until_t)
        if record.kind == "call":
            taken = query.takes(Call(*row_of({"n": record.n, "t": record.t, **record.body}, 0, record.offset)))
            if taken:
                self._waiting.add(record.n)
            return taken
        closed = closes_calls(record.kind, record.body)
        taken = not self._waiting.isdisjoint(closed)
        self._waiting.difference_update(closed)
        return taken


def selected(reader: LogReader, query: Query, progress: Callable[[int], None] = lambda _: None, start: int = 0) -> Iterator[Record]:
    """Records from `start` on, in order. Raises BrokenLine."""
    selection = Selection(query)
    oldest = min((first for first, _ in reader.folder.segment_list()), default=0)
    for n, record in enumerate(reader.records(start), max(start, oldest)):
        if record.n != n:
            raise BrokenLine(f"record {n} does not stand where it belongs")
        if n % PROGRESS_RECORDS == 0:
            progress(n)
        if selection.takes(record):
            yield record
