"""What records must say beyond their form: heads of segments repeat the state so far, and named objects are there."""

from __future__ import annotations

from collections.abc import Mapping

from gateway.canonical import Json
from gateway.record.folder import LogFolder
from gateway.record.line import FORMAT, BrokenLine
from gateway.record.objects import ObjectBroken, read_object
from gateway.record.recovery import closes_calls, opens_call
from gateway.record.tree import Frontier

NAMED = ("ents", "policies", "schema", "candidate")
"""Members that name an object: of `authz` in a `call`, of the record itself in a `policy.load`."""


class Content:
    """Checks records in order. `seen` holds the objects found whole, so that each is read once."""

    def __init__(self, folder: LogFolder) -> None:
        self._folder = folder
        self._open_calls: set[int] = set()
        self.seen: set[str] = set()

    def check(self, members: Mapping[str, Json], before: Frontier, origin: str, *, first: bool) -> None:
        """`before` is the tree without this record; `first` says that it begins a segment. Raises BrokenLine, ObjectMissing."""
        kind = members["k"]
        if first or kind in {"log.open", "seg.open"}:
            self._check_head(members, before, origin, first=first)
        elif kind in {"call", "policy.load"}:
            self._check_objects(members)
        if kind == "call":
            if opens_call(kind, members):
                self._open_calls.add(before.size)
        else:
            self._open_calls.difference_update(closes_calls(kind, members))

    def _check_head(self, members: Mapping[str, Json], before: Frontier, origin: str, *, first: bool) -> None:
        if not first:
            raise BrokenLine("it may only begin a segment")
        if before.size == 0:
            if members["k"] != "log.open" or members.get("origin") != origin or members.get("format") != FORMAT:
                raise BrokenLine("a log of this origin does not begin so")
            return
        state = {"size": before.size, "root": before.root().hex(), "frontier": before.as_json(), "open_calls": sorted(self._open_calls)}
        if members["k"] != "seg.open" or any(members.get(name) != value for name, value in state.items()):
            raise BrokenLine("the segment does not begin with the state of the log before it")

    def _check_objects(self, members: Mapping[str, Json]) -> None:
        holder = members.get("authz") if members["k"] == "call" else members
        if not isinstance(holder, dict):
            return
        for name in NAMED:
            digest = holder.get(name)
            if digest is None or digest in self.seen:
                continue
            if not isinstance(digest, str):
                raise BrokenLine(f"{name} is no digest")
            try:
                read_object(self._folder.objects, digest)
            except ObjectBroken as error:
                raise BrokenLine(f"the object it names under {name} is not what its digest says") from error
            self.seen.add(digest)
