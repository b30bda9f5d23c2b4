"""Reads an identities folder into one snapshot, or says everything that is wrong with it.

The folder: `issuers.toml`, `agents/ID.toml` one per agent, `revoked.toml`. Every file is read once, and the digest covers what was read, so
the snapshot is what the digest names even while somebody edits.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, cast

from gateway import canonical
from gateway.config.source import Source, read_source
from gateway.errors import Problem, Problems
from gateway.identities.model import (
    AGENT_ID,
    CHAIN_MAX,
    GROUP,
    SCOPE,
    TOKEN_ID,
    TTL_S_DEFAULT,
    TTL_S_MAX,
    Agent,
    Attribute,
    Delegation,
    Denial,
    Identities,
    Issuer,
    Revoked,
    Status,
)
from gateway.identities.table import Table, places

FILES_MAX = 10_000
ATTRIBUTES_MAX = 64

_ISSUER_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,127}")
_AUDIENCE = re.compile(r"https?://[A-Za-z0-9.:/_~\[\]-]{1,255}")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_KID = re.compile(r"[A-Za-z0-9._-]{1,128}")
_PRIVATE_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
_ISSUER_KINDS_PLANNED = ("oidc", "kubernetes", "spiffe")
_ISSUERS_REMEDY = 'write it with these lines: schema = 1, [issuer.gateway], kind = "self"'


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
            issuers = _issuers(top)
        elif name == "revoked.toml":
            denials = _denials(top, agents)
        else:
            agent = _agent(top, Path(name).stem)
            agents[agent.id], tops[agent.id] = agent, top
    for identity, top in tops.items():
        for other in agents[identity].delegation.may_delegate_to:
            _known(other, agents, top.table("delegation"), "may_delegate_to")
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
        problems.append(Problem("no_issuers", "is missing", file=str(folder / "issuers.toml"), remedy=_ISSUERS_REMEDY))
    return found


def _no_private_key(document: Mapping[str, Any], text: str, top: Table) -> None:
    """These files are reviewed and copied widely, so a private key in one of them is public."""
    level: list[Any] = [document]
    leaked = bool(re.search(r"-----BEGIN [A-Z ]*PRIVATE KEY-----", text))
    while level and not leaked:
        item = level.pop()
        if isinstance(item, dict):
            leaked = "kty" in item and bool(_PRIVATE_MEMBERS & item.keys())
            level += item.values()
        elif isinstance(item, list):
            level += item
    if leaked:
        top.wrong(
            "private_key",
            "",
            "this file must not contain a private key",
            "keep only the public members (kty, crv, x, y); replace the key, it has leaked",
        )


def _issuers(top: Table) -> dict[str, Issuer]:
    found: dict[str, Issuer] = {}
    section = top.table("issuer")
    top.close()
    for name in section.values:
        table = section.table(name)
        if not _ISSUER_NAME.fullmatch(name):
            table.wrong("bad_name", "", f"{name[:80]!r} is not a valid issuer name", "use lower-case letters, digits and hyphens")
        kind = table.text("kind", required='write kind = "self" for the gateway\'s own tokens')
        if kind in _ISSUER_KINDS_PLANNED:
            remedy = 'remove this issuer; only kind = "self" is accepted'
            table.wrong("issuer_not_supported", "kind", f"tokens of {kind!r} issuers are not supported yet", remedy)
            continue
        if kind and kind != "self":
            table.wrong("unknown_issuer_kind", "kind", f"{kind[:80]!r} is not a kind of issuer", 'write kind = "self"')
        found[name] = Issuer(name, "self", table.duration("max_ttl", TTL_S_MAX, default=TTL_S_MAX))
        table.close()
    if not section.values:
        top.wrong("no_issuers", "issuer", "no issuer is named", _ISSUERS_REMEDY)
    elif len(found) > 1:
        top.wrong("duplicate", "issuer", 'more than one issuer of kind "self"', "keep one; the gateway has one set of keys")
    return found


def _agent(top: Table, stem: str) -> Agent:
    table, token = top.table("agent"), top.table("token")
    delegation = top.table("delegation")
    identity = table.text("id", AGENT_ID, required=f'write id = "{stem}" below [agent]', default=stem)
    if identity != stem:
        table.wrong("name_mismatch", "id", f"{identity!r} is not the name of the file", f"rename the file to {identity}.toml, or write id = {stem!r}")
    status = table.text("status", default="active")
    if status not in {"active", "suspended", "retired"}:
        table.wrong("bad_status", "status", f"{status[:80]!r} is not a status", "write active, suspended or retired")
    agent = Agent(
        id=stem,
        owner=table.text("owner", _OWNER, required='name who answers for this agent: owner = "team:NAME"'),
        description=table.text("description"),
        status=cast("Status", status),
        expires=table.day("expires"),
        groups=table.texts("groups", GROUP),
        attributes=_attributes(table.table("attributes")),
        ttl_s=token.duration("ttl", TTL_S_MAX, default=TTL_S_DEFAULT),
        audiences=token.texts("audiences", _AUDIENCE),
        scopes=token.texts("scopes", SCOPE),
        delegation=Delegation(
            may_act_for_users=delegation.flag("may_act_for_users"),
            may_delegate_to=delegation.texts("may_delegate_to", AGENT_ID),
            max_depth=delegation.number("max_depth", 0, CHAIN_MAX - 1, default=0),
        ),
        file=top.file,
    )
    table.close()
    token.close(lambda key: _later(key, "pop", "proof of possession is not supported yet", "remove it; tokens are bearer tokens"))
    delegation.close(lambda key: _later(key, "user_issuers", "users of other issuers are not supported yet", "remove it"))
    top.close(lambda key: _later(key, "credential", "[[credential]] is not supported yet", "remove it; tokens come from `portreeve token`"))
    return agent


def _later(key: str, name: str, message: str, remedy: str) -> tuple[str, str, str] | None:
    """A known setting that has no effect yet is refused, so that nobody relies on it."""
    return ("not_supported", message, remedy) if key == name else None


def _attributes(table: Table) -> Mapping[str, Attribute]:
    found: dict[str, Attribute] = {}
    for name, value in table.values.items():
        if not _ATTRIBUTE.fullmatch(name):
            table.wrong("bad_name", name, "is not a name that policies can use", "use letters, digits and _, not starting with a digit")
        elif type(value) is str:
            if value == "" or table.printable(name, value):
                found[name] = value
        elif type(value) is list and all(type(item) is str for item in value):
            if all(table.printable(name, item) for item in value):
                found[name] = value
        elif type(value) is bool or (type(value) is int and canonical.INTEGER_MIN <= value <= canonical.INTEGER_MAX):
            found[name] = value
        else:
            table.wrong("wrong_type", name, "must be a text, a 64-bit whole number, true, false or a list of texts", "policies know no other type")
    if len(table.values) > ATTRIBUTES_MAX:
        table.wrong("too_many", "", f"more than {ATTRIBUTES_MAX} attributes", "keep what policies use")
    return MappingProxyType(found)


def _denials(top: Table, agents: Mapping[str, Agent]) -> dict[tuple[str, str], Denial]:
    found: dict[tuple[str, str], Denial] = {}
    kinds: tuple[tuple[Literal["jti", "kid", "agent"], re.Pattern[str]], ...] = (("jti", TOKEN_ID), ("kid", _KID), ("agent", AGENT_ID))
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
