"""Which operations of a tool could not be called with a credential that signs requests, found before any call is."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.model import CredentialSettings, ToolSettings
from gateway.config.signed import BODY_PARTS, parts
from gateway.config.sources import StsSettings
from gateway.errors import Problem
from gateway.tools.plan import Plan


def unsigned_bodies(tool: ToolSettings, credential: CredentialSettings | None, plans: Mapping[str, Plan]) -> list[Problem]:
    """Operations whose body the signature would not cover: a captured one would be good for any other body."""
    if credential is None or credential.hmac is None or parts(credential.hmac.string) & BODY_PARTS:
        return []
    names = ", ".join(name for name, plan in plans.items() if plan.body is not None)
    remedy = f"add {{body_sha256}} or {{body}} to credential.{credential.name}.hmac.string, as the service asks"
    return [_problem(tool, f"{names}: the signature would not cover the body", remedy)] if names else []


def unsignable(tool: ToolSettings, credential: CredentialSettings | None, plans: Mapping[str, Plan]) -> list[Problem]:
    """Calls that will be refused since their bodies stream: nothing that stops the start."""
    if credential is None or not _signs_bodies(tool, credential):
        return []
    if tool.contract is None and not tool.operations:
        return [_problem(tool, "has no contract, so calls with a body stream it unsigned: they are refused", "describe its operations")]
    names = ", ".join(name for name, plan in plans.items() if plan.body is not None and plan.body.kind == "opaque")
    return [_problem(tool, f"{names}: the body streams, and cannot be signed: calls are refused", "describe it as JSON or a form")] if names else []


def _signs_bodies(tool: ToolSettings, credential: CredentialSettings) -> bool:
    """Whether the signature covers every body. S3 takes a body unsigned where TLS protects it."""
    source = credential.source
    if isinstance(source, StsSettings):
        return not (source.is_store and tool.url.startswith("https:"))
    return credential.hmac is not None


def _problem(tool: ToolSettings, message: str, remedy: str) -> Problem:
    return Problem("unsigned_body", message, file=tool.file, line=tool.line, key=f"tool.{tool.name}.credential", remedy=remedy)
