"""What an evaluation means: error, then forbid, then approval, then allow, and deny by default."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.authorize.annotations import APPROVAL_TTL_S, obligations, redactions, seconds
from gateway.authorize.engine import Evaluation
from gateway.authorize.policy import Policy
from gateway.canonical import Json

STOP = "gateway"
"""The member of a recorded context that says: the gateway itself decided, before policy was asked."""

Stop = Literal["halted", "unrepresentable", "unknown_agent", "unknown_operation"]

_NAMED = re.compile(r"`([a-z0-9][a-z0-9._-]*)`")
"""The policy that an error of the engine is about."""

_TEXTS: dict[str, str] = {
    "unknown_agent": "the agent is not registered in this bundle",
    "unknown_operation": "the operation is not part of this bundle",
}


@dataclass(frozen=True, slots=True)
class Judgement:
    """The verdict and what it rests on, all of it sorted, so that a replay gives the same bytes."""

    verdict: Literal["allow", "deny", "hold", "error"]
    reasons: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    obligations: tuple[tuple[str, str], ...] = ()


def stop(kind: Stop, detail: str = "") -> dict[str, Json]:
    """The context member for a call that the gateway stops by itself. Recorded, so that a replay stops it, too."""
    return {STOP: {"stop": kind, "detail": detail}}


def stopped(context: Mapping[str, Json]) -> Judgement | None:
    """The judgement where the gateway decided by itself; None where policy is to be asked."""
    mark = context.get(STOP)
    if mark is None:
        return None
    match mark["stop"]:
        case "halted":
            return Judgement("deny", reasons=("gateway:halted",))
        case "unrepresentable":
            return Judgement("deny", errors=(f"unrepresentable: {mark['detail']}",))
        case kind:
            return Judgement("error", errors=(_TEXTS[kind],))


def judge(evaluation: Evaluation, policies: Mapping[str, Policy]) -> Judgement:
    """Cedar skips a policy that fails, even a forbid, so any error is a deny of its own kind."""
    if evaluation.decision == "none" or evaluation.errors:
        failed = (named[1] for text in evaluation.errors if (named := _NAMED.search(text)))
        near = [policies[name] for name in {*evaluation.reasons, *failed} if name in policies]
        return Judgement("error", evaluation.reasons, evaluation.errors, redactions(near))
    if evaluation.decision == "deny":
        return Judgement("deny", evaluation.reasons, (), redactions([policies[name] for name in evaluation.reasons]))
    owed = obligations([policies[name] for name in evaluation.reasons])
    held = bool(owed) and any(name == "require_approval" for name, _ in owed)
    return Judgement("hold" if held else "allow", evaluation.reasons, (), owed)


def message(judgement: Judgement, policies: Mapping[str, Policy]) -> str:
    """The `@message` of the first determining policy (by @id) that has one. Safe for the agent: its author wrote it for that."""
    for name in judgement.reasons:
        policy = policies.get(name)
        if policy is not None and "message" in policy.annotations:
            return policy.annotations["message"]
    return ""


def approval(judgement: Judgement) -> tuple[str, int]:
    """Who must approve and for how many seconds it would hold. Several permits: all their groups, the shortest time."""
    groups = [value for name, value in judgement.obligations if name == "require_approval"]
    times = [seconds(value) or APPROVAL_TTL_S for name, value in judgement.obligations if name == "approval_ttl"]
    return ",".join(groups), min(times, default=APPROVAL_TTL_S)
