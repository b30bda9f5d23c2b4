"""Reads an identities folder into one snapshot, or says everything that is wrong with it.

The folder: `issuers.toml`, `agents/ID.toml` one per agent, `revoked.toml`. Every file is read once, and the digest covers what was read, so
the snapshot is what the digest names even while somebody edits.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from gateway import canonical
from gateway.config.source import Source, read_source
from gateway.errors import Problem, Problems
from gateway.identities.agents import KID, read_agent
from gateway.identities.issuer import Issuer
from gateway.identities.issuers import ISSUERS_REMEDY, read_issuers
from gateway.identities.jwk import PRIVATE_MEMBERS
from gateway.identities.matching import may_both_match
from gateway.identities.model import (
    AGENT_ID,
    TOKEN_ID,
    Agent,
    Denial,
    FederatedCredential,
    Identities,
    KeyCredential,
    Revoked,
)
from gateway.identities.table import Place, Table, places

FILES_MAX = 10_000
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def load_identities(folder: Path, *, files_max: int = FILES_MAX) -> Identities:
    """Read the whole folder. Raises Problems with every fault found; never returns half a snapshot."""
    problems: list[Problem] = []
    sources = _read(folder, problems, files_max)
    issuers: dict[str, Issuer] = {}
    agents: dict[str, Agent] = {}
    denials: dict[tuple[str, str], Denial] = {}
    tops: dict[str, Table] = {}
    for name, source in sources.items():  # agents come before issuers and denials
        text = source.raw.decode()
        top = Table(source.table, (), source.file, places(text), problems)
        _no_private_key(source.table, text, top)
        top.taken.add("schema")
        if type(source.table.get("schema")) is not int or source.table["schema"] != 1:
            top.wrong("bad_schema", "schema", "must be 1", "write schema = 1 in the first line")
        if name == "issuers.toml":
            issuers = read_issuers(top, folder)
        elif name == "revoked.toml":
            denials = _denials(top, agents)
        else:
            agent = read_agent(top, Path(name).stem)
            agents[agent.id], tops[agent.id] = agent, top
    _check_references(agents, issuers, tops)
    _check_keys(agents, tops)
    _check_ambiguity(agents, tops)
    if problems:
        raise Problems(sorted(problems, key=lambda p: (p.file, p.line)))
    return Identities(
        agents=MappingProxyType(dict(sorted(agents.items()))),
        issuers=MappingProxyType(issuers),
        revoked=Revoked(MappingProxyType(denials)),
        digest=canonical.digest(canonical.dumps({name: canonical.digest(source.raw) for name, source in sources.items()})),
        files=tuple(sources),
    )


def _read(folder: Path, problems: list[Problem], files_max: int) -> dict[str, Source]:
    """All files, by name relative to the folder, in order. A file that would be ignored is a Problem: it was meant to count."""
    if not folder.is_dir():
        raise Problems([Problem("no_folder", "there is no such folder", file=str(folder), remedy="create it with `portreeve init`")])
    found: dict[str, Source] = {}
    paths = [*folder.iterdir(), *((folder / "agents").iterdir() if (folder / "agents").is_dir() else ())]
    paths = sorted(p for p in paths if not p.name.startswith(".") and not p.name.endswith("~") and p.name not in {"README.md", "agents"})
    if len(paths) > files_max:
        raise Problems([Problem("too_many_files", f"holds more than {files_max} files", file=str(folder), remedy="split the deployment")])
    for path in paths:
        name = path.relative_to(folder).as_posix()
        if not (name in {"issuers.toml", "revoked.toml"} or (name.startswith("agents/") and name.endswith(".toml"))):
            remedy = "agents stand in agents/ID.toml, issuers in issuers.toml, denials in revoked.toml; remove anything else"
            problems.append(Problem("unknown_file", "would not be read", file=str(path), remedy=remedy))
            continue
        try:
            found[name] = read_source(path)
        except Problem as problem:
            problems.append(problem)
    if not (folder / "issuers.toml").exists():
        problems.append(Problem("no_issuers", "is missing", file=str(folder / "issuers.toml"), remedy=ISSUERS_REMEDY))
    return found


def _no_private_key(document: Mapping[str, Any], text: str, top: Table) -> None:
    """These files are reviewed and copied widely, so a private key in one of them is public."""
    leaked: list[Place] = []
    level: list[tuple[Place, Any]] = [((), document)]
    while level:
        path, item = level.pop()
        if isinstance(item, dict):
            if "kty" in item and PRIVATE_MEMBERS & item.keys():
                leaked.append(path)
            level += [((*path, name), value) for name, value in item.items()]
        elif isinstance(item, list):
            level += [((*path, number), value) for number, value in enumerate(item)]
        elif isinstance(item, str) and _PEM.search(item):
            leaked.append(path)
    if not leaked and _PEM.search(text):  # in a comment
        leaked.append(())
    for path in leaked:
        where = Table({}, path, top.file, top.lines, top.problems)
        where.wrong(
            "private_key",
            "",
            "this file must not contain a private key",
            "keep only the public members (kty, crv, x, y); replace the key, it has leaked",
        )


def _check_references(agents: Mapping[str, Agent], issuers: Mapping[str, Issuer], tops: Mapping[str, Table]) -> None:
    """Names must lead somewhere, and to what they are good for."""
    known = f"known issuers: {', '.join(sorted(issuers))}"
    for identity, top in tops.items():
        agent, delegation = agents[identity], top.table("delegation")
        for other in agent.delegation.may_delegate_to:
            _known(other, agents, delegation, "may_delegate_to")
        for name in agent.delegation.user_issuers:
            if name not in issuers or issuers[name].kind != "oidc":
                delegation.wrong("unknown_reference", "user_issuers", f"there is no issuer {name!r} of kind oidc", known)
        for table, credential in zip(top.tables("credential"), agent.credentials, strict=False):
            if isinstance(credential, FederatedCredential) and (credential.issuer not in issuers or issuers[credential.issuer].kind == "self"):
                table.wrong("unknown_reference", "issuer", f"there is no other issuer {credential.issuer!r}", known)


def _check_keys(agents: Mapping[str, Agent], tops: Mapping[str, Table]) -> None:
    """One key, one name, one agent: a key that two agents have proves neither."""
    seen: dict[str, str] = {}
    for agent in agents.values():
        for number, credential in enumerate(agent.credentials):
            if not isinstance(credential, KeyCredential):
                continue
            for taken in (f"kid {credential.kid}", f"key {credential.key.thumbprint}"):
                if taken in seen:
                    message = f"the {taken.split(' ', maxsplit=1)[0]} is {seen[taken]}'s, too"
                    tops[agent.id].wrong_at(("credential", number, "kid"), "duplicate", message, "make a key of its own for each agent")
                seen.setdefault(taken, agent.id)


def _check_ambiguity(agents: Mapping[str, Agent], tops: Mapping[str, Table]) -> None:
    """A token that could be two agents' is a fault of the files. Those with a whole `sub` are compared only with the same `sub`."""
    by_subject: dict[tuple[str, str], list[tuple[str, int, FederatedCredential]]] = {}
    for agent in agents.values():
        for number, credential in enumerate(agent.credentials):
            if isinstance(credential, FederatedCredential):
                subject = credential.match.get("sub", "*")
                key = (credential.issuer, "" if "*" in subject else subject)
                by_subject.setdefault(key, []).append((agent.id, number, credential))
    for (issuer, subject), mine in by_subject.items():
        others = mine if subject == "" else [*mine, *by_subject.get((issuer, ""), ())]
        for (one, number, credential), (other, _, wide) in itertools.product(mine, others):
            if one != other and (one > other or wide not in [c for _, _, c in mine]) and may_both_match(credential.match, wide.match):
                message = f"one token could be {one!r} and {other!r}"
                remedy = "match something that only one of them has"
                tops[one].wrong_at(("credential", number, "match"), "ambiguous_match", message, remedy)


