"""The forms in which records leave, each a function from records to pieces of a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from gateway.record.export.cloudevents import cloud_events
from gateway.record.export.ocsf import ocsf_events
from gateway.record.export.otlp import otlp_logs
from gateway.record.export.table import csv_rows
from gateway.record.line import Record


@dataclass(frozen=True, slots=True)
class Form:
    """`write` takes records and the log's origin. `kinds` are the kinds of records that the form can hold; None is all."""

    write: Callable[[Iterable[Record], str], Iterator[bytes]]
    kinds: frozenset[str] | None = None


def _lines(records: Iterable[Record], _: str) -> Iterator[bytes]:
    """The stored bytes, whose hashes are the leaves."""
    for record in records:
        yield record.line + b"\n"


FORMS = {
    "jsonl": Form(_lines),
    "csv": Form(csv_rows),
    "cloudevents": Form(cloud_events),
    "ocsf": Form(ocsf_events, frozenset({"call", "result"})),
    "otlp": Form(otlp_logs),
}
