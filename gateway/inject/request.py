"""The upstream request of a tool: its fixed parts worked out once, and what of a call is added to them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_plus, urlsplit

from gateway.call import Invocation, Permit
from gateway.config.model import CredentialSettings, ToolSettings
from gateway.errors import Refusal
from gateway.inject import headers as fields
from gateway.inject.source import Need
from gateway.secret import Secret

PORTS = {"http": 80, "https": 443}

# The door made the path canonical; this is the last look before it leaves (RFC 3986 pchar, upper-case hex, no empty or dot segment).
_CANONICAL = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})+)*/?", re.ASCII)
_QUERY = re.compile(r"[!$-;=?-Z_a-z~\[\]\\^`{|}%]*", re.ASCII)
_DOTTED_ESCAPE = re.compile(r"%(?:2E|5C|00|25|23|3F)")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a tool's calls go: everything that no call may change. `authority` is the Host field, without a default port.

    `allowed` are the fields that agents may send on; `taken` those that carry a secret, so that they never may.
    """

    scheme: Literal["http", "https"]
    host: str
    port: int
    authority: str
    prefix: str
    allowed: frozenset[str]
    taken: frozenset[str]

    @classmethod
    def of(cls, tool: ToolSettings, credential: CredentialSettings | None) -> Target:
        """Raises ValueError for a URL that is no plain base URL."""
        parts = urlsplit(tool.url)
        scheme: Literal["http", "https"] = "https" if parts.scheme == "https" else "http"
        if parts.scheme not in PORTS or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
            raise ValueError("not a plain base URL")
        host = parts.hostname
        port = parts.port or PORTS[scheme]
        literal = f"[{host}]" if ":" in host else host
        authority = literal if port == PORTS[scheme] else f"{literal}:{port}"
        own = {name.lower() for name in tool.request_headers if not fields.is_never(name.lower())}
        taken = set(credential.written) if credential else set()
        if tool.token_header:
            taken.add(tool.token_header.lower())  # what agents present there is their token, which never goes up
        passed = fields.ALLOWED - fields.RANGES if credential else fields.ALLOWED
        return cls(scheme, host, port, authority, parts.path.rstrip("/"), (passed | own) - taken, frozenset(taken))

    def is_named_by(self, hosts: tuple[str, ...]) -> bool:
        """Whether this place is one of `hosts`: a bare name stands for every port of that host, `name:port` for one."""
        literal = f"[{self.host}]" if ":" in self.host else self.host
        mine = {self.host, literal, f"{literal}:{self.port}"}
        return any(host.lower() in mine for host in hosts)

    def path(self, path: str) -> str:
        """The full path that goes up. Raises Refusal path_refused for one that is not canonical, whoever failed to refuse it before."""
        if not path.startswith("/") or not _CANONICAL.fullmatch(path) or ("%" in path and _DOTTED_ESCAPE.search(path)):
            raise Refusal("path_refused", reason="the path that would go up is not canonical")
        return self.prefix + path


def query_of(invocation: Invocation, credential: CredentialSettings | None) -> str:
    """The agent's query. It must not name the credential's parameter: an upstream might read the first of two values, or the last."""
    query = invocation.query
    if not _QUERY.fullmatch(query):
        raise Refusal("malformed_request", reason="the query that would go up holds a character that ends a request target")
    if credential and credential.query and query:
        for pair in query.replace(";", "&").split("&"):
            name = unquote_plus(pair.partition("=")[0]).strip()
            if name.partition("[")[0].lower() == credential.query.lower():
                raise Refusal("contract_violation", "This query parameter is set by the gateway", pointer=f"/{credential.query}")
    return query


def need_of(permit: Permit) -> Need:
    invocation = permit.invocation
    return Need(permit.identity, invocation.operation.name, invocation.arguments, invocation.operation.effect)


def headers_of(invocation: Invocation, target: Target, *, has_credential: bool) -> list[tuple[str, str | Secret]]:
    """Host, then what may be passed on. Where a credential goes along, the answer must come uncompressed, or an echo of it could hide."""
    sent = invocation.call.headers
    headers: list[tuple[str, str | Secret]] = [("host", target.authority)]
    arguments = invocation.headers  # policy decided on them, so they are sent, or nothing is
    if not arguments.isdisjoint(target.taken) and any(name in target.taken and name in arguments for name, _ in sent):
        raise Refusal("contract_violation", "A header parameter of this operation is set by the gateway")
    passed = fields.passed_up(sent, target.allowed | arguments if arguments else target.allowed)
    if invocation.body is not None:
        passed = [field for field in passed if field[0] not in ("content-type", "content-encoding")]
        if invocation.content_type is not None:
            passed.append(("content-type", invocation.content_type))
    headers += passed
    headers.append(("accept-encoding", "identity" if has_credential or not fields.accepts_gzip(sent) else "gzip, identity"))
    return headers
