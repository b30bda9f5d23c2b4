"""Which operations of a tool have nothing left of a session policy that is filled from their arguments: told before any call is refused for it."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.config.model import CredentialSettings, ToolSettings
from gateway.config.session_policy import needed, statements
from gateway.config.sources import StsSettings
from gateway.errors import Problem
from gateway.tools.plan import Plan


def unnarrowable(tool: ToolSettings, credential: CredentialSettings | None, plans: Mapping[str, Plan]) -> list[Problem]:
    """Nothing that stops the start. Operations with a body are passed over: what stands in it is known when it comes."""
    source = credential.source if credential else None
    if not isinstance(source, StsSettings):
        return []
    allowing = [needed(statement) for statement in statements(source.policy) if isinstance(statement, dict) and statement["Effect"] == "Allow"]
    names = [name for name, plan in plans.items() if plan.body is None and not any(need <= _arguments(plan) for need in allowing)]
    if tool.contract is None and not tool.operations and all(allowing):
        names = ["calls of a tool without contract"]
    if not names:
        return []
    message = f"{', '.join(names)}: no statement of the session policy has all its arguments there, so calls are refused"
    remedy = "correct the names after args., or write a statement for them"
    return [Problem("never_narrowed", message, file=tool.file, line=tool.line, key=f"tool.{tool.name}.credential", remedy=remedy)]


def _arguments(plan: Plan) -> set[str]:
    return {parameter.argument for parameter in (*plan.path, *plan.query.values(), *plan.headers.values())}
