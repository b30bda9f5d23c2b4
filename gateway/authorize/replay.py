"""Recomputes a recorded decision from the record and the blobs that it names, and from nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from gateway.authorize.engine import EngineError, Uid, policy_json
from gateway.authorize.judgement import STOP, Judgement, judge, stopped
from gateway.authorize.library import Library, Seat
from gateway.authorize.policy import Path, Policy
from gateway.authorize.schema import SchemaSource
from gateway.authorize.splitting import split
from gateway.canonical import Json, JsonError, digest, loads_trusted
from gateway.errors import Problem
from gateway.logmode import REDACTED, parts_of

LIBRARIES_MAX = 16
SEATS_MAX = 4_096

UNFIT = (KeyError, TypeError, AttributeError, JsonError, EngineError, Problem)
"""What a record that is none of ours may raise."""


class ReplayError(ValueError):
    """The record and its blobs do not allow a recomputation. The text says why."""


@dataclass(frozen=True, slots=True)
class _Stored:
    """A blob by its name. Equal by digest alone, so that what was made from it can be cached."""

    digest: str
    blob: Callable[[str], bytes] = field(compare=False)

    def read(self) -> bytes:
        data = self.blob(self.digest)
        if digest(data) != self.digest:
            raise ReplayError(f"the stored object {self.digest} has other content than its name says")
        return data


def recompute(authz: Mapping[str, Json], blob: Callable[[str], bytes], *, whole: bool = True) -> dict[str, Json]:
    """Decide again: {decision, reasons, errors, obl} to compare with the record.

    `authz` is that member of a `call` record; `blob` returns stored bytes by digest. `whole`: policies are shown the whole context under the whole
    schema of the operation, however the gateway showed it; without it, what they read, which takes half the time. Raises ReplayError, and what
    `blob` raises.
    """
    if REDACTED in authz:
        raise ReplayError("its inputs are withheld")
    try:
        context = authz["ctx"]
        found = stopped(context)
        if found is None:
            library, seat = reopen(authz, blob, whole=whole)
            found = judge(seat.evaluate(context), library.by_id)
    except UNFIT as error:
        raise ReplayError(f"{type(error).__name__}: {error}") from error
    return result(found)


def recompute_partly(authz: Mapping[str, Json], blob: Callable[[str], bytes]) -> dict[str, Json] | None:
    """Decide again a record some of whose places are withheld, where it comes out the same whatever stood there: because no policy that was asked
    is shown any of it. None where one is, or where a part of the answer itself is withheld: then nobody can tell. Raises as `recompute` does.
    """
    hidden = _hidden(authz)
    try:
        context = authz["ctx"]
        if any(place[0] != "ctx" or place[1:2] in {(), (STOP,)} for place in hidden):  # of the answer, or of what says who gave it
            return None
        found = stopped(context)
        if found is None:
            library, seat = reopen(authz, blob, whole=False)
            if seat.enforced and any(seat.enforced.view.shows(place[1:]) for place in hidden):
                return None
            found = judge(seat.evaluate(context), library.by_id)
    except UNFIT as error:
        raise ReplayError(f"{type(error).__name__}: {error}") from error
    return result(found)


def _hidden(authz: Mapping[str, Json]) -> list[Path]:
    try:
        return [parts_of(pointer) for pointer in authz[REDACTED]]
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReplayError(f"what is withheld is listed by pointers: {error}") from error


def reopen(authz: Mapping[str, Json], blob: Callable[[str], bytes], *, whole: bool = True) -> tuple[Library, Seat]:
    """The policies that a record was decided by, and its seat among them. Raises ReplayError, KeyError, TypeError, EngineError or Problem."""
    library = _library(_Stored(authz["policies"], blob), _Stored(authz["schema"], blob))
    who = (authz["p"], authz["a"], authz["r"])
    return library, _seat(library, who, _Stored(authz["ents"], blob), whole=whole)


def result(found: Judgement) -> dict[str, Json]:
    """A judgement as the record has it."""
    return {
        "decision": found.verdict,
        "reasons": list(found.reasons),
        "errors": list(found.errors),
        "obl": [list(pair) for pair in found.obligations],
    }


@lru_cache(maxsize=LIBRARIES_MAX)
def _library(policies: _Stored, schema: _Stored) -> Library:
    described = loads_trusted(schema.read())
    pieces = [piece for name, text in loads_trusted(policies.read())["files"] for piece in split(name, text)]
    parsed = [Policy.of(piece, policy_json(piece.text)) for piece in pieces]
    return Library(parsed, SchemaSource(described["generated"], described["declared"]))


@lru_cache(maxsize=SEATS_MAX)
def _seat(library: Library, who: tuple[str, str, str], entities: _Stored, *, whole: bool) -> Seat:
    principal, action, resource = (Uid.parse(text) for text in who)
    return library.seat(principal, action, resource, entities.read(), projected=not whole)
