"""Compares two sets of policies by what they say: added, removed, changed and moved, by @id. Layout, comments and order say nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.authorize.policy import Policy
from gateway.authorize.syntax import NotUnderstood, Token, clauses, tokens

Kind = Literal["added", "removed", "changed", "moved"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One policy that is not the same on both sides. `what` says in which respects."""

    kind: Kind
    id: str
    before: Policy | None
    after: Policy | None
    what: tuple[str, ...] = ()


def differences(before: Mapping[str, Policy], after: Mapping[str, Policy]) -> list[Difference]:
    """Every policy that differs, by name."""
    found = []
    for name in sorted({*before, *after}):
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            found.append(Difference("added" if old is None else "removed", name, old, new))
        elif what := _what(old, new):
            found.append(Difference("changed", name, old, new, what))
        elif old.piece.file.rpartition("/")[2] != new.piece.file.rpartition("/")[2]:
            found.append(Difference("moved", name, old, new))
    return found


def substance(policy: Policy) -> tuple[str, ...]:
    """What a policy decides and demands, without its name and the words for people. Two policies alike in this decide alike."""
    owed = (f"@{name}={policy.annotations[name]}" for name in ("approval_ttl", "mode", "require_approval") if name in policy.annotations)
    return (*owed, *(word.text for word in _after_annotations(policy)))


def _what(old: Policy, new: Policy) -> tuple[str, ...]:
    found = [f"effect: {old.effect}, now {new.effect}"] if old.effect != new.effect else []
    before, after = _parts(old), _parts(new)
    found += [name for name, one, other in zip(("scope", "conditions"), before, after, strict=True) if one != other]
    for name in sorted({*old.annotations, *new.annotations}):
        one, other = old.annotations.get(name), new.annotations.get(name)
        if one != other:
            found.append(f"@{name}: {_quoted(one)}, now {_quoted(other)}")
    return tuple(found)


def _quoted(value: str | None) -> str:
    return "none" if value is None else f'"{value}"'


def _parts(policy: Policy) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words of the scope and those of the conditions."""
    try:
        conditions = clauses(policy.piece.text)
    except NotUnderstood:
        conditions = ()
    start = conditions[0].start if conditions else len(policy.piece.text)
    words = _after_annotations(policy)[1:]
    return tuple(w.text for w in words if w.start < start and w.text != ";"), tuple(w.text for w in words if w.start >= start and w.text != ";")


def _after_annotations(policy: Policy) -> list[Token]:
    words = tokens(policy.piece.text)
    begin = next(n for n, word in enumerate(words) if word.text == policy.effect and (n == 0 or words[n - 1].text != "@"))
    return words[begin:]
