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
from gateway.loading import audience
from gateway.stores.database import Database
from gateway.stores.enrolment import CODE_LIFE_S, Enrolments

_FILE = """# One agent: who it is, and the most that it may have. What it may do is decided by policies, for each call.
# Lines that begin with "#" and no blank are off: take the "#" away to switch one on. All keys: identities/README.md.
schema = 1

[agent]
id = "{id}"  # equals the file's name; policies see Agent::"{id}"
owner = {owner}  # the people who answer for it
description = {description}
status = "active"  # active | suspended | retired; whatever is not active ends its tokens and calls at once
expires = {expires}  # its last day, UTC: it stops then, unless a review writes a later one
#groups = ["GROUP"]  # policies see principal in AgentGroup::"GROUP"

[agent.attributes]  # facts for policies: a text, a whole number, true or false, or a list of texts
#env = "test"  # policies see principal.env

[token]
ttl = "5m"  # the longest life of a token; at most "1h"
scopes = [{scopes}]  # the most that a token may carry
#audiences = [{audience}]  # the gateways its tokens are good at; without it this one
#pop = "required"  # none | optional | required: whether its tokens are bound to a key, and each call proves that (RFC 9449)

[delegation]  # nothing, unless it says so
#may_act_for_users = true  # its tokens may name a user; user_issuers = [...] names those whose users may delegate to it
#max_depth = 1  # how far what it may do can be handed on, to those that may_delegate_to = [...] names
"""
_WAYS = """
# How it proves who it is, at the token service; any one is enough. By a token of its platform (Kubernetes, CI, SPIFFE): kind = "federated", see
# identities/README.md. By a key of its own, which it registers with a one-time code of: portreeve identity add {id} --enrol
{off}[[credential]]
{off}kind = "enrolled"
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
        _write(path, settings, agent, owner, description, scope or [], enrol=enrol)
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


def _write(path: Path, settings: Settings, agent: str, owner: str | None, description: str, scopes: list[str], *, enrol: bool) -> None:  # noqa: PLR0917 - what stands in a file
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
        audience=_quoted(audience(settings)),
    )
    path.parent.mkdir(exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text + _WAYS.format(id=agent, off="" if enrol else "#"))


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
