"""Policies and their schema, ready to be asked: the part of a bundle that decisions and their replay share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from gateway.authorize.engine import EngineError, Evaluation, Rules, Uid, evaluate, parse_entities, parse_schema
from gateway.authorize.policy import Key, Path, Policy, keys_of
from gateway.authorize.schema import SchemaSource
from gateway.authorize.slices import Index, Pick, project, whole
from gateway.canonical import Json, dumps, loads_trusted

SCHEMAS_MAX = 4_096
REMEMBERED_MAX = 4_096
REMEMBERED_CHARS_MAX = 1_024

_NOTHING = Evaluation("deny", (), ())
SHADOW_ERROR = "gateway:shadow_error"
"""Stands among the shadow names when a shadow policy could not be evaluated. No @id can hold a colon."""


@dataclass(frozen=True, slots=True)
class View:
    """How a set of policies is shown a context: cut to the paths that they read, or whole where `reads` is None. `schema` validates exactly that."""

    pick: Pick
    schema: Any
    reads: tuple[Path, ...] | None

    @property
    def whole(self) -> bool:
        return self.reads is None

    def shows(self, place: Path) -> bool:
        """Whether any of what stands at this place of the context, or below it, is shown. What is not shown can change no answer."""
        return self.reads is None or any(all(a == b for a, b in zip(place, path, strict=False)) for path in self.reads)

    def text(self, context: Mapping[str, Json]) -> str:
        return dumps(self.pick(context)).decode()


@dataclass(frozen=True, slots=True, eq=False)
class Question:
    """One set of policies with everything it is asked with but the context. Compared by identity."""

    request: Mapping[str, Any]
    rules: Rules
    entities: Any
    view: View

    def answer(self, text: str) -> Evaluation:
        return evaluate(self.request, text, self.rules, self.entities, self.view.schema)


Answer = Callable[[Question, str], Evaluation]


@dataclass(frozen=True, slots=True)
class Seat:
    """Where one kind of request is decided: a principal, an action and a resource. A question is None where no policy could apply."""

    answer: Answer
    enforced: Question | None
    shadow_permits: Question | None
    shadow_forbids: Question | None

    def evaluate(self, context: Mapping[str, Json]) -> Evaluation:
        """Ask the enforced policies. Without any there is nothing to ask: the default is deny."""
        return self._ask(self.enforced, context) if self.enforced else _NOTHING

    def shadow(self, context: Mapping[str, Json], evaluation: Evaluation) -> tuple[str, ...]:
        """The shadow policies that would have turned this evaluation round, sorted."""
        if evaluation.errors or evaluation.decision == "none":
            return ()
        allowed = evaluation.decision == "allow"
        question = self.shadow_forbids if allowed else self.shadow_permits
        if question is None or (not allowed and evaluation.reasons):
            return ()  # a permit turns no forbid round
        found = self._ask(question, context)
        failed = (SHADOW_ERROR,) if found.errors or found.decision == "none" else ()
        return tuple(sorted({*found.reasons, *failed}))

    def _ask(self, question: Question, context: Mapping[str, Json]) -> Evaluation:
        text = question.view.text(context)
        return self.answer(question, text) if len(text) <= REMEMBERED_CHARS_MAX else question.answer(text)


class Library:
    """Policies by name and scope with their schema. Does not change, but for caches of what it has parsed."""

    def __init__(self, policies: Sequence[Policy], source: SchemaSource) -> None:
        self.policies = tuple(policies)
        self.by_id: Mapping[str, Policy] = {policy.id: policy for policy in policies}
        self.source = source
        self.index = Index(policies)
        # An evaluation is a pure function of its question and the context shown, so the same one is not asked twice. What policies do not read
        # is not shown, so a call that differs only in that is the same; one whose policies read the time never is.
        self._answer: Answer = lru_cache(maxsize=REMEMBERED_MAX)(Question.answer)
        self._view: Callable[[Uid, tuple[Path, ...] | None], View] = lru_cache(maxsize=SCHEMAS_MAX)(self._make_view)

    def seat(self, principal: Uid, action: Uid, resource: Uid, entities: bytes, *, projected: bool, also: frozenset[Path] = frozenset()) -> Seat:
        """Prepare one kind of request. `entities` is the JSON of the principal's and the resource's slice. Raises EngineError.

        `also` is shown, and so validated, besides what policies read where they are shown no more than that.
        """
        found = self.index.slice(*self._keys(principal, action, resource, entities))
        request = {"principal": principal.json, "action": action.json, "resource": resource.json}
        handle = parse_entities(entities, self._view(action, None).schema)

        def question(rules: Rules | None, reads: frozenset[Path]) -> Question | None:
            return Question(request, rules, handle, self._view(action, tuple(sorted(reads | also)) if projected else None)) if rules else None

        return Seat(
            answer=self._answer if projected else Question.answer,
            enforced=question(found.enforced, found.reads),
            shadow_permits=question(found.shadow_permits, found.shadow_reads),
            shadow_forbids=question(found.shadow_forbids, found.shadow_reads),
        )

    def near(self, principal: Uid, action: Uid, resource: Uid, entities: bytes) -> tuple[Policy, ...]:
        """The policies whose scope this kind of request satisfies, without the cost of a seat."""
        numbers = self.index.numbers(*self._keys(principal, action, resource, entities))
        return tuple(self.policies[number] for number in numbers)

    def _keys(self, principal: Uid, action: Uid, resource: Uid, entities: bytes) -> tuple[tuple[Key, ...], tuple[Key, ...], tuple[Key, ...]]:
        parents = parents_of(loads_trusted(entities))
        groups = tuple(Uid("Action", parent["id"]) for parent in self.source.generated[""]["actions"][action.id]["memberOf"])
        return keys_of(principal, ancestors(principal, parents)), keys_of(action, groups), keys_of(resource, ancestors(resource, parents))

    def _make_view(self, action: Uid, reads: tuple[Path, ...] | None) -> View:
        context, common = self.source.context(action), self.source.generated[""]["commonTypes"]
        cut = project(reads, context, common) if reads is not None else None
        text = dumps(self.source.only(action, cut.attributes if cut else None)).decode()
        try:
            schema = parse_schema(text, declared=self.source.declared)
        except EngineError:
            # The declared part refers to an operation that this cut left out.
            schema, cut = parse_schema(dumps(self.source.generated).decode(), declared=self.source.declared), None
        return View(cut.pick, schema, reads) if cut else View(whole(context, common), schema, None)


def ancestors(uid: Uid, parents: Mapping[Uid, tuple[Uid, ...]]) -> tuple[Uid, ...]:
    """Everything that `uid` is in, at any distance."""
    found: dict[Uid, None] = {}
    pending = list(parents.get(uid, ()))
    while pending:
        parent = pending.pop()
        if parent not in found:
            found[parent] = None
            pending += parents.get(parent, ())
    return tuple(found)


def parents_of(entities: Sequence[Mapping[str, Json]]) -> dict[Uid, tuple[Uid, ...]]:
    """What each of these entities is directly in."""
    return {Uid(**entity["uid"]): tuple(Uid(**parent) for parent in entity["parents"]) for entity in entities}
