"""`portreeve identity diff | suspend | expire-report | schema`: what reviewers of agents' files need."""

from __future__ import annotations

import re
import sqlite3
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.canonical import dumps_in_order, loads_trusted
from gateway.cli.kill import Why, check_why
from gateway.cli.options import AgentName, AsJson, Folder
from gateway.cli.output import plural, print_json, print_table, styled
from gateway.config.load import load
from gateway.errors import Problem, Problems
from gateway.identities import Agent, load_identities
from gateway.identities.editors import DIRECTIVE, SCHEMA_FILE, agent_schema
from gateway.identities.model import KeyCredential
from gateway.identities.narrowing import is_narrower, rights_of
from gateway.stores.database import Database
from gateway.stores.halts import HaltStore

_STATUS = re.compile(r"""^([ \t]*status[ \t]*=[ \t]*)(["'])[a-z]*\2""", re.MULTILINE)
_AGENT_TABLE = re.compile(r"^[ \t]*\[[ \t]*agent[ \t]*\][^\n]*\n", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Change:
    """What differs of one agent, line by line, and whether it may have less (its tokens end) or more (somebody should look)."""

    agent: str
    lines: tuple[str, ...]
    narrower: bool
    wider: bool


def diff(
    against: Annotated[
        Path | None, typer.Option("--against", metavar="DIR", help="Another identities folder; without it, what was last in force.")
    ] = None,
    fail_wider: Annotated[bool, typer.Option("--fail-wider", help="Exit with 1 when an agent may have more than before.")] = False,
    as_json: AsJson = False,
    folder: Folder = Path(),
) -> None:
    """Say what each agent may have more or less, before it goes into force. Less ends the tokens that it has.

    Example: portreeve identity diff --against ../main/identities --fail-wider
    """
    settings = load(folder)
    now = {name: rights_of(agent) for name, agent in load_identities(settings.identities).agents.items()}
    if against is not None:
        before: Mapping[str, bytes] = {name: rights_of(agent) for name, agent in load_identities(against).agents.items()}
    else:
        before = _in_force(settings.state)
    changes = list(_changes(before, now))
    if as_json:
        print_json([{"agent": c.agent, "narrower": c.narrower, "wider": c.wider, "changes": list(c.lines)} for c in changes])
    else:
        for change in changes:
            marks = [styled("less, its tokens end", "yellow", sys.stdout)] * change.narrower + [styled("more", "red", sys.stdout)] * change.wider
            print(f"{change.agent}: {', '.join(marks)}")
            for line in change.lines:
                print(f"  {line}")
        print(f"{plural(len(changes), 'agent')} changed")
    if fail_wider and any(change.wider for change in changes):
        raise typer.Exit(1)


def _in_force(state: Path) -> Mapping[str, bytes]:
    database = Database.open(state)
    try:
        return HaltStore(database).board.rights
    except sqlite3.Error as error:
        raise Problem("state_unusable", f"cannot be read: {error}", file=str(state), remedy="see /readyz of the gateway") from error
    finally:
        database.close()


def _changes(before: Mapping[str, bytes], now: Mapping[str, bytes]) -> Iterator[Change]:
    for agent in sorted(before.keys() | now.keys()):
        old, new = before.get(agent), now.get(agent)
        if old == new:
            continue
        if old is None or new is None:
            yield Change(agent, ("+ the agent" if old is None else "- the agent",), old is not None and is_narrower(old, None), old is None)
        else:
            yield Change(agent, tuple(_lines(loads_trusted(old), loads_trusted(new))), is_narrower(old, new), is_narrower(new, old))


def _lines(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    for name in old:
        if isinstance(old[name], list):
            yield from (f"- {name}: {value}" for value in old[name] if value not in new[name])
            yield from (f"+ {name}: {value}" for value in new[name] if value not in old[name])
        elif old[name] != new[name]:
            yield f"  {name}: {old[name] or '-'} -> {new[name] or '-'}"


def suspend(agent: AgentName, *, why: Why, as_json: AsJson = False, folder: Folder = Path()) -> None:
    """Write `status = "suspended"` into an agent's file, with the reason as a comment. A running gateway follows within seconds.

    For at once, and on disk before anything else: portreeve kill agent NAME. The way back is a reviewed change of the file.

    Example: portreeve identity suspend support-bot --why "INC-1042"
    """
    check_why(why)
    path = load(folder).identities / "agents" / f"{agent}.toml"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise Problem("unknown_agent", f"there is no agent {agent[:80]!r}", file=str(path), remedy="see: portreeve identity list") from error
    path.write_text(_suspended(text, why, path), encoding="utf-8")
    try:
        done = load_identities(path.parent.parent).agents[agent].status == "suspended"
    except Problems:
        done = False
    if not done:
        path.write_text(text, encoding="utf-8")
        raise Problem(
            "not_suspended", "the file could not be changed safely", file=str(path), remedy='write status = "suspended" below [agent] yourself'
        )
    if as_json:
        print_json({"agent": agent, "status": "suspended", "file": str(path)})
    else:
        print(f"{styled('suspended', 'red', sys.stdout)}  {agent} in {path}")


def _suspended(text: str, why: str, path: Path) -> str:
    begin = _AGENT_TABLE.search(text)
    if begin is None:
        raise Problem("not_suspended", "the file has no line [agent]", file=str(path), remedy='write status = "suspended" below [agent] yourself')
    end = text.find("\n[", begin.end())
    head, table, rest = text[: begin.end()], text[begin.end() : end if end >= 0 else None], text[end:] if end >= 0 else ""
    note = f"# suspended {datetime.now(UTC).date()}: {why}\n"
    match = _STATUS.search(table)
    if match is None:
        return f'{head}{note}status = "suspended"\n{table}{rest}'
    return f"{head}{table[: match.start()]}{note}{match[1]}{match[2]}suspended{match[2]}{table[match.end() :]}{rest}"


def expire_report(
    days: Annotated[int, typer.Option("--days", min=1, help="How far to look ahead.")] = 30, as_json: AsJson = False, folder: Folder = Path()
) -> None:
    """List registrations and keys that have lapsed, lapse soon or never lapse, with whom to ask, the most urgent first.

    Example: portreeve identity expire-report --days 60
    """
    today = datetime.now(UTC).date()
    agents = load_identities(load(folder).identities).agents.values()
    rows = sorted((row for agent in agents if agent.status != "retired" for row in _ends(agent)), key=lambda row: row[2] or date.max)
    due = [row for row in rows if row[2] is None or (row[2] - today).days <= days]
    if as_json:
        print_json(
            [{"agent": a.id, "owner": a.owner, "what": what, "ends": str(end) if end else None, "state": _state(end, today)} for a, what, end in due]
        )
    elif due:
        print_table(("AGENT", "WHAT", "ENDS", "", "OWNER"), [(a.id, what, str(end or "-"), _state(end, today), a.owner) for a, what, end in due])
    else:
        print(f"nothing lapses within {days} days")


def _ends(agent: Agent) -> Iterator[tuple[Agent, str, date | None]]:
    yield agent, "registration", agent.expires
    for credential in agent.credentials:
        if isinstance(credential, KeyCredential) and credential.not_after is not None:
            yield agent, f"key {credential.kid}", credential.not_after


def _state(end: date | None, today: date) -> str:
    if end is None:
        return "never lapses"
    left = (end - today).days
    return "has lapsed" if left < 0 else f"{left} d left"


def schema(
    write: Annotated[bool, typer.Option("--write", help=f"Write it to identities/{SCHEMA_FILE}, where agents' files can name it.")] = False,
    folder: Folder = Path(),
) -> None:
    """Print the JSON Schema of an agent's file, for editors.

    Example: portreeve identity schema --write
    """
    if not write:
        print_json(agent_schema())
        return
    path = load(folder).identities / SCHEMA_FILE
    path.write_bytes(dumps_in_order(agent_schema()))
    print(f"wrote {path}; begin an agent's file with {DIRECTIVE}")
