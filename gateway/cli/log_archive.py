"""`portreeve log archive` and `prune`: what happens to the old end of a log."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.log_place import AsJson, Folder
from gateway.cli.log_view import moment
from gateway.cli.output import plural, print_json, styled
from gateway.cli.progress import progress as show_progress
from gateway.cli.when import moment_us
from gateway.config.load import load
from gateway.record import LogReader, archiving, pruning

Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for the record: it stays in the log.")]


def archive(folder: Folder = Path(), *, as_json: AsJson = False) -> None:
    """Pack the segments of the log that are complete (zstd), each with its leaf hashes beside it. Works beside a running gateway.

    Every other command reads packed segments like the others, and any zstd tool unpacks them. What was packed is read back before the original goes.

    Example: portreeve log archive -C /etc/portreeve
    """
    settings = load(folder)
    reader = LogReader(settings.log.folder)
    newest = reader.folder.segment_list()[-1:]
    with show_progress("packing", newest[0][0] if newest else None) as progress:
        done = archiving.archive(reader.folder, progress)
    before = sum(found.size_bytes for found in done)
    paths = dict(reader.folder.segment_list())
    after = sum(paths[found.first].stat().st_size + reader.folder.leaves_of(found.first).stat().st_size for found in done)
    records = sum(len(found.leaves) for found in done)
    if as_json:
        print_json({"segments": len(done), "records": records, "bytes_before": before, "bytes_after": after})
    elif not done:
        print("nothing to pack: the segment that is being written stays as it is")
    else:
        each = f"{after / records:,.0f} bytes a record, leaf hashes included"
        print(
            f"{styled('packed', 'green', sys.stdout)}  {plural(len(done), 'segment')}, {records:,} records: {before:,} bytes became {after:,}, {each}"
        )


def prune(
    before: Annotated[str, typer.Option("--before", metavar="TIME|N", help="Segments that end before this time (400d, 2026-01-31) or record go.")],
    why: Why,
    folder: Folder = Path(),
    *,
    roots_only: Annotated[bool, typer.Option("--roots-only", help="Do not even keep the leaf hashes: 32 bytes a record less.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Also what is younger than log.retention_days_min.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take away the oldest segments, with a record that says what, why and by whom. It cannot be undone. Works beside a running gateway.

    `verify` then exits with 3 and names that record; `verify --since N` judges what is left. Proofs of what is left stay valid. A file `hold` in the log's
    folder forbids pruning, whatever is given here.

    Example: portreeve log prune --before 400d --why "retention plan 3"
    """
    settings = load(folder)
    if not 0 < len(why) <= 1_000 or not why.isprintable():
        raise typer.BadParameter("--why: one line of at most 1000 characters")
    numbered = before.isascii() and before.isdigit() and len(before) < 20
    reader = LogReader(settings.log.folder)
    given = {"n": int(before)} if numbered else {"t": moment_us(before, "--before")}
    planned = pruning.plan(reader.folder, settings.log, **given)
    if not planned.segments:
        print_json({"segments": 0, "records": 0, "before": 0, "record": None}) if as_json else print(
            "nothing to prune: no complete segment ends before that"
        )
        return
    newest = planned.segments[-1].last_t
    if not yes:
        text = f"Take away {planned.records:,} records, up to number {planned.before - 1} of {moment(newest)}, for ever?"
        typer.confirm(text, abort=True, err=True)
    receipt = pruning.prune(settings.log, settings.keys, planned, why, force=force, roots_only=roots_only)
    if as_json:
        print_json({"segments": len(planned.segments), "records": planned.records, "before": planned.before, "record": receipt.n})
    else:
        verdict = styled("pruned", "green", sys.stdout)
        print(f"{verdict}  {plural(len(planned.segments), 'segment')}, records before {planned.before}; record {receipt.n} says so")