def _denials(top: Table, agents: Mapping[str, Agent]) -> dict[tuple[str, str], Denial]:
    found: dict[tuple[str, str], Denial] = {}
    kinds: tuple[tuple[Literal["jti", "kid", "agent"], re.Pattern[str]], ...] = (("jti", TOKEN_ID), ("kid", KID), ("agent", AGENT_ID))
    for table in top.tables("denial"):
        reason = table.text("reason", required='say why: reason = "..."')
        until = table.instant("until")
        named = [(kind, table.text(kind, pattern)) for kind, pattern in kinds if kind in table.values]
        table.taken |= {kind for kind, _ in kinds}
        if len(named) != 1:
            table.wrong("bad_denial", "", "must name exactly one of jti, kid, agent", "write one [[denial]] per thing to deny")
        elif named[0][1]:
            if named[0][0] == "agent":
                _known(named[0][1], agents, table, "agent")
            if named[0] in found:
                table.wrong("duplicate", named[0][0], f"{named[0][1]!r} is denied twice", "keep one of the two")
            found[named[0]] = Denial(*named[0], reason, until)
        table.close()
    top.close()
    return found


def _known(name: str, agents: Mapping[str, Agent], table: Table, key: str) -> None:
    """References must lead somewhere: a denial of a misspelt agent would stop nobody."""
    if name not in agents:
        table.wrong("unknown_reference", key, f"there is no agent {name!r}", f"known agents: {', '.join(sorted(agents)[:20]) or 'none'}")
