"""Names the contract beside a fault in a policy that may come from it: whoever changed an argument must find out which rule rests on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from gateway.authorize.plans import Plan
from gateway.authorize.policy import Policy, keys_of
from gateway.config.model import ToolSettings
from gateway.errors import Problem

_CODES = frozenset({"unknown_argument", "policy_invalid", "policy_never_applies"})
_FROM_CONTRACTS = frozenset({"input", "raw", "facts"})
_NAMED_MAX = 3


def with_contracts(
    problems: Iterable[Problem], policies: Sequence[Policy], plans: Mapping[str, Plan], tools: Iterable[ToolSettings]
) -> list[Problem]:
    """The same problems. Where a policy that reads arguments no longer fits, the remedy says where those arguments are declared."""
    files = {tool.name: tool.contract.name if tool.contract else "gateway.toml" for tool in tools if tool.contract or tool.operations}
    return [_named(problem, policies, plans, files) if problem.code in _CODES else problem for problem in problems]


def _named(problem: Problem, policies: Sequence[Policy], plans: Mapping[str, Plan], files: Mapping[str, str]) -> Problem:
    policy = next((policy for policy in policies if policy.piece.holds(problem)), None)
    if policy is None or not any(path and path[0] in _FROM_CONTRACTS for path in policy.paths):
        return problem
    about = [p.operation for p in plans.values() if not set(policy.actions).isdisjoint(keys_of(p.action, p.groups)) and p.operation.tool in files]
    declared = sorted({f"{files[operation.tool]} declares the arguments of {operation.action}" for operation in about if operation.input_schema})
    if not declared:
        return problem
    more = f" and {len(declared) - _NAMED_MAX} more" if len(declared) > _NAMED_MAX else ""
    said = f"{', '.join(declared[:_NAMED_MAX])}{more}"
    remedy = f"{problem.remedy}; {said}" if problem.remedy else said
    return Problem(problem.code, problem.message, file=problem.file, line=problem.line, column=problem.column, key=problem.key, remedy=remedy)
