"""Reads `issuers.toml`: every issuer whose tokens count. No other is ever consulted."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import cast
from urllib.parse import urlsplit

from gateway.config.addresses import is_refused
from gateway.config.kinds import Fault, base_url, is_loopback
from gateway.identities.issuer import TTL_S_MAX, Check, Issuer, Kind, Source, Use
from gateway.identities.jwk import ALGORITHMS, OTHER_NAMES
from gateway.identities.matching import fault_of
from gateway.identities.model import ISSUER_NAME
from gateway.identities.table import Table

FOREIGN_TTL_S_MAX = 86_400
FOREIGN_TTL_S_DEFAULT = 3_600
ABSENT = "absent"
ISSUERS_REMEDY = 'write it with these lines: schema = 1, [issuer.gateway], kind = "self"'

_TYPS: Mapping[str, tuple[str | None, ...]] = {"oidc": ("JWT", None), "kubernetes": ("JWT", None), "spiffe": ("JWT", "JOSE", None)}
_TYP = re.compile(r"[A-Za-z0-9.+/-]{1,64}")
_ISSUER_URL = re.compile(r"https?://[A-Za-z0-9.:/_~\[\]%@-]{1,500}")
_AUDIENCE = re.compile(r"[A-Za-z0-9.:/_~\[\]@-]{1,255}")
_TRUST_DOMAIN = re.compile(r"[a-z0-9._-]{1,255}")
_CLAIM = re.compile(r"[A-Za-z0-9_.:/-]{1,128}")


def read_issuers(top: Table, folder: Path) -> dict[str, Issuer]:
    """Every [issuer.NAME]; faults go into the table. Relative files start at `folder`."""
    found: dict[str, Issuer] = {}
    section = top.table("issuer")
    top.close()
    for name in section.values:
        table = section.table(name)
        if not ISSUER_NAME.fullmatch(name):
            table.wrong("bad_name", "", f"{name[:80]!r} is not a valid issuer name", "use lower-case letters, digits and hyphens")
        kind = table.choice("kind", ("self", *_TYPS), required='write kind = "self" for the gateway\'s own tokens, or oidc, kubernetes, spiffe')
        if kind == "self":
            found[name] = Issuer(name, "self", table.duration("max_ttl", TTL_S_MAX, default=TTL_S_MAX))
        elif kind:
            found[name] = _foreign(table, name, cast("Kind", kind), folder)
        else:
            continue
        table.close()
    own = [name for name, issuer in found.items() if issuer.kind == "self"]
    if not section.values or (not own and not top.problems):
        top.wrong("no_issuers", "issuer", "the gateway itself is not named", ISSUERS_REMEDY)
    if len(own) > 1:
        top.wrong("duplicate", "issuer", 'more than one issuer of kind "self"', "keep one; the gateway has one set of keys")
    _check_told_apart(section, found)
    return found


def _foreign(table: Table, name: str, kind: Kind, folder: Path) -> Issuer:
    spiffe = kind == "spiffe"
    algorithms = table.texts("algs", re.compile("|".join((*ALGORITHMS, *OTHER_NAMES))))
    if not algorithms:
        table.wrong("missing_key", "algs", "names no algorithm", f'write what it signs with, like algs = ["RS256"]; known: {", ".join(ALGORITHMS)}')
    typs = table.texts("typ", _TYP)
    token = table.path_of("token", folder) if kind == "kubernetes" else None
    issuer = Issuer(
        name,
        kind,
        max_ttl_s=table.duration("max_ttl", FOREIGN_TTL_S_MAX, default=FOREIGN_TTL_S_DEFAULT),
        url=table.text("url", _ISSUER_URL, required="" if spiffe else "write what its tokens have as iss"),
        trust_domain=table.text("trust_domain", _TRUST_DOMAIN, required='write trust_domain = "example.org"') if spiffe else "",
        source=_source(table, folder, token),
        audience=table.text("audience", _AUDIENCE, required='write what its tokens for this gateway have as aud, like "https://gw.example.com"'),
        algorithms=tuple(dict.fromkeys(OTHER_NAMES.get(alg, alg) for alg in algorithms)),
        typs=tuple(None if typ == ABSENT else typ for typ in typs) or _TYPS[kind],
        require=read_patterns(table, "require"),
        use=cast("Use", table.choice("use", ("exchange", "direct")) or "exchange"),
        check=cast("Check", table.choice("check", ("jwks", "tokenreview")) or "jwks") if kind == "kubernetes" else "jwks",
        review=_url(table, "review", table.text("review")) if kind == "kubernetes" else "",
        single_use=table.flag("single_use") if "single_use" in table.values else kind == "oidc",
        user_claim=table.text("user_claim", _CLAIM, default="sub") if kind == "oidc" else "sub",
        unnamed_key=table.flag("unnamed_key"),
        disabled=table.flag("disabled"),
    )
    table.taken.add("single_use")
    if issuer.check == "tokenreview" and not (issuer.review and token):
        remedy = 'write review = "https://kubernetes.default.svc" and token = "file:/var/run/secrets/kubernetes.io/serviceaccount/token"'
        table.wrong("missing_key", "check", "tokenreview needs the API's address and a token for it", remedy)
    return issuer


def _source(table: Table, folder: Path, token: Path | None) -> Source:
    jwks = table.text("jwks", required='write where its keys are: jwks = "https://..." or jwks = "file:PATH"')
    ca = table.path_of("ca", folder)
    if jwks.startswith("file:"):
        return Source(file=table.path_of("jwks", folder), ca=ca)
    return Source(url=_url(table, "jwks", jwks), ca=ca, token=token)


def _url(table: Table, key: str, text: str) -> str:
    """A URL that the gateway itself calls: encrypted unless it stays on this machine, and never a metadata service."""
    if not text:
        return ""
    try:
        found = base_url(text)
    except Fault as fault:
        table.wrong(fault.code, key, fault.message, fault.remedy)
        return ""
    host = urlsplit(found).hostname or ""
    if found.startswith("http://") and not is_loopback(host):
        table.wrong("plain_http", key, "would be fetched unencrypted, so anybody on the way could choose the keys", "write https://")
    elif _is_refused(host):
        table.wrong("bad_url", key, "points to a link-local, multicast or unspecified address", "name the service's own address")
    return found


def _is_refused(host: str) -> bool:
    try:
        return is_refused(host)
    except ValueError:  # a name, which is looked at when it is called
        return False


def read_patterns(table: Table, key: str) -> Mapping[str, str]:
    """A table of claim to pattern."""
    found: dict[str, str] = {}
    inner = table.table(key)
    for name in inner.values:
        pattern = inner.text(name)
        if not _CLAIM.fullmatch(name):
            inner.wrong("bad_name", name, "is not a claim's name", f"use only {_CLAIM.pattern}; nested claims with /")
        why = fault_of(pattern)
        if why:
            inner.wrong("bad_pattern", name, why, "write the whole value, or one * within its last segment")
        if pattern:
            found[name] = pattern
    return MappingProxyType(found)


def _check_told_apart(section: Table, found: Mapping[str, Issuer]) -> None:
    """A token must lead to one issuer only: `iss`, or the trust domain of a SPIFFE id, is taken once."""
    seen: dict[str, str] = {}
    for name, issuer in found.items():
        for key in filter(None, (issuer.url, issuer.trust_domain and f"spiffe://{issuer.trust_domain}")):
            if key in seen:
                section.table(name).wrong("duplicate", "url", f"{key} is the issuer {seen[key]!r}, too", "keep one of the two")
            seen[key] = name
