"""Reads single records of the demo's log while the gateway writes it, to show why a call was allowed and how often it was tried."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from gateway.canonical import Json
from gateway.record.folder import LogFolder
from gateway.record.line import Record, record_of

WAIT_S_MAX = 3.0


def call_record(log: Path, n: int) -> Mapping[str, Json]:
    """The `call` record with this number. Raises LookupError when it never appears."""
    return _first(log, lambda record: record.n == n and record.kind == "call")


def result_record(log: Path, call: int) -> Mapping[str, Json]:
    """The `result` record of the call with this number. The answer does not wait for it, so it may come a moment later."""
    return _first(log, lambda record: record.kind == "result" and record.body["call"] == call)


def summed_up(log: Path) -> set[str]:
    """The reasons in every summary of refusals: `code: reason`."""
    return {reason for record in _records(log) if record.kind == "refusals" for reason in record.body["by"]}


def _first(log: Path, wanted: Callable[[Record], bool]) -> Mapping[str, Json]:
    until = time.monotonic() + WAIT_S_MAX
    while time.monotonic() < until:
        for record in _records(log):
            if wanted(record):
                return record.body
        time.sleep(0.01)
    raise LookupError(f"no such record in {log}")


def _records(log: Path) -> Iterator[Record]:
    for _, segment in LogFolder(log).segment_list():
        *lines, _half_written = segment.read_bytes().split(b"\n")
        yield from map(record_of, lines)
