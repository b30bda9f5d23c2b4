"""One policy as the gateway knows it: its name, annotations, scope, and the parts of the context that it reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from gateway.authorize.engine import Uid
from gateway.authorize.splitting import Piece
from gateway.canonical import Json

Key = tuple[str, str, str] | None
"""One part of a scope: ("==" or "in", type, id), ("is", type, ""), or None where any will do."""

Path = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Policy:
    """A policy of the bundle. `paths` are what it looks at below `context`, an empty one meaning all of it; `names` are the entities it names.

    `exact`: the keys say all of its scope, so a request that has them satisfies the scope.
    """

    id: str
    effect: Literal["permit", "forbid"]
    annotations: Mapping[str, str]
    piece: Piece
    principal: Key
    actions: tuple[Key, ...]
    resource: Key
    exact: bool
    paths: frozenset[Path]
    names: frozenset[Uid]

    @classmethod
    def of(cls, piece: Piece, tree: Mapping[str, Json]) -> Policy:
        annotations = {name: value or "" for name, value in tree.get("annotations", {}).items()}
        return cls(
            id=annotations.get("id", ""),
            effect=tree["effect"],
            annotations=annotations,
            piece=piece,
            principal=_key(tree["principal"]),
            actions=_actions(tree["action"]),
            resource=_key(tree["resource"]),
            exact=all(_is_exact(tree[part]) for part in ("principal", "action", "resource")),
            paths=paths(tree["conditions"]),
            names=frozenset(entities_in(tree)),
        )

    @property
    def reads(self) -> frozenset[Path]:
        """The paths cut to two names: the grain in which a context is projected."""
        return frozenset(path[:2] for path in self.paths)

    @property
    def shadow(self) -> bool:
        return self.annotations.get("mode") == "shadow"


def _key(scope: Mapping[str, Json]) -> Key:
    """Anything not understood is None: a slice may hold a policy too many, never one too few."""
    match scope:
        case {"op": "==" | "in" as op, "entity": {"type": kind, "id": name}}:
            return (op, kind, name)
        case {"op": "is", "entity_type": kind, "in": {"entity": {"type": of, "id": name}}} if kind:
            return ("in", of, name)
        case {"op": "is", "entity_type": kind}:
            return ("is", kind, "")
        case _:
            return None


def _is_exact(scope: Mapping[str, Json]) -> bool:
    match scope:
        case {"op": "All"} | {"op": "==" | "in", "entity": {"type": _, "id": _}} | {"op": "in", "entities": [*_]}:
            return True
        case {"op": "is"}:
            return "in" not in scope
        case _:
            return False


def _actions(scope: Mapping[str, Json]) -> tuple[Key, ...]:
    match scope:
        case {"op": "in", "entities": list(entities)}:
            return tuple(("in", e["type"], e["id"]) for e in entities)
        case _:
            return (_key(scope),)


def keys_of(uid: Uid, ancestors: tuple[Uid, ...]) -> tuple[Key, ...]:
    """Every scope that this entity satisfies."""
    return (None, ("==", uid.type, uid.id), ("is", uid.type, ""), ("in", uid.type, uid.id), *(("in", a.type, a.id) for a in ancestors))


def paths(tree: Json) -> frozenset[Path]:
    """The parts of the context that an expression can look at. Walks without recursion: a policy may nest deeper than Python's stack."""
    found: set[Path] = set()
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += node
        elif isinstance(node, dict):
            path, rest = _chain(node)
            if path is not None:
                found.add(path)
            else:
                pending += rest
    return frozenset(found)


def _chain(node: Mapping[str, Json]) -> tuple[Path | None, list[Json]]:
    """`context.a.b` or `context.a has b` as a path; anything else as what stands below the node."""
    names: list[str] = []
    current: Json = node
    while isinstance(current, dict) and len(current) == 1:
        if current.get("Var") == "context":
            return tuple(reversed(names)), []
        step = current.get(".") or current.get("has")
        if not isinstance(step, dict) or not isinstance(step.get("attr"), str):
            break
        names.append(step["attr"])
        current = step["left"]
    if names:
        return None, [current]
    return None, list(node.values())


def entities_in(tree: Json) -> Iterator[Uid]:
    """Every entity that a policy names, in its scope or its conditions."""
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending += node
        elif isinstance(node, dict):
            if isinstance(node.get("type"), str) and isinstance(node.get("id"), str):
                yield Uid(node["type"], node["id"])
            pending += node.values()
