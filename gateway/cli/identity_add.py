"""`portreeve identity add`: registers an agent, and gives out the one-time code with which it enrols a key of its own."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.options import AgentName, AsJson, Folder
from gateway.cli.output import print_json
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.errors import Problem, Problems
from gateway.identities import Agent, load_identities
from gateway.identities.model import AGENT_ID, EnrolledKeys
from gateway.stores.database import Database
from gateway.stores.enrolment import CODE_LIFE_S, Enrolments

_FILE = """schema = 1

[agent]
id          = "{id}"
owner       = {owner}
description = {description}
status      = "active"
expires     = {expires}

[token]
ttl    = "5m"
scopes = [{scopes}]
"""
_ENROLLED = """
[[credential]]
kind = "enrolled"                # keys that it registers itself with a one-time code: portreeve identity add {id} --enrol
"""


def add(
    agent: AgentName,
    *,
    owner: Annotated[str | None, typer.Option("--owner", metavar="team:NAME", help="Who answers for it; needed for a new agent.")] = None,
    description: Annotated[str, typer.Option("--description", help="What it is for.")] = "Not described yet",
    scope: Annotated[list[str] | None, typer.Option("--scope", metavar="SCOPE", help="A scope that its tokens may have, repeatable.")] = None,
    enrol: Annotated[bool, typer.Option("--enrol", help="Print a one-time code with which it registers a key of its own.")] = False,
    as_json: AsJson = False,
    folder: Folder = Path(),
) -> None:
    """Write a file for a new agent, to be reviewed like any other; with --enrol also print a one-time code. For a known agent only the latter.

    Example: portreeve identity add ci-bot --owner team:platform --scope tickets:read --enrol
    """
    settings = load(folder)
    path = settings.identities / "agents" / f"{agent}.toml"
    written = not path.exists()
    if written:
        _write(path, agent, owner, description, scope or [], enrol=enrol)
    elif not enrol or owner is not None or scope is not None:
        remedy = "edit the file; with --enrol alone it gets a new code"
        raise Problem("agent_exists", f"there is an agent {agent!r} already", file=str(path), remedy=remedy)
    try:
        found = load_identities(settings.identities).agents[agent]
    except Problems:
        if written:
            path.unlink()
        raise
    code = _code(settings, found) if enrol else None
    if as_json:
        print_json({"agent": agent, "file": str(path), "written": written, "code": code, "endpoint": f"{settings.url}/enrol" if code else None})
        return
    print(f"{'wrote' if written else 'kept'} {path}", file=sys.stderr)
    if code is not None:
        print(f"a code for one key, good for {CODE_LIFE_S // 60} minutes; it goes with the key to {settings.url}/enrol:", file=sys.stderr)
        print(code)


def _write(path: Path, agent: str, owner: str | None, description: str, scopes: list[str], *, enrol: bool) -> None:
    if not AGENT_ID.fullmatch(agent):
        raise Problem("bad_name", f"{agent[:80]!r} is not the name of an agent", key="agent.id", remedy=f"use only {AGENT_ID.pattern}")
    if owner is None:
        raise typer.BadParameter("say who answers for the agent", param_hint="--owner")
    text = _FILE.format(
        id=agent,
        owner=_quoted(owner),
        description=_quoted(description),
        expires=(datetime.now(UTC) + timedelta(days=365)).date(),
        scopes=", ".join(map(_quoted, scopes)),
    )
    path.parent.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text + (_ENROLLED.format(id=agent) if enrol else ""))


def _quoted(text: str) -> str:
    """A basic TOML string. What may not stand in an identities file at all is said by the loader."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in escaped) + '"'


def _code(settings: Settings, agent: Agent) -> str:
    if not any(isinstance(credential, EnrolledKeys) for credential in agent.credentials):
        remedy = 'add to its file: [[credential]] kind = "enrolled"'
        raise Problem("not_enrollable", f"the agent {agent.id!r} may not have enrolled keys", file=agent.file, key="credential", remedy=remedy)
    database = Database.open(settings.state)
    try:
        return Enrolments(database).new_code(agent.id)
    finally:
        database.close()
