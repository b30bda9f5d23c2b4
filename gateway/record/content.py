"""What records must say beyond their form: heads of segments repeat the state so far, and named objects are there."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canonical import Json
from gateway.record.folder import LogFolder
from gateway.record.line import FORMAT, BrokenLine
from gateway.record.objects import ObjectBroken, read_object
from gateway.record.recovery import closes_calls, opens_call
from gateway.record.tree import Frontier

NAMED = ("ents", "policies", "schema", "candidate", "settings", "contracts", "contract")
"""Members that name an object: of `authz` in a `call`, of the record itself in a `policy.load` or `contract.load`."""


HEADS = frozenset({"log.open", "seg.open"})
"""Kinds that begin a segment, and stand nowhere else."""


LOADS = frozenset({"policy.load", "contract.load"})


class Content:
    """Checks records in order. `open_calls`, which it changes, have no outcome so far; `seen` are the objects found whole, each read once;
    `gaps` the records that tell of an accepted loss.
    """

    def __init__(self, folder: LogFolder, open_calls: set[int]) -> None:
        self._folder = folder
        self._open_calls = open_calls
        self._named: list[Json] = []
        self.seen: set[str] = set()
        self.gaps: list[int] = []

    def check(self, n: int, members: Mapping[str, Json]) -> None:
        """A record that does not begin a segment. Raises BrokenLine, ObjectMissing."""
        kind = members["k"]
        if kind == "call":
            authz = members.get("authz")
            if type(authz) is dict:
                self._check_objects(authz)
                if opens_call(kind, members):
                    self._open_calls.add(n)
            return
        if kind in HEADS:
            raise BrokenLine("it may only begin a segment")
        if kind in LOADS:
            self._check_objects(members)
        elif kind == "gap":
            self.gaps.append(n)
        self._open_calls.difference_update(closes_calls(kind, members))

    def check_head(self, members: Mapping[str, Json], before: Frontier, origin: str) -> None:
        """The record that begins a segment. `before` is the tree without it. Raises BrokenLine."""
        if before.size == 0:
            if members["k"] != "log.open" or members.get("origin") != origin or members.get("format") != FORMAT:
                raise BrokenLine("a log of this origin does not begin so")
            return
        state = {"size": before.size, "root": before.root().hex(), "frontier": before.as_json(), "open_calls": sorted(self._open_calls)}
        if members["k"] != "seg.open" or any(members.get(name) != value for name, value in state.items()):
            raise BrokenLine("the segment does not begin with the state of the log before it")

    def _check_objects(self, holder: Mapping[str, Json]) -> None:
        named = [holder.get(name) for name in NAMED]
        if named == self._named:  # most records name what the one before named
            return
        for name, digest in zip(NAMED, named, strict=True):
            if type(digest) is str:
                if digest not in self.seen:
                    self._read(name, digest)
            elif digest is not None:
                raise BrokenLine(f"{name} is no digest")
        self._named = named

    def _read(self, name: str, digest: str) -> None:
        try:
            read_object(self._folder.objects, digest)
        except ObjectBroken as error:
            raise BrokenLine(f"the object it names under {name} is not what its digest says") from error
        self.seen.add(digest)
