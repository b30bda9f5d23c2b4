"""`portreeve kill`, `unkill`, `halts` and `revoke`: stop an agent, a tool, a run, a user or everything at once, see what is stopped, and end one token.

The store is written first, and it alone counts: every process of the gateway follows it. Then the record is asked for, which a running gateway
gives only when the halt is in force there. Lifting goes the other way round: nothing may go again before that is recorded.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import re
import sqlite3
import sys
import time
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import AsJson, Folder
from gateway.cli.output import print_json, print_table, printable, styled
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.errors import Problem, Problems
from gateway.identities import load_identities
from gateway.identities.issuer import TTL_S_MAX
from gateway.identities.model import AGENT_ID, RUN, TOKEN_ID, USER
from gateway.record import append_record
from gateway.stores.database import Database
from gateway.stores.halts import GLASS, HaltStore
from gateway.stores.revocations import SqliteRevocations

WHY_MAX = 500


class What(StrEnum):
    """What can be halted."""

    agent = "agent"
    tool = "tool"
    run = "run"
    user = "user"
    all = "all"


_NAMES = {What.agent: AGENT_ID, What.tool: re.compile(r"[a-z0-9][a-z0-9_-]{0,62}"), What.run: RUN, What.user: USER}

Target = Annotated[What, typer.Argument(metavar="agent|tool|run|user|all", help="What to stop.", show_choices=False)]
Name = Annotated[str, typer.Argument(metavar="[NAME]", help="Which one; none for `all`.")]
Why = Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for the record: it stays in the log.")]
Unknown = Annotated[bool, typer.Option("--unknown", help="Also when the deployment knows no agent or tool of this name.")]


@contextlib.contextmanager
def store_of(settings: Settings) -> Iterator[tuple[HaltStore, Database]]:
    """The state, open for a command. Raises Problem when it cannot be used."""
    database = Database.open(settings.state)
    try:
        yield HaltStore(database), database
    except sqlite3.Error as error:
        remedy = f"to halt everything without it: touch {settings.state / GLASS}"
        raise Problem("state_unusable", f"cannot be written: {error}", file=str(settings.state), remedy=remedy) from error
    finally:
        database.close()


def kill(what: Target, name: Name = "", *, why: Why, unknown: Unknown = False, folder: Folder = Path(), as_json: AsJson = False) -> None:
    """Stop every call of an agent, to a tool, of a run, for a user, or of all: those on their way, too, and streams that are open.

    In force when this returns (in each of several workers a moment later), on disk, and recorded. Tokens of a killed agent, run or user, and
    what was exchanged from them, stay dead when it is lifted. Works beside a running gateway and without one.

    Example: portreeve kill agent support-bot --why "sends mail to strangers"
    """
    settings = load(folder)
    _check(settings, what, name, why, unknown=unknown)
    with store_of(settings) as (store, _):
        halt = store.halt(what.value, name, why, f"uid:{os.geteuid()}")
    record = record_order(settings, "kill", {"what": str(halt), "on": True, "why": why})
    if as_json:
        print_json({"what": str(halt), "on": True, "record": record})
    else:
        print(f"{styled('halted', 'red', sys.stdout)}  {halt}{_told(record)}")
        print(f"to lift it: portreeve unkill {halt} --why TEXT")
    if record is None:
        raise typer.Exit(1)


def unkill(what: Target, name: Name = "", *, why: Why, folder: Folder = Path(), as_json: AsJson = False) -> None:
    """Lift a halt. Recorded first; when that fails, the halt stays.

    Example: portreeve unkill agent support-bot --why "prompt corrected, reviewed by R. Doe"
    """
    settings = load(folder)
    _check(settings, what, name, why, unknown=True)
    words = f"{what.value} {name}".strip()
    with store_of(settings) as (store, _):
        if (what.value, name) not in store.board.halts:
            remedy = f"remove the file {settings.state / GLASS}" if what is What.all and (settings.state / GLASS).exists() else "see: portreeve halts"
            raise Problem("not_halted", f"{words} is not halted", remedy=remedy)
        receipt = append_record(settings.log, settings.keys, "kill", {"what": words, "on": False, "why": why})
        store.lift(what.value, name)
    if as_json:
        print_json({"what": words, "on": False, "record": receipt.n})
    else:
        print(f"{styled('lifted', 'green', sys.stdout)}  {words}{_told(receipt.n)}")


def revoke(
    jti: Annotated[str, typer.Argument(metavar="JTI", help="The token's id: `jti` of its claims, or of the log's records.")],
    *,
    why: Why,
    folder: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """End one token, and every token that was exchanged from it, for good. Streams that are open with them are cut.

    Example: portreeve revoke 0ZcOCORZNYy-DWpqq30jZw --why "printed in a build log"
    """
    check_why(why)
    if not TOKEN_ID.fullmatch(jti):
        raise typer.BadParameter("16 to 64 letters, digits, - and _", param_hint="JTI")
    settings = load(folder)
    with store_of(settings) as (_, database):
        SqliteRevocations(database).revoke_now(jti, int(time.time()) + TTL_S_MAX)
    record = record_order(settings, "revoke", {"what": f"token {jti}", "why": why})
    if as_json:
        print_json({"token": jti, "record": record})
    else:
        print(f"{styled('revoked', 'red', sys.stdout)}  token {jti}{_told(record)}")
    if record is None:
        raise typer.Exit(1)


def halts(folder: Folder = Path(), as_json: AsJson = False) -> None:
    """List what is halted: since when, why, and by whom.

    Example: portreeve halts --json
    """
    settings = load(folder)
    with store_of(settings) as (store, _):
        found = list(store.board.halts.values())
    rows = [(str(halt), datetime.fromtimestamp(halt.since, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), halt.why, halt.by) for halt in found]
    glass = settings.state / GLASS
    if glass.exists():
        rows.append(("all", datetime.fromtimestamp(glass.stat().st_mtime, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), f"the file {GLASS}", "file"))
    if as_json:
        print_json([dict(zip(("what", "since", "why", "by"), row, strict=True)) for row in rows])
    elif rows:
        print_table(("WHAT", "SINCE", "WHY", "BY"), rows)
    else:
        print("nothing is halted")


def _check(settings: Settings, what: What, name: str, why: str, *, unknown: bool) -> None:
    """A kill must not miss: a name that nobody has is refused while there is time to correct it."""
    check_why(why)
    if (what is What.all) != (not name):
        raise typer.BadParameter("`all` takes no name" if name else "name which one", param_hint="NAME")
    if what is What.all:
        return
    if not _NAMES[what].fullmatch(name):
        raise typer.BadParameter(f"no {what.value} can be called {printable(name[:80])!r}", param_hint="NAME")
    if not unknown and what is What.tool:
        _check_known(name, settings.tools, "tool")
    if not unknown and what is What.agent:
        try:
            _check_known(name, load_identities(settings.identities).agents, "agent")
        except Problems:
            print("portreeve: identities do not load, so the name was not looked up", file=sys.stderr)


def check_why(why: str) -> None:
    if not 0 < len(why) <= WHY_MAX or not why.isprintable():
        raise typer.BadParameter(f"one line of at most {WHY_MAX} characters", param_hint="--why")


def _check_known(name: str, known: Iterable[str], kind: str) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, list(known), 1)
        remedy = f"did you mean {near[0]!r}? " if near else ""
        raise Problem(f"unknown_{kind}", f"there is no {kind} {name!r}; nothing was halted", remedy=f"{remedy}to halt it all the same: --unknown")


def record_order(settings: Settings, kind: str, body: dict[str, object], stands: str = "it is in force") -> int | None:
    """The record's number; None, and a line, when it could not be written. `stands` is what holds all the same."""
    try:
        return append_record(settings.log, settings.keys, kind, body).n
    except (Problem, Problems) as error:
        print(f"portreeve: {stands}, but could not be recorded: {error}", file=sys.stderr)
        return None


def _told(record: int | None) -> str:
    return "" if record is None else f"; record {record} says so"
