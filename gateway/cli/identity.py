"""Identities on the command line: `identity list | lint`, and tokens that are signed here. (`token` stands in token.py, `run` in run.py.)

Those are signed with the deployment's own key, so whoever may read the key folder may be any agent: file permissions are the guard.
"""

from __future__ import annotations

import difflib
import secrets
import sqlite3
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.later import Later, group
from gateway.cli.options import AsJson, Folder
from gateway.cli.output import plural, print_json, print_problems, print_table, problem_json
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.errors import Problem, Problems
from gateway.identify import Wish, mint
from gateway.identify.mint import life_s
from gateway.identify.transit import open_keys
from gateway.identities import Agent, Identities, load_identities
from gateway.identities.model import Credential, EnrolledKeys, FederatedCredential, KeyCredential
from gateway.identities.table import duration_s
from gateway.loading import audience
from gateway.secret import Secret
from gateway.stores.database import Database
from gateway.stores.halts import HaltStore

EXPIRES_SOON = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Minted:
    """A token with what its holder should know. `expires_at` in seconds since the epoch."""

    token: Secret
    agent: str
    life_s: int
    expires_at: int
    scopes: tuple[str, ...]


def wish_of(for_user: str | None, ttl: str | None, scope: list[str] | None, *, run: str | None = None, jkt: str = "") -> Wish:
    """What the options ask for. Raises a usage error for a duration that is none."""
    seconds = duration_s(ttl) if ttl is not None else None
    if ttl is not None and seconds is None:
        raise typer.BadParameter('write whole seconds, minutes or hours: "90s", "5m", "1h"', param_hint="--ttl")
    return Wish(ttl_s=seconds, user=for_user, scopes=tuple(dict.fromkeys(scope)) if scope else None, run=run, bound_to=jkt)


def mint_here(settings: Settings, name: str, wish: Wish) -> Minted:
    """Mint with the files as they are now. Raises Problem or Problems."""
    identities = load_identities(settings.identities)
    agent = _agent(identities, name, settings)
    now = time.time()
    denial = identities.revoked.denies("agent", name, now)
    if denial is not None:
        raise Problem("agent_revoked", f"the agent {name!r} is revoked: {denial.reason}", file=str(settings.identities / "revoked.toml"))
    keys = open_keys(settings)
    token = mint(keys, agent, replace(wish, epoch=_epoch(settings, name)), issuer=settings.url, audience=audience(settings), now=now)
    life = life_s(agent, wish.ttl_s)
    if wish.ttl_s is not None and life < wish.ttl_s:
        print(f"portreeve: it lives {life} s, as long as a token of {name} may", file=sys.stderr)
    return Minted(token, agent.id, life, int(now) + life, agent.scopes if wish.scopes is None else wish.scopes)


def _epoch(settings: Settings, agent: str) -> int:
    """The epoch that a token belongs to which is issued now. Raises Problem for an agent that is halted."""
    database = Database.open(settings.state)
    try:
        board = HaltStore(database).board
    except sqlite3.Error as error:
        raise Problem("state_unusable", f"cannot be read: {error}", file=str(settings.state), remedy="see /readyz of the gateway") from error
    finally:
        database.close()
    halt = board.halts.get(("all", "")) or board.halts.get(("agent", agent))
    if halt is not None:
        raise Problem("agent_halted", f"{halt} is halted: {halt.why}", remedy=f"to lift it: portreeve unkill {halt} --why TEXT")
    return board.epoch


def _agent(identities: Identities, name: str, settings: Settings) -> Agent:
    found = identities.agents.get(name)
    if found is None:
        near = difflib.get_close_matches(name, identities.agents, 1)
        known = ", ".join(list(identities.agents)[:20]) or "none"
        remedy = f"did you mean {near[0]!r}?" if near else f"known agents: {known}"
        raise Problem("unknown_agent", f"there is no agent {name[:80]!r}", file=str(settings.identities / "agents"), remedy=remedy)
    return found


COMMANDS = (
    Later("list", "gateway.cli.identity:list_agents", "List every agent: status, owner, groups, scopes, expiry."),
    Later("lint", "gateway.cli.identity:lint", "Check the identities folder, with lines and remedies."),
    Later("add", "gateway.cli.identity_add:add", "Write a new agent's file; with --enrol a code for its key."),
    Later("diff", "gateway.cli.identity_review:diff", "Say what each agent may have more or less."),
    Later("suspend", "gateway.cli.identity_review:suspend", "Suspend an agent in its file, with the reason."),
    Later("expire-report", "gateway.cli.identity_review:expire_report", "List registrations and keys that lapse, and whom to ask."),
    Later("schema", "gateway.cli.identity_review:schema", "Print the JSON Schema of an agent's file, for editors."),
)
identity = group(COMMANDS, name="identity", help="Look at the agents of a deployment.")


