"""`portreeve log tail`: the newest records, and those to come."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.log_place import AsJson, Folder, KeyFile, LogFolder, place_of, reading
from gateway.cli.log_query import Agent, Decision, Tool
from gateway.cli.log_view import summary_line
from gateway.record import LogReader, Query, Record, find_calls
from gateway.record.export import Selection


def tail(
    *,
    folder: Folder = Path(),
    log: LogFolder = None,
    key: KeyFile = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written, each record once it is signed. Ends with Ctrl-C.")
    ] = False,
    count: Annotated[int, typer.Option("-n", min=0, help="How many of the newest records to begin with.")] = 20,
    agent: Agent = None,
    tool: Tool = None,
    decision: Decision = None,
    as_json: AsJson = False,
) -> None:
    """Print the newest records, a line each. With --agent, --tool or --decision: such calls, and what came of them.

    Example: portreeve log tail -f --agent support-bot
    """
    where = place_of(folder, log, key, needs_key=follow)
    query = Query(agent=agent, tool=tool, decision=decision, limit=count)
    selection = Selection(replace(query, limit=0))
    with contextlib.suppress(KeyboardInterrupt), reading():
        reader = where.reader()
        shown = deque[Record](maxlen=count)
        after: int | None = None
        for record in _newest(reader, query) if count else ():
            after = record.n + 1
            if selection.takes(record):
                shown.append(record)
        for record in shown:
            _print_line(record, as_json=as_json)
        if after is None:
            signed = reader.checkpoint(where.keys) if follow else None
            after = signed.size if signed else 0
        for record in filter(selection.takes, reader.follow(after, where.keys) if follow else ()):
            _print_line(record, as_json=as_json)


def _newest(reader: LogReader, query: Query) -> Iterable[Record]:
    """The end of the log that holds the newest so many records of interest. Calls are found by the index, and the log is read from the oldest on."""
    if replace(query, limit=0) == Query(limit=0):
        return reader.newest(query.limit)
    calls = find_calls(reader, query)
    return reader.records(calls[-1].n) if calls else reader.newest(1)


def _print_line(record: Record, *, as_json: bool) -> None:
    print(record.line.decode() if as_json else summary_line(record), flush=True)
