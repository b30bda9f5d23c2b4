"""Credentials of a deployment: from a permit to the one request that may leave, with the tool's credential in it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from gateway.call import CredentialUse, Grant, Invocation, Permit
from gateway.config.model import CredentialSettings, Settings, ToolSettings
from gateway.errors import Problem, Problems, Refusal
from gateway.inject import headers as fields
from gateway.inject.environment import EnvironmentSource
from gateway.inject.file import FileSource
from gateway.inject.fingerprint import Fingerprints
from gateway.inject.request import Target, query_of
from gateway.inject.source import CredentialSource, Unreadable
from gateway.secret import Secret


@dataclass(slots=True)
class _Credential:
    """A credential, its source, and what was derived from the value it has now: kept until the source hands out another Secret."""

    settings: CredentialSettings
    source: CredentialSource
    value: Secret | None = None
    placed: Secret | None = None
    use: CredentialUse | None = None


class Credentials:
    """What a deployment's tools need to be called. Made by `load`; a reload makes another."""

    def __init__(self, credentials: Mapping[str, _Credential], fingerprints: Fingerprints) -> None:
        self._credentials = credentials
        self._fingerprints = fingerprints
        self._targets: dict[str, tuple[ToolSettings, Target]] = {}

    @classmethod
    def load(cls, settings: Settings) -> Credentials:
        """Open every source; secrets themselves may still be missing (see `check`). Raises Problems for settings that can never work."""
        problems: list[Problem] = []
        credentials: dict[str, _Credential] = {}
        for name, credential in settings.credentials.items():
            problems += _faults(credential)
            source = open_source(credential.secret, settings.folder)
            if source is None:
                problems.append(_problem(credential, "unknown_scheme", "secret is neither env:NAME nor file:PATH", 'write secret = "env:NAME"'))
            else:
                credentials[name] = _Credential(credential, source)
        for tool in settings.tools.values():
            problems += _tool_faults(tool, settings.credentials)
        if problems:
            raise Problems(problems)
        return cls(credentials, Fingerprints(settings.keys))

    def check(self) -> list[Problem]:
        """Every credential that cannot be had or placed now, as `portreeve check` shows it. Never shows a value."""
        problems = []
        for credential in self._credentials.values():
            try:
                _place(credential.settings, credential.source.fetch())
            except Unreadable as unreadable:
                problems.append(_problem(credential.settings, "credential_unreadable", unreadable.reason, unreadable.remedy))
        return problems

    def inject(self, permit: Permit, tool: ToolSettings) -> Grant:
        """Build the request that goes up. The secret is fetched here, after the permit, and for the permitted call alone.

        Raises Refusal: credential_unavailable, path_refused, malformed_request, contract_violation; nothing was sent then.
        """
        invocation = permit.invocation
        call = invocation.call
        if tool.name != call.tool:
            raise Refusal("internal_error", reason="the permit is for another tool")
        target = self._target(tool)
        path = target.path(call.path)
        settings, secret, placed, use = None, None, None, None
        if tool.credential is not None:
            credential = self._credentials.get(tool.credential)
            if credential is None:
                raise Refusal("credential_unavailable", reason=f"credential {tool.credential} is not declared")
            settings = credential.settings
            if not target.is_named_by(settings.hosts):
                raise Refusal("credential_unavailable", reason=f"credential {settings.name} is not bound to {target.host}:{target.port}")
            secret, placed, use = self._fetch(credential)
        query: str | Secret = query_of(invocation, settings)
        headers = _headers(invocation, target, has_credential=secret is not None)
        if settings is not None and placed is not None:
            if settings.query:
                query = Secret(f"{query}&{placed.reveal()}" if query else placed.reveal())
            else:
                headers.append((settings.header.lower() if settings.header else "authorization", placed))
        return Grant(
            permit=permit,
            tool=tool.name,
            scheme=target.scheme,
            host=target.host,
            port=target.port,
            method=call.method,
            path=path,
            query=query,
            headers=tuple(headers),
            body=invocation.body,
            credential=use,
            secret=secret,
        )

    def _target(self, tool: ToolSettings) -> Target:
        found = self._targets.get(tool.name)
        if found is not None and found[0] is tool:
            return found[1]
        credential = self._credentials.get(tool.credential) if tool.credential else None
        try:
            target = Target.of(tool, credential.settings if credential else None)
        except ValueError as error:
            raise Refusal("credential_unavailable", reason=f"the base URL of tool {tool.name} is not usable") from error
        self._targets[tool.name] = (tool, target)
        return target

    def _fetch(self, credential: _Credential) -> tuple[Secret, Secret, CredentialUse]:
        """The secret as it is now, as it stands in the request, and how the log names it."""
        settings = credential.settings
        try:
            secret = credential.source.fetch()
            if secret is not credential.value or credential.placed is None or credential.use is None:
                placed, use = _place(settings, secret), CredentialUse(settings.name, credential.source.kind, self._fingerprints.of(secret))
                credential.value, credential.placed, credential.use = secret, placed, use
                return secret, placed, use
        except Unreadable as unreadable:
            raise Refusal("credential_unavailable", reason=f"credential {settings.name}: {unreadable.reason}") from None
        return secret, credential.placed, credential.use


