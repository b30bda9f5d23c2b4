"""`portreeve log verify`: can this log be believed?"""

from __future__ import annotations

import contextlib
import inspect
import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import verify_alone
from gateway.cli.log_anchors import Others, PeerLogs, PolicyFile, PrometheusDays, PrometheusUrl, held_by, judged
from gateway.cli.log_place import AsJson, Folder, KeyFile, LogFolderWithKey, Where, place_of
from gateway.cli.log_replay import replay_in
from gateway.cli.log_view import print_report
from gateway.cli.output import print_json
from gateway.cli.progress import progress as show_progress
from gateway.cli.when import moment_us
from gateway.errors import Problem
from gateway.record import BadNote, Level, LogReader, Question, verify_log


def verify(
    *,
    folder: Folder = Path(),
    log: LogFolderWithKey = None,
    key: KeyFile = None,
    level: Annotated[
        Level, typer.Option(help="chain: links. root: and every signature. full: and every byte's form. replay: and every decision made again.")
    ] = "full",
    since: Annotated[
        str,
        typer.Option(metavar="N|TIME", help="Begin with the segment of this record or time (7d, 2026-01-31); of what is before, compare the root."),
    ] = "",
    pin: Annotated[Path | None, typer.Option(metavar="FILE", help="Remembers the newest checkpoint; the log must extend it next time.")] = None,
    jobs: Annotated[int, typer.Option(min=0, metavar="N", help="Look at N segments at a time, each in a process; 0 is one per processor.")] = 1,
    prometheus: PrometheusUrl = None,
    prometheus_days: PrometheusDays = 15,
    peer: PeerLogs = None,
    witness_policy: PolicyFile = None,
    as_json: AsJson = False,
) -> None:
    """Is every record as it was written, and is none missing?

    Exit codes: 0 yes, 1 tampered, 2 wrong usage, 3 something is missing, 4 a key or signature is missing or wrong.

    Example: portreeve log verify --pin seen.note --jobs 0
    """
    where = place_of(folder, log, key, needs_key=True)
    held = held_by(where, Others(prometheus, prometheus_days, peer or (), witness_policy))
    numbered = since.isascii() and since.isdigit() and len(since) < 20
    with _pool(jobs or os.cpu_count() or 1) as pool, show_progress("verifying", _expected_size(where)) as progress:
        question = Question(
            level,
            where.origin,
            pin,
            since=int(since) if numbered else None,
            since_t=moment_us(since) if since and not numbered else None,
            replay=partial(replay_in, unseal=where.unseal),
            pool=pool,
        )
        report = verify_log(where.folder, where.keys, question, progress)
    report = judged(report, where, held)
    if as_json:
        print_json(asdict(report) | {"ok": report.ok})
    else:
        print_report(report, where.folder, pin)
    raise typer.Exit(report.exit_code)


def verifier() -> None:
    """Print a verifier, one file that needs only Python's standard library, for whoever does not want to trust this program.

    Example: portreeve log verifier > verify.py
    """
    print(inspect.getsource(verify_alone), end="")


@contextlib.contextmanager
def _pool(jobs: int) -> Iterator[Executor | None]:
    """Fresh processes: a copy of one that has threads may hang."""
    if jobs == 1:
        yield None
        return
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        yield pool


def _expected_size(where: Where) -> int | None:
    with contextlib.suppress(Problem, BadNote, OSError):
        newest = LogReader(where.folder).checkpoint(where.keys)
        return newest.size if newest else None
    return None
