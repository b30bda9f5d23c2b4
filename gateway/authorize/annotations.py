"""The closed vocabulary of policy annotations, and what is owed when an annotated permit decides."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

from gateway.authorize.policy import Policy
from gateway.authorize.spelling import closest
from gateway.authorize.syntax import tokens
from gateway.errors import Problem
from gateway.logmode import REDACT, rules_of

APPROVAL_TTL_S = 900
APPROVAL_TTL_S_MAX = 86_400
OBLIGATIONS = ("approval_ttl", "require_approval")

_ID = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}")
_GROUP = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DURATION = re.compile(r"([1-9][0-9]{0,5})([smh])")
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def seconds(text: str) -> int | None:
    """A duration such as `15m` in seconds; None when it is not one."""
    found = _DURATION.fullmatch(text)
    return int(found[1]) * _SECONDS[found[2]] if found else None


def date_of(text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if len(text) == 10 else None
    except ValueError:
        return None


def is_expired(policy: Policy, today: dt.date) -> bool:
    """Whether the policy is past its `@expires` day. It still applies: a forbid that goes away by itself would let calls through."""
    expires = date_of(policy.annotations.get("expires", ""))
    return expires is not None and expires < today


def _words(text: str) -> bool:
    return 0 < len(text) <= 300 and text.isprintable()


def _redaction(text: str) -> bool:
    try:
        return bool(rules_of(text))
    except ValueError:
        return False


def _ttl(text: str) -> bool:
    value = seconds(text)
    return value is not None and value <= APPROVAL_TTL_S_MAX


VOCABULARY: dict[str, tuple[Callable[[str], bool], str]] = {
    "id": (lambda t: bool(_ID.fullmatch(t)), 'a name in lower case, such as @id("refund-limit")'),
    "description": (bool, "a text"),
    "owner": (_words, "who answers for the policy, in at most 300 characters"),
    "mode": (lambda t: t in {"enforce", "shadow"}, '@mode("enforce") or @mode("shadow")'),
    "require_approval": (lambda t: bool(_GROUP.fullmatch(t)), 'the group that may approve, such as @require_approval("support-leads")'),
    "approval_ttl": (_ttl, 'a duration of at most 24h, such as @approval_ttl("15m")'),
    "message": (_words, "what the agent is told, in at most 300 characters and one line"),
    REDACT: (_redaction, 'JSON pointers into the arguments, such as @redact("/ssn") or @redact("/ssn=hmac /card/number=drop")'),
    "undo": (bool, "a text"),
    "expires": (lambda t: date_of(t) is not None, 'a date, such as @expires("2027-03-31")'),
}
"""Annotation -> (is this value well-formed?, what to write)."""

_NOT_ENFORCED = ("undo",)
_PERMIT_ONLY = ("require_approval", "approval_ttl", *_NOT_ENFORCED)


def check(policies: Iterable[Policy]) -> list[Problem]:
    """Everything wrong with the annotations: an unknown name, a missing or repeated @id, a malformed value, an obligation nobody would meet."""
    problems: list[Problem] = []
    seen: dict[str, Policy] = {}
    for policy in policies:
        if "id" not in policy.annotations:
            problems.append(_problem(policy, "policy_without_id", "this policy has no @id", 'name it: @id("...")'))
        elif policy.id in seen:
            other = seen[policy.id].piece
            message = f"@id {policy.id!r} is also at {other.file}:{other.line}"
            problems.append(_problem(policy, "policy_id_twice", message, "choose another", "id"))
        seen.setdefault(policy.id, policy)
        for name, value in policy.annotations.items():
            problems += _annotation(policy, name, value)
        if "approval_ttl" in policy.annotations and "require_approval" not in policy.annotations:
            message = "@approval_ttl without @require_approval"
            problems.append(_problem(policy, "annotation_misplaced", message, "add @require_approval or remove it", "approval_ttl"))
    return problems


def _annotation(policy: Policy, name: str, value: str) -> list[Problem]:
    known = VOCABULARY.get(name)
    if known is None:
        remedy = closest(name, list(VOCABULARY)) or f"the vocabulary is {', '.join(sorted(VOCABULARY))}"
        return [_problem(policy, "annotation_unknown", f"@{name} is not known", remedy, name)]
    well_formed, remedy = known
    if not well_formed(value):
        return [_problem(policy, "annotation_malformed", f"@{name} has a value that is not allowed", f"write {remedy}", name)]
    if name in _PERMIT_ONLY and policy.effect != "permit":
        return [_problem(policy, "annotation_misplaced", f"@{name} has no meaning on a forbid", "put it on the permit, or remove it", name)]
    if name in _NOT_ENFORCED:
        message = f"@{name} cannot be met by this version, so the policy would not mean what it says"
        return [_problem(policy, "annotation_unsupported", message, "remove it", name)]
    return []


def _problem(policy: Policy, code: str, message: str, remedy: str, about: str = "") -> Problem:
    """A finding at the annotation that it is about, or where the policy begins."""
    return policy.piece.problem(code, message, annotation_offset(policy, about) if about else 0, remedy=remedy)


def annotation_offset(policy: Policy, name: str) -> int:
    """Where an annotation of a policy stands in its text; 0 where there is none."""
    return _offsets(policy.piece.text).get(name, 0)


@lru_cache(maxsize=1)
def _offsets(text: str) -> Mapping[str, int]:
    """Where each annotation begins: read once for all findings about one policy, which may be thousands."""
    return {name.text: sign.start for sign, name in pairwise(tokens(text)) if sign.text == "@"}


def obligations(permits: Iterable[Policy]) -> tuple[tuple[str, str], ...]:
    """The union of what the determining permits ask for, sorted."""
    return _asked(permits, (*OBLIGATIONS, REDACT))


def redactions(policies: Iterable[Policy]) -> tuple[tuple[str, str], ...]:
    """What policies ask of the record of a call that they did not let through."""
    return _asked(policies, (REDACT,))


def _asked(policies: Iterable[Policy], names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted({(name, p.annotations[name]) for p in policies for name in names if name in p.annotations}))
