"""`portreeve log`: what the decision log says, and whether it can be believed."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.log_erase import erase
from gateway.cli.log_export import export
from gateway.cli.log_place import (
    KEY,
    AsJson,
    Folder,
    KeyFile,
    LogFolder,
    LogFolderWithKey,
    Number,
    place_of,
    reading,
    stop,
)
from gateway.cli.log_prove import check_proof_file, check_receipt, consistency, prove
from gateway.cli.log_query import index, open_calls, query
from gateway.cli.log_replay import replay
from gateway.cli.log_verify import verifier, verify
from gateway.cli.log_view import decision_story, summary_line
from gateway.cli.log_witness import app as witness
from gateway.cli.log_writer import writer
from gateway.cli.output import print_json, styled
from gateway.errors import Problem
from gateway.record import Record

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Verify, read, explain and replay the decision log.")

for _command in (verify, replay, writer, prove, check_receipt, consistency, erase):
    app.command()(_command)
app.command()(query)
app.command()(verifier)
app.command()(export)
app.command("open")(open_calls)
app.command("check-proof")(check_proof_file)
app.add_typer(index, name="index")
app.add_typer(witness, name="witness")


@app.command()
def show(number: Number, folder: Folder = Path(), log: LogFolder = None, as_json: AsJson = False) -> None:
    """Print one record. With --json exactly as it is stored: the bytes whose hash is its leaf."""
    with reading():
        record = place_of(folder, log, None, needs_key=False).reader().find(number)
    if as_json:
        sys.stdout.buffer.write(record.line + b"\n")
        return
    print_json({"n": record.n, "prev": record.prev, "t": record.t, "k": record.kind, **record.body})
    print(styled(f"leaf {record.leaf}  {record.segment} byte {record.offset}", "dim", sys.stdout))


@app.command()
def tail(
    *,
    folder: Folder = Path(),
    log: LogFolder = None,
    key: KeyFile = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what is written, each record once it is signed. Ends with Ctrl-C.")
    ] = False,
    count: Annotated[int, typer.Option("-n", min=0, help="How many of the newest records to begin with.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Print the newest records, a line each."""
    where = place_of(folder, log, key, needs_key=follow)
    reader = where.reader()
    with contextlib.suppress(KeyboardInterrupt), reading():
        newest = reader.newest(count) if count else []
        signed = reader.checkpoint(where.keys) if follow and not newest else None
        after = newest[-1].n + 1 if newest else signed.size if signed else 0
        for record in newest:
            _print_line(record, as_json=as_json)
        for record in reader.follow(after, where.keys) if follow else ():
            _print_line(record, as_json=as_json)


def _print_line(record: Record, *, as_json: bool) -> None:
    print(record.line.decode() if as_json else summary_line(record), flush=True)


@app.command()
def explain(number: Number, folder: Folder = Path(), log: LogFolder = None, as_json: AsJson = False) -> None:
    """Tell the story of one decision: who, what, with which arguments, which policies decided, and what came of it."""
    reader = place_of(folder, log, None, needs_key=False).reader()
    with reading():
        record = reader.find(number)
        if record.kind == "result" and isinstance(record.body.get("call"), int):
            record = reader.find(record.body["call"])
        if record.kind != "call":
            raise Problem("log_no_call", f"record {number} is no call but a {record.kind}", remedy=f"portreeve log show {number}")
        story = decision_story(record, reader.decision(record), reader.outcome(record), reader.object)
    if as_json:
        print_json(story.as_json())
    else:
        story.print()


@app.command()
def checkpoint(folder: Folder = Path(), log: LogFolderWithKey = None, key: KeyFile = None, as_json: AsJson = False) -> None:
    """Print the newest checkpoint, a signed note, after verifying it. Keep it elsewhere: no later log may contradict it."""
    where = place_of(folder, log, key, needs_key=True)
    with reading():
        newest = where.reader().checkpoint(where.keys)
    if newest is None:
        stop(KEY, "the log has no checkpoint")
    if as_json:
        keys = [str(k) for k in where.keys if k.name == newest.origin]
        print_json({"origin": newest.origin, "size": newest.size, "root": newest.root.hex(), "note": newest.note.decode(), "keys": keys})
    else:
        sys.stdout.buffer.write(newest.note)
