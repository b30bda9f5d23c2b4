"""`portreeve log`: what the decision log says, and whether it can be believed."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.authorize import ReplayError, recompute
from gateway.canonical import Json, dumps
from gateway.cli.log_place import (
    INCOMPLETE,
    KEY,
    TAMPERED,
    AsJson,
    Folder,
    KeyFile,
    LogFolder,
    LogFolderWithKey,
    Number,
    Where,
    place_of,
    reading,
    stop,
)
from gateway.cli.log_prove import check_proof_file, check_receipt, consistency, prove
from gateway.cli.log_view import decision_story, print_report, summary_line
from gateway.cli.log_writer import writer
from gateway.cli.output import plural, print_json, printable, styled
from gateway.cli.progress import progress as show_progress
from gateway.errors import Problem
from gateway.record import BadNote, LogReader, ObjectBroken, ObjectMissing, Record, verify_folder

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="Verify, read, explain and replay the decision log.")

for _command in (writer, prove, check_receipt, consistency):
    app.command()(_command)
app.command("check-proof")(check_proof_file)

DIFFERENCES_SHOWN = 10


def _expected_size(where: Where) -> int | None:
    with contextlib.suppress(Problem, BadNote, OSError):
        newest = LogReader(where.folder).checkpoint(where.keys)
        return newest.size if newest else None
    return None


@app.command()
def verify(
    *,
    folder: Folder = Path(),
    log: LogFolderWithKey = None,
    key: KeyFile = None,
    level: Annotated[
        Literal["chain", "root", "full"], typer.Option(help="chain: links. root: and every signature. full: and every byte's form.")
    ] = "full",
    pin: Annotated[Path | None, typer.Option(metavar="FILE", help="Remembers the newest checkpoint; the log must extend it next time.")] = None,
    as_json: AsJson = False,
) -> None:
    """Is every record as it was written, and is none missing?

    Exit codes: 0 yes, 1 tampered, 2 wrong usage, 3 something is missing, 4 a key or signature is missing or wrong.
    """
    where = place_of(folder, log, key, needs_key=True)
    with show_progress("verifying", _expected_size(where)) as progress:
        report = verify_folder(where.folder, keys=where.keys, level=level, origin=where.origin, pin=pin, progress=progress)
    if as_json:
        print_json(asdict(report) | {"ok": report.ok})
    else:
        print_report(report, where.folder, pin)
    raise typer.Exit(report.exit_code)


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
        story = decision_story(record, reader.outcome(record), reader.object)
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


@app.command()
def replay(folder: Folder = Path(), log: LogFolder = None, as_json: AsJson = False) -> None:
    """Decide every recorded call again, from the log alone, and compare byte for byte.

    Exit codes: 0 all the same, 1 a decision differs, 3 what a decision rests on is missing.
    """
    where = place_of(folder, log, None, needs_key=False)
    reader = where.reader()
    stored = lru_cache(maxsize=1_024)(reader.object)
    same, differing, missing, differences = 0, 0, 0, list[dict[str, Json]]()
    with reading(), show_progress("replaying", None) as progress:
        for record in reader.records():
            if record.n % 256 == 0:
                progress(record.n)
            authz = reader.decision(record)
            if authz is None:
                continue
            found = _decide_again(authz, stored)
            if found is None:
                same += 1
                continue
            missing += "missing" in found
            differing += "missing" not in found
            if len(differences) < DIFFERENCES_SHOWN:
                differences.append({"n": record.n, **found})
    if as_json:
        print_json({"decisions": same + differing + missing, "same": same, "differ": differing, "missing": missing, "differences": differences})
    else:
        _print_replay(same, differing, missing, differences)
    raise typer.Exit(TAMPERED if differing else INCOMPLETE if missing else 0)


def _decide_again(authz: Mapping[str, Json], stored: Callable[[str], bytes]) -> dict[str, Json] | None:
    """None when the decision comes out the same, else what is different."""
    recorded = {name: authz.get(name) for name in ("decision", "reasons", "errors", "obl")}
    try:
        again = recompute(authz, stored)
    except (ObjectMissing, ObjectBroken) as error:
        return {"missing": str(error)}
    except ReplayError as error:
        return {"recorded": recorded, "error": str(error)}
    return None if dumps(again) == dumps(recorded) else {"recorded": recorded, "again": dict(again)}


def _print_replay(same: int, differing: int, missing: int, differences: list[dict[str, Json]]) -> None:
    total = same + differing + missing
    verdict = styled("ok", "green", sys.stdout) if same == total else styled("DIFFERENT", "red", sys.stdout)
    print(f"{verdict}  {plural(total, 'decision')} recomputed: {same} identical, {differing} different, {missing} without their inputs")
    for found in differences:
        print(f"  record {found['n']}")
        for name in ("recorded", "again", "error", "missing"):
            if name in found:
                text = found[name] if isinstance(found[name], str) else json.dumps(found[name], ensure_ascii=False)
                print(f"    {name:<9} {printable(text)}")