def open_source(reference: str, folder: Path) -> CredentialSource | None:
    """The source for a reference such as `env:NAME` or `file:PATH` (relative to `folder`); None when no source knows its scheme."""
    scheme, _, rest = reference.partition(":")
    if scheme == "env" and rest:
        return EnvironmentSource(rest)
    if scheme == "file" and rest:
        return FileSource(folder / rest)
    return None


def _headers(invocation: Invocation, target: Target, *, has_credential: bool) -> list[tuple[str, str | Secret]]:
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


def _place(settings: CredentialSettings, secret: Secret) -> Secret:
    """The secret as it stands in the request: a header's value, or a query parameter with its name. Raises Unreadable."""
    text = secret.reveal()
    if settings.query:
        return Secret(f"{quote(settings.query, safe='')}={quote(text, safe='')}")
    if settings.basic_user is not None:
        return Secret("Basic " + base64.b64encode(f"{settings.basic_user}:{text}".encode()).decode("ascii"))
    if not text.isascii() or text != text.strip():
        raise Unreadable("the secret cannot stand in a header: it is not ASCII, or has a space at an end", "store the credential alone")
    return Secret(settings.format.replace("{secret}", text))


def _problem(credential: CredentialSettings, code: str, message: str, remedy: str, key: str = "secret") -> Problem:
    return Problem(code, message, file=credential.file, line=credential.line, key=f"credential.{credential.name}.{key}", remedy=remedy)


def _faults(credential: CredentialSettings) -> list[Problem]:
    """What is wrong with a credential's settings by themselves."""
    found = []
    places = [p for p in (credential.header, credential.query, credential.basic_user) if p is not None]
    if len(places) != 1:
        remedy = "give exactly one of header, query and basic_user"
        found.append(_problem(credential, "credential_place", f"{len(places)} places for one credential", remedy, "header"))
    name = (credential.header or "authorization").lower()
    if not fields.is_field_name(name) or name in fields.HOP_BY_HOP | {"host", "content-length", "content-type", "accept-encoding"}:
        found.append(_problem(credential, "credential_header", f"no credential can travel in {name!r}", 'write header = "authorization"', "header"))
    if credential.format.count("{secret}") != 1 or not credential.format.isprintable() or not credential.format.isascii():
        found.append(_problem(credential, "credential_format", "format must hold {secret} once", 'write format = "Bearer {secret}"', "format"))
    if not credential.hosts:
        found.append(_problem(credential, "credential_hosts", "bound to no host", "name the hosts it may be sent to", "hosts"))
    return found


def _tool_faults(tool: ToolSettings, credentials: Mapping[str, CredentialSettings]) -> list[Problem]:
    """What is wrong between a tool and its credential, or with the headers it lets through."""

    def problem(code: str, key: str, message: str, remedy: str) -> Problem:
        return Problem(code, message, file=tool.file, line=tool.line, key=f"tool.{tool.name}.{key}", remedy=remedy)

    found = [
        problem("header_never_forwarded", "request_headers", f"{name} is never let through to an upstream", f"take {name} out of request_headers")
        for name in tool.request_headers
        if fields.is_never(name.lower())
    ]
    credential = credentials.get(tool.credential) if tool.credential else None
    if tool.credential and credential is None:
        found.append(problem("unknown_credential", "credential", f"there is no [credential.{tool.credential}]", "declare it, or take it out"))
    try:
        target = Target.of(tool, credential)
    except ValueError:
        return [*found, problem("bad_url", "url", "not a plain base URL", "write scheme, host, optional port and path")]
    if credential is not None and not target.is_named_by(credential.hosts):
        message = f"credential {credential.name} is not bound to {target.host}:{target.port}"
        found.append(problem("credential_host", "url", message, f'add "{target.host}:{target.port}" to credential.{credential.name}.hosts'))
    return found
