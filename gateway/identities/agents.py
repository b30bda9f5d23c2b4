"""Reads one agent's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from gateway import canonical
from gateway.identities.issuer import TTL_S_MAX
from gateway.identities.issuers import read_patterns
from gateway.identities.jwk import JwkError, read_jwk
from gateway.identities.model import (
    AGENT_ID,
    CHAIN_MAX,
    GROUP,
    ISSUER_NAME,
    SCOPE,
    TTL_S_DEFAULT,
    Agent,
    Attribute,
    Credential,
    Delegation,
    EnrolledKeys,
    FederatedCredential,
    KeyCredential,
    Pop,
    Status,
)
from gateway.identities.table import Table

ATTRIBUTES_MAX = 64
CREDENTIALS_MAX = 32
KID = re.compile(r"[A-Za-z0-9._-]{1,128}")

_OWNER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@+/-]{0,127}")
_AUDIENCE = re.compile(r"https?://[A-Za-z0-9.:/_~\[\]-]{1,255}")
_ATTRIBUTE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def read_agent(top: Table, stem: str) -> Agent:
    """The agent of a file named `stem`.toml; faults go into the table."""
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
        pop=cast("Pop", token.choice("pop", ("none", "optional", "required")) or "optional"),
        delegation=Delegation(
            may_act_for_users=delegation.flag("may_act_for_users"),
            user_issuers=delegation.texts("user_issuers", ISSUER_NAME),
            may_delegate_to=delegation.texts("may_delegate_to", AGENT_ID),
            max_depth=delegation.number("max_depth", 0, CHAIN_MAX - 1, default=0),
        ),
        credentials=_credentials(top),
        file=top.file,
    )
    if agent.delegation.user_issuers and not agent.delegation.may_act_for_users:
        delegation.wrong("contradiction", "user_issuers", "names issuers of users it may not act for", "write may_act_for_users = true, or remove it")
    for each in (table, token, delegation, top):
        each.close()
    return agent


def _credentials(top: Table) -> tuple[Credential, ...]:
    """Each [[credential]]: one way in which the agent may prove who it is."""
    found: list[Credential] = []
    tables = top.tables("credential")
    if len(tables) > CREDENTIALS_MAX:
        top.wrong("too_many", "credential", f"more than {CREDENTIALS_MAX} credentials", "remove those that are no longer used")
    for table in tables:
        kind = table.choice("kind", ("key", "enrolled", "federated"), required='write kind = "key", "enrolled" or "federated"')
        if kind == "key":
            credential = _key(table)
            if credential is not None:
                found.append(credential)
        elif kind == "enrolled":
            found.append(EnrolledKeys(table.day("not_after")))
        elif kind == "federated":
            issuer = table.text("issuer", ISSUER_NAME, required="name an issuer of issuers.toml")
            match = read_patterns(table, "match")
            if not match:
                table.wrong("missing_key", "match", "matches every token of the issuer", 'write for example match = { sub = "repo:acme/site" }')
            found.append(FederatedCredential(issuer, match))
        if kind:
            table.close()
    return tuple(found)


def _key(table: Table) -> KeyCredential | None:
    kid = table.text("kid", KID, required='give the key a name of its own: kid = "support-bot-2026-11"')
    not_after = table.day("not_after")
    jwk = table.table("jwk").values
    try:
        key = read_jwk({**jwk, "kid": jwk.get("kid", kid)})
    except JwkError as error:
        table.wrong("bad_key", "jwk", f"is not a public key to trust: {error}", 'write jwk = { kty = "EC", crv = "P-256", x = "...", y = "..." }')
        return None
    if key.kid != kid:
        table.wrong("name_mismatch", "jwk", "has another kid than the credential", "write the kid once")
    return KeyCredential(kid, key, not_after)


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
