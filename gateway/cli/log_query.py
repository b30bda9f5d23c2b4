"""`portreeve log query`, `open` and `index rebuild`: which calls there were, found by an index that is made from the log."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Literal

import typer

from gateway.canonical import Json
from gateway.cli.completion import agents, tools
from gateway.cli.json_errors import JsonErrors
from gateway.cli.log_place import INCOMPLETE, AsJson, Folder, LogFolder, place_of, reading, stop
from gateway.cli.log_view import moment
from gateway.cli.output import plural, print_table, styled
from gateway.cli.progress import progress as show_progress
from gateway.cli.when import moment_us
from gateway.record import Call, CallIndex, IndexUnusable, LogReader, Query, count_calls, find_calls, scan_calls

REPEATABLE = frozenset({"read", "idempotent_write"})

Agent = Annotated[str | None, typer.Option("--agent", metavar="AGENT", autocompletion=agents, help="Of this agent.")]
Tool = Annotated[str | None, typer.Option("--tool", metavar="TOOL", autocompletion=tools, help="To this tool.")]
Decided = Literal["allow", "deny", "hold", "error", "refused"]
Decision = Annotated[Decided | None, typer.Option("--decision", help="So decided; refused: before policy was asked.")]
Since = Annotated[str, typer.Option("--since", metavar="WHEN", help="Not before: 7d, 12h, 30m, or 2026-01-31 (UTC).")]
Until = Annotated[str, typer.Option("--until", metavar="WHEN", help="Before then.")]
AsLines = Annotated[bool, typer.Option("--json", help="Print JSON, an object a line.")]

index = typer.Typer(
    no_args_is_help=True, rich_markup_mode=None, help="The index by which calls are found. It is made from the log, and nobody verifies by it."
)


def query(
    *,
    folder: Folder = Path(),
    log: LogFolder = None,
    agent: Agent = None,
    user: Annotated[str | None, typer.Option(metavar="USER", help="For this user.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN", help="Of this run of an agent.")] = None,
    tool: Tool = None,
    operation: Annotated[str | None, typer.Option(metavar="OPERATION", help="Of this operation.")] = None,
    decision: Decision = None,
    reason: Annotated[str | None, typer.Option(metavar="POLICY", help="Which this policy decided, among others perhaps.")] = None,
    code: Annotated[str | None, typer.Option(metavar="CODE", help="Refused with this code.")] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="Which ended so: ok, error, timeout, refused, cancelled, unknown; or open.")
    ] = None,
    since: Since = "",
    until: Until = "",
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="At most so many, the newest.")] = 50,
    count: Annotated[bool, typer.Option("--count", help="Print only how many there are.")] = False,
    scan: Annotated[bool, typer.Option("--scan", help="Read the log itself instead of the index.")] = False,
    as_json: AsLines = False,
) -> None:
    """Find calls, the newest first.

    An index beside the log answers, brought up to date first. Like the other readers it believes the log: `portreeve log verify` judges it.

    Example: portreeve log query --agent support-bot --decision deny --since 7d
    """
    reader = place_of(folder, log, None, needs_key=False).reader()
    wanted = Query(agent, user, run, tool, operation, decision, reason, code, status, *_between(since, until), None, limit)
    with reading(), _progress(reader) as progress:
        if count:
            found: Sequence[Call] = ()
            total = len(scan_calls(reader, replace(wanted, limit=sys.maxsize), progress)) if scan else count_calls(reader, wanted, progress)
        else:
            found = (scan_calls if scan else find_calls)(reader, wanted, progress)
            total = len(found)
    if count:
        print(json.dumps({"count": total}) if as_json else total)
    elif as_json:
        _print_lines([_as_json(call) for call in found])
    else:
        print_table(("n", "time", "agent", "tool/operation", "decision", "because", "status"), [_row(call) for call in found])


def open_calls(
    *,
    folder: Folder = Path(),
    log: LogFolder = None,
    agent: Agent = None,
    tool: Tool = None,
    since: Since = "",
    as_json: AsLines = False,
) -> None:
    """List allowed calls of which nobody knows what came: still on their way, or cut off by a crash.

    Whether one may be made again depends on its effect: `yes` for what does no more when it is done twice, `ask` for what the tool must be asked about.

    Exit codes: 0 there is none, 3 there are some.

    Example: portreeve log open --since 1d
    """
    reader = place_of(folder, log, None, needs_key=False).reader()
    since_t, _ = _between(since, "")
    with reading(), _progress(reader) as progress:
        asked = [Query(agent=agent, tool=tool, status=status, since_t=since_t, limit=sys.maxsize) for status in ("open", "unknown")]
        found = sorted((call for one in asked for call in find_calls(reader, one, progress)), key=lambda call: -call.n)
    now = time.time()
    if as_json:
        _print_lines([_as_json(call) | {"age_s": round(now - call.t / 1e6, 3), "repeatable": call.effect in REPEATABLE} for call in found])
    elif found:
        rows = [
            (str(c.n), _age(now - c.t / 1e6), c.status, c.agent, f"{c.tool}/{c.operation}", c.effect, "yes" if c.effect in REPEATABLE else "ask")
            for c in found
        ]
        print_table(("n", "age", "status", "agent", "tool/operation", "effect", "repeat"), rows)
    else:
        print(f"{styled('ok', 'green', sys.stdout)}  every allowed call has an outcome")
    raise typer.Exit(INCOMPLETE if found else 0)


@index.command(cls=JsonErrors)
def rebuild(folder: Folder = Path(), log: LogFolder = None, as_json: AsJson = False) -> None:
    """Make the index anew. Only needed when it is doubted: it is extended, and made anew when it does not fit, by every command that asks it.

    Example: portreeve log index rebuild
    """
    reader = place_of(folder, log, None, needs_key=False).reader()
    began = time.perf_counter()
    with reading(), _progress(reader) as progress:
        try:
            found = CallIndex(reader).rebuild(progress)
        except IndexUnusable as error:
            stop(INCOMPLETE, f"no index can be made here: {error}")
    elapsed_s = time.perf_counter() - began
    print(json.dumps({"calls": found, "elapsed_s": round(elapsed_s, 3)}) if as_json else f"{plural(found, 'call')} indexed in {elapsed_s:.2f} s")


def _between(since: str, until: str) -> tuple[int | None, int | None]:
    return moment_us(since) if since else None, moment_us(until, "--until") if until else None


@contextlib.contextmanager
def _progress(reader: LogReader) -> Iterator[Callable[[int], None]]:
    newest = reader.newest(1)
    with show_progress("reading the log", newest[0].n + 1 if newest else 0) as progress:
        yield progress


def _as_json(call: Call) -> dict[str, Json]:
    return {name: value for name, value in asdict(call).items() if name not in {"segment", "offset"}}


def _print_lines(objects: Sequence[dict[str, Json]]) -> None:
    for found in objects:
        print(json.dumps(found))


def _row(call: Call) -> tuple[str, ...]:
    because = ", ".join(call.reasons) or call.code
    code = f" [{call.code}]" if call.code and call.reasons else ""
    return str(call.n), moment(call.t), call.agent, f"{call.tool}/{call.operation}".strip("/"), call.decision, f"{because}{code}", call.status or "-"


def _age(seconds: float) -> str:
    """`90 s`, `12 min`, `3 h`, `5 d`."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"