def list_agents(as_json: AsJson = False, folder: Folder = Path()) -> None:
    """List every agent: its status, owner, groups, scopes, the life of its tokens, and when its registration lapses."""
    identities = load_identities(load(folder).identities)
    now = time.time()
    rows = [(agent, _status(identities, agent, now)) for agent in identities.agents.values()]
    if as_json:
        print_json([{**_facts(agent), "status": status} for agent, status in rows])
        return
    print_table(
        ("AGENT", "STATUS", "OWNER", "GROUPS", "TTL", "EXPIRES", "USERS", "SCOPES"),
        [(a.id, s, a.owner, ",".join(a.groups) or "-", f"{a.ttl_s}s", str(a.expires or "-"), _users(a), " ".join(a.scopes) or "-") for a, s in rows],
    )


def _users(agent: Agent) -> str:
    return "yes" if agent.delegation.may_act_for_users else "no"


def _status(identities: Identities, agent: Agent, now: float) -> str:
    """`revoked` and `expired` are as good as suspended, so they show as the status."""
    if identities.revoked.denies("agent", agent.id, now) is not None:
        return "revoked"
    return "expired" if agent.status == "active" and agent.unusable_because(now) else agent.status


def _facts(agent: Agent) -> dict[str, object]:
    return {
        "id": agent.id,
        "owner": agent.owner,
        "description": agent.description,
        "expires": str(agent.expires) if agent.expires else None,
        "groups": list(agent.groups),
        "attributes": dict(agent.attributes),
        "ttl_s": agent.ttl_s,
        "audiences": list(agent.audiences),
        "scopes": list(agent.scopes),
        "may_act_for_users": agent.delegation.may_act_for_users,
        "user_issuers": list(agent.delegation.user_issuers),
        "may_delegate_to": list(agent.delegation.may_delegate_to),
        "max_depth": agent.delegation.max_depth,
        "pop": agent.pop,
        "credentials": [_way(credential) for credential in agent.credentials],
        "file": agent.file,
    }


def _way(credential: Credential) -> dict[str, object]:
    """One way in which an agent may prove who it is."""
    match credential:
        case KeyCredential(kid=kid, not_after=end):
            return {"kind": "key", "kid": kid, "not_after": str(end) if end else None}
        case FederatedCredential(issuer=issuer, match=match):
            return {"kind": "federated", "issuer": issuer, "match": dict(match)}
        case EnrolledKeys(not_after=end):
            return {"kind": "enrolled", "not_after": str(end) if end else None}


def lint(
    strict: Annotated[bool, typer.Option("--strict", help="Fail on notices, too.")] = False, as_json: AsJson = False, folder: Folder = Path()
) -> None:
    """Check the identities folder: every fault with its line, and registrations that lapse soon or never."""
    where = load(folder).identities
    problems: tuple[Problem, ...] = ()
    notices: list[Problem] = []
    count = 0
    try:
        identities = load_identities(where)
        count = len(identities.agents)
        today = datetime.now(UTC).date()
        notices = [n for agent in identities.agents.values() for n in _notices(agent, today)]
    except Problems as found:
        problems = found.problems
    passed = not problems and not (strict and notices)
    if as_json:
        print_json({"ok": passed, "agents": count, "problems": [problem_json(p) for p in problems], "notices": [problem_json(n) for n in notices]})
    else:
        print_problems(problems, sys.stdout)
        print_problems(notices, sys.stdout, style="yellow")
        print(f"{plural(count, 'agent')}, {plural(len(problems), 'problem')}, {plural(len(notices), 'notice')}")
    if not passed:
        raise typer.Exit(1)


def _notices(agent: Agent, today: date) -> list[Problem]:
    if agent.status == "retired":
        return []
    ends = [c.not_after for c in agent.credentials if not isinstance(c, FederatedCredential) and c.not_after is not None]
    if ends and min(ends) < today + EXPIRES_SOON:
        remedy = "give it a new key beside the old one, then remove the old one"
        message = f"a key of {agent.id!r} is good until {min(ends)} only"
        return [Problem("key_ends_soon", message, file=agent.file, key="credential.not_after", remedy=remedy)]
    if agent.expires is None:
        remedy = f"write a day to review it, like expires = {today + timedelta(days=365)}"
        return [Problem("never_expires", f"the registration of {agent.id!r} never lapses", file=agent.file, key="agent.expires", remedy=remedy)]
    if agent.expires < today + EXPIRES_SOON:
        words = "has lapsed" if agent.expires < today else "lapses soon"
        remedy = "review the agent with its owner, then write a later day or retire it"
        message = f"the registration of {agent.id!r} {words} ({agent.expires})"
        return [Problem("expires_soon", message, file=agent.file, key="agent.expires", remedy=remedy)]
    return []


def new_run() -> str:
    """A name for one execution of an agent; it stands in the token and so in the decision log."""
    return f"run-{secrets.token_hex(8)}"
