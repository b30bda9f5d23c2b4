"""Shows what each condition of the policies near a request comes to: every one evaluated by itself, all of them in one evaluation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.authorize.conditions import Anatomy, Condition, dissect
from gateway.authorize.engine import EngineError, Rules, evaluate
from gateway.authorize.library import Library, Question, Seat
from gateway.authorize.policy import Policy
from gateway.canonical import Json

Outcome = Literal["held", "failed", "erred"]

_NAMED = re.compile(r"`([0-9]+\.[0-9]+)`(?:: *)?")
_SCOPE = 0
"""The number of a policy's scope among its parts; its conditions count from 1."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A condition and what came of it by itself. `reached`: all before it held, so the policy really evaluates it."""

    condition: Condition
    outcome: Outcome
    reached: bool
    error: str = ""


@dataclass(frozen=True, slots=True)
class Near:
    """A policy whose scope matches the request, with all of its conditions."""

    policy: Policy
    seen: tuple[Seen, ...]

    @property
    def applies(self) -> bool:
        return all(seen.outcome == "held" for seen in self.seen)

    @property
    def missing(self) -> tuple[Seen, ...]:
        return tuple(seen for seen in self.seen if seen.outcome != "held")

    @property
    def state(self) -> Literal["applies", "does not apply", "errs"]:
        if self.applies:
            return "applies"
        return "errs" if any(seen.reached and seen.outcome == "erred" for seen in self.seen) else "does not apply"


class Trial:
    """The policies near one kind of request, taken apart and parsed once. MUST be made from a seat that shows the whole context."""

    def __init__(self, library: Library, seat: Seat) -> None:
        questions = [question for question in (seat.enforced, seat.shadow_permits, seat.shadow_forbids) if question is not None]
        self._near: tuple[Anatomy, ...] = tuple(dissect(library.by_id[name]) for question in questions for name in question.rules.names)
        self._question: Question | None = questions[0] if questions else None
        assert self._question is None or self._question.view.whole
        texts, names = [], []
        for number, near in enumerate(self._near):
            texts += [near.scope, *(condition.alone for condition in near.conditions)]
            names += [f"{number}.{part}" for part in range(len(near.conditions) + 1)]
        self._rules = Rules.of(texts, names)

    def look(self, context: Mapping[str, Json]) -> tuple[Near, ...]:
        """Evaluate every condition in this context. Raises EngineError where the context does not fit the schema."""
        question = self._question
        if question is None:
            return ()
        found = evaluate(question.request, question.view.text(context), self._rules, question.entities, question.view.schema)
        if found.decision == "none":
            raise EngineError("; ".join(found.errors))
        held = set(found.reasons)
        errors = {named[1]: text[named.end() :] for text in found.errors if (named := _NAMED.search(text))}
        near = []
        for number, anatomy in enumerate(self._near):
            if f"{number}.{_SCOPE}" in held:  # a slice may hold a policy too many
                near.append(_near(anatomy, number, held, errors))
        return tuple(near)


def _near(anatomy: Anatomy, number: int, held: set[str], errors: Mapping[str, str]) -> Near:
    seen: list[Seen] = []
    reached = True
    for part, condition in enumerate(anatomy.conditions, 1):
        name = f"{number}.{part}"
        outcome: Outcome = "held" if name in held else "erred" if name in errors else "failed"
        seen.append(Seen(condition, outcome, reached, errors.get(name, "")))
        reached = reached and outcome == "held"
    return Near(anatomy.policy, tuple(seen))
