"""`portreeve log export`: the log in the forms of other tools."""

from __future__ import annotations

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, BinaryIO, Literal

import typer

from gateway.cli.log_place import Folder, KeyFile, LogFolder, Where, place_of, reading
from gateway.cli.log_query import Agent, Decision, Since, Tool, Until
from gateway.cli.output import plural
from gateway.cli.progress import progress as show_progress
from gateway.cli.when import moment_us
from gateway.errors import Problem
from gateway.record import LogReader, Query, Record
from gateway.record.export import FORMS, selected, write_tiles

Format = Literal["ocsf", "otlp", "cloudevents", "csv", "jsonl", "tiles"]


def export(
    *,
    folder: Folder = Path(),
    log: LogFolder = None,
    key: KeyFile = None,
    form: Annotated[
        Format,
        typer.Option("--format", help="ocsf, otlp, cloudevents and jsonl: JSON, an object a line. tiles: a folder for tools of transparency logs."),
    ],
    to: Annotated[str, typer.Option(metavar="FILE", help="Where to: a file that is not there yet, - for standard output, a folder for tiles.")] = "-",
    since: Since = "",
    until: Until = "",
    agent: Agent = None,
    user: Annotated[str | None, typer.Option(metavar="USER", help="For this user.")] = None,
    tool: Tool = None,
    decision: Decision = None,
) -> None:
    """Export records: OCSF 1.6.0 API Activity, OTLP logs, CloudEvents 1.0, CSV, the stored lines, or C2SP tlog-tiles.

    With --agent, --user, --tool or --decision: such calls, and what came of them. Only jsonl and tiles hold the bytes that were signed. Sealed
    arguments stay sealed. Like the other readers it believes the log; tiles are compared with the signed root, and need the verifier key.

    Example: portreeve log export --format csv --since 7d --to calls.csv
    """
    where = place_of(folder, log, key, needs_key=form == "tiles")
    reader = where.reader()
    query = Query(
        agent,
        user,
        None,
        tool,
        decision=decision,
        since_t=moment_us(since) if since else None,
        until_t=moment_us(until, "--until") if until else None,
    )
    if form == "tiles":
        if query != Query():
            raise typer.BadParameter("--format tiles holds the log as a whole: no selection goes with it")
        _tiles(where, reader, to)
        return
    taken = Counter[bool]()
    with reading(), _written(to) as out, show_progress("exporting", _size(reader)) as progress:
        chosen = _fitting(selected(reader, query, progress), FORMS[form].kinds, taken)
        for piece in FORMS[form].write(chosen, reader.origin):
            out.write(piece)
    others = f"; {plural(taken[False], 'record')} of kinds that {form} has no form for left out" if taken[False] else ""
    print(f"{plural(taken[True], 'record')} exported{others}", file=sys.stderr)


def _fitting(records: Iterable[Record], kinds: frozenset[str] | None, taken: Counter[bool]) -> Iterator[Record]:
    """Those that the form can hold, counted; and the others counted too."""
    for record in records:
        fits = kinds is None or record.kind in kinds
        taken[fits] += 1
        if fits:
            yield record


def _tiles(where: Where, reader: LogReader, to: str) -> None:
    if to == "-":
        raise typer.BadParameter("--format tiles makes a folder: name it with --to")
    with reading(), show_progress("exporting", _size(reader)) as progress:
        signed = write_tiles(reader, where.keys, Path(to), progress)
    print(f"{plural(signed.size, 'record')} under the checkpoint exported to {to}", file=sys.stderr)


def _size(reader: LogReader) -> int:
    newest = reader.newest(1)
    return newest[0].n + 1 if newest else 0


@contextlib.contextmanager
def _written(to: str) -> Iterator[BinaryIO]:
    """Standard output, or a new file for its owner alone, which has its name only when it is whole."""
    if to == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    path, own = Path(to), Path(f"{to}.part")
    if path.exists():
        raise Problem("log_export", "this file is there already", file=to, remedy="name another, or remove it")
    with os.fdopen(os.open(own, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as stream:
        try:
            yield stream
        except BaseException:
            own.unlink()
            raise
    own.rename(path)
