"""What is wrong with credentials and the tools they go to, before any call: told by key and line, without a value."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.model import CredentialSettings, ToolSettings
from gateway.errors import Problem
from gateway.inject import headers as fields
from gateway.inject.request import Target


def problem_of(credential: CredentialSettings, code: str, message: str, remedy: str, key: str = "secret") -> Problem:
    return Problem(code, message, file=credential.file, line=credential.line, key=f"credential.{credential.name}.{key}", remedy=remedy)


def faults_of(credential: CredentialSettings) -> list[Problem]:
    """What is wrong with a credential's settings by themselves."""
    found = []
    places = credential.places
    if len(places) != (0 if credential.is_bare else 1):
        remedy = "give exactly one of header, query, basic_user, hmac and sts"
        found.append(problem_of(credential, "credential_place", f"{len(places)} places for one credential", remedy, "header"))
    for name in sorted(credential.written):
        if not fields.is_field_name(name) or name in fields.HOP_BY_HOP | {"host", "content-length", "content-type", "accept-encoding"}:
            key = "hmac.headers" if credential.hmac else "header"
            found.append(problem_of(credential, "credential_header", f"no credential can travel in {name!r}", 'write header = "authorization"', key))
    if credential.format.count("{secret}") != 1 or not credential.format.isprintable() or not credential.format.isascii():
        found.append(problem_of(credential, "credential_format", "format must hold {secret} once", 'write format = "Bearer {secret}"', "format"))
    if not credential.hosts:
        found.append(problem_of(credential, "credential_hosts", "bound to no host", "name the hosts it may be sent to", "hosts"))
    return found


def tool_faults_of(tool: ToolSettings, credentials: Mapping[str, CredentialSettings]) -> list[Problem]:
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
    if credential is not None and credential.mtls is not None and target.scheme != "https":
        found.append(problem("certificate_without_tls", "url", f"shows no certificate, and credential {credential.name} is one", "write https://"))
    if credential is not None and not target.is_named_by(credential.hosts):
        message = f"credential {credential.name} is not bound to {target.host}:{target.port}"
        found.append(problem("credential_host", "url", message, f'add "{target.host}:{target.port}" to credential.{credential.name}.hosts'))
    return found
