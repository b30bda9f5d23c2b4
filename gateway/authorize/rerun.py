"""Decides calls again under other policies, from what was recorded of them, and says which come out otherwise.

The typed context and the entities are those of the record; contracts and identities are today's. Where a context is no longer one of today's
contracts there is no answer: that decision is `Unfit`, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from gateway.authorize.bundle import Bundle
from gateway.authorize.engine import EngineError, Uid
from gateway.authorize.judgement import Judgement, judge, stopped
from gateway.authorize.library import Seat
from gateway.authorize.policy import Path
from gateway.authorize.schema import SchemaSource
from gateway.authorize.slices import project
from gateway.call import Basis
from gateway.canonical import Json, loads_trusted
from gateway.logmode import REDACTED

SEATS_MAX = 4_096
SCHEMAS_MAX = 64

WITHHELD = "inputs withheld: sealed without a key at hand, erased, or never kept"

_ARGUMENTS: frozenset[Path] = frozenset({("input",), ("facts",), ("raw",)})
"""The members of a context that come from the contract."""

Direction = Literal["widening", "narrowing", "other"]

_RANK = {"error": 0, "deny": 0, "hold": 1, "allow": 2}
_NAMED = re.compile(r"`([a-z0-9][a-z0-9._-]*)`")


@dataclass(frozen=True, slots=True)
class Unfit:
    """There is no answer, because the recorded call is none that could be made today."""

    why: str


@dataclass(frozen=True, slots=True)
class Flip:
    """A decision that comes out otherwise: the two verdicts, and the policies that make the difference.

    Those are what the stricter of the two verdicts rests on; where that is the default deny, what the other one rests on.
    """

    before: str
    after: str
    policies: tuple[str, ...]

    @property
    def direction(self) -> Direction:
        """Widening: more is allowed, or allowed with less. `other`: denied with or without an error, or the same under other obligations."""
        step = _RANK[self.after] - _RANK[self.before]
        return "widening" if step > 0 else "narrowing" if step < 0 else "other"


@dataclass(frozen=True, slots=True)
class _Place:
    seat: Seat
    fits: bool


class Rerun:
    """Decides recorded calls by `bundle`. `blob` returns stored bytes by digest; what it raises is raised."""

    def __init__(self, bundle: Bundle, blob: Callable[[str], bytes]) -> None:
        self._bundle = bundle
        self._blob = blob
        self._place = lru_cache(maxsize=SEATS_MAX)(self._make_place)
        self._described: Callable[[str], SchemaSource] = lru_cache(maxsize=SCHEMAS_MAX)(self._read_schema)

    def decide(self, authz: Mapping[str, Json]) -> Judgement | Unfit:
        """The judgement of today's policies on one decision, given as the `authz` member of its record. What stopped it before policy still does."""
        if REDACTED in authz:
            return Unfit(WITHHELD)
        try:
            context = authz["ctx"]
            found = stopped(context)
            if found is not None:
                return found
            place = self._place(authz["p"], authz["a"], authz["r"], authz["ents"], authz["schema"])
            if isinstance(place, Unfit):
                return place
            evaluation = place.seat.evaluate(context)
        except (KeyError, TypeError) as error:
            return Unfit(f"the record is not whole: {type(error).__name__} {error}")
        if evaluation.decision == "none" and not place.fits:
            return Unfit("; ".join(evaluation.errors))
        return judge(evaluation, self._bundle.library.by_id)

    def _make_place(self, principal: str, action: str, resource: str, entities: str, schema: str) -> _Place | Unfit:
        """Where the same contract still describes the call, its context fits for certain and is shown as far as it is read; else the arguments are
        validated, whether they are read or not. What the gateway itself adds to a context counts only as far as it is read.
        """
        who, what, where = (Uid.parse(text) for text in (principal, action, resource))
        if what.id not in self._bundle.plans:
            return Unfit(f"there is no operation {what.id}")
        library, stored = self._bundle.library, self._blob(entities)
        fits = schema == self._bundle.schema.digest
        try:
            if not fits:
                near = library.near(who, what, where, stored)
                fits = _same(self._described(schema), library.source, what, frozenset().union(*(policy.reads for policy in near)) | _ARGUMENTS)
            return _Place(library.seat(who, what, where, stored, projected=True, also=frozenset() if fits else _ARGUMENTS), fits)
        except EngineError as error:
            return Unfit(str(error))

    def _read_schema(self, digest: str) -> SchemaSource:
        described = loads_trusted(self._blob(digest))
        return SchemaSource(described["generated"], described["declared"])


def _same(then: SchemaSource, now: SchemaSource, action: Uid, reads: frozenset[Path]) -> bool:
    """Whether two schemas say the same of this part of the action's context, and of all entities."""
    if then.declared != now.declared or action.id not in then.generated[""]["actions"]:
        return False
    if then.generated[""]["entityTypes"] != now.generated[""]["entityTypes"]:
        return False
    before, after = (project(reads, source.context(action), source.generated[""]["commonTypes"]) for source in (then, now))
    if before is None or after is None:  # a policy takes the context as a whole
        return then.only(action) == now.only(action)
    return before.attributes == after.attributes


def again(bundle: Bundle, basis: Basis) -> Judgement | None:
    """Decide by another bundle of the same contracts and identities. None where the gateway stopped the call before policy. Raises EngineError."""
    context = loads_trusted(basis.context)
    place = bundle.seat(Uid.parse(basis.principal).id, Uid.parse(basis.action).id)
    if place is None or stopped(context) is not None:
        return None
    return judge(place.seat.evaluate(context), bundle.library.by_id)


def recorded(authz: Mapping[str, Json]) -> Judgement:
    """The judgement that stands in a record."""
    owed = tuple((str(name), str(value)) for name, value in authz["obl"])
    return Judgement(authz["decision"], tuple(authz["reasons"]), tuple(map(str, authz["errors"])), owed)


def judgement_of(basis: Basis) -> Judgement:
    return Judgement(basis.verdict, basis.reasons, basis.errors, basis.obligations)


def flip(before: Judgement, after: Judgement) -> Flip | None:
    """What changed between two judgements of one call; None where it comes out the same, for whatever reasons."""
    if before.verdict == after.verdict and (_RANK[after.verdict] == 0 or before.obligations == after.obligations):
        return None
    stricter, looser = (before, after) if _RANK[before.verdict] < _RANK[after.verdict] else (after, before)
    return Flip(before.verdict, after.verdict, _rests_on(stricter) or _rests_on(looser))


def _rests_on(found: Judgement) -> tuple[str, ...]:
    if found.verdict == "error":
        return tuple(sorted({named[1] for text in found.errors if (named := _NAMED.search(text))})) or found.reasons
    return found.reasons
