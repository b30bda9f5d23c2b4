"""`portreeve log show | explain | checkpoint`: one record, one decision, the newest signature."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from gateway.cli.log_place import KEY, TAMPERED, AsJson, Folder, KeyFile, LogFolder, LogFolderWithKey, Number, place_of, reading, stop
from gateway.cli.log_standing import standing_of
from gateway.cli.log_view import decision_story
from gateway.cli.output import print_json, printable, styled
from gateway.errors import Problem


def show(number: Number, *, folder: Folder = Path(), log: LogFolder = None, key: KeyFile = None, as_json: AsJson = False) -> None:
    """Print one record, and whether it is as it was signed. With --json exactly as it is stored: the bytes whose hash is its leaf.

    Exit codes: 0 shown, 1 it is not what was signed.

    Example: portreeve log show 1042
    """
    where = place_of(folder, log, key, needs_key=False)
    with reading():
        reader = where.reader()
        record = reader.find(number)
        standing = standing_of(where, reader, record)
    if as_json:
        sys.stdout.buffer.write(record.line + b"\n")
        print(printable(str(standing)), file=sys.stderr)
    else:
        print_json({"n": record.n, "prev": record.prev, "t": record.t, "k": record.kind, **record.body})
        print(styled(f"leaf {record.leaf}  {record.segment} byte {record.offset}", "dim", sys.stdout))
        print(standing.styled())
    raise typer.Exit(TAMPERED if standing.tampered else 0)


def explain(number: Number, *, folder: Folder = Path(), log: LogFolder = None, key: KeyFile = None, as_json: AsJson = False) -> None:
    """Tell the story of one decision: who, what, with which arguments, which policies decided, what came of it, and whether it is as it was signed.

    Exit codes: 0 told, 1 it is not what was signed.

    Example: portreeve log explain 1042
    """
    where = place_of(folder, log, key, needs_key=False)
    with reading():
        reader = where.reader()
        record = reader.find(number)
        if record.kind == "result" and isinstance(record.body.get("call"), int):
            record = reader.find(record.body["call"])
        if record.kind != "call":
            raise Problem("log_no_call", f"record {number} is no call but a {record.kind}", remedy=f"portreeve log show {number}")
        story = decision_story(record, reader.decision(record), reader.outcome(record), reader.object)
        standing = standing_of(where, reader, record)
    if as_json:
        print_json(story.as_json() | {"standing": standing.as_json()})
    else:
        story.print()
        print(f"  {styled('standing  ', 'dim', sys.stdout)} {standing.styled()}")
    raise typer.Exit(TAMPERED if standing.tampered else 0)


def checkpoint(folder: Folder = Path(), log: LogFolderWithKey = None, key: KeyFile = None, as_json: AsJson = False) -> None:
    """Print the newest checkpoint, a signed note, after verifying it. Keep it elsewhere: no later log may contradict it.

    Example: portreeve log checkpoint > seen.note
    """
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
