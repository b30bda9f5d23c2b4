"""What policy knows of each operation: its action, the groups it is in, and how a call of it becomes a typed context."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.authorize.engine import Uid
from gateway.authorize.facts import derive, derive_many, fact_type
from gateway.authorize.shapes import RESERVED, Member, Shape, record, shape_of
from gateway.authorize.typed import Convert, Unrepresentable, converter, moment_us, raw
from gateway.call import Facts, Identity, Invocation, Operation
from gateway.canonical import Json
from gateway.config.model import ToolSettings
from gateway.errors import Problem
from gateway.tools.spots import EACH, Spot, spot

GROUPS = {"read": "read", "idempotent_write": "write", "write": "write", "destructive": "destructive"}
GENERIC = {"read": "GET", "write": "POST", "destructive": "DELETE"}
UNMAPPED = "unmapped"

_DAY_US = 86_400_000_000

_STRING: dict[str, Json] = {"type": "String"}
_STRINGS: dict[str, Json] = {"type": "Set", "element": _STRING}
_LONG: dict[str, Json] = {"type": "Long"}

COMMON: dict[str, Json] = {
    "Request": record(dict.fromkeys(("method", "path", "template", "door"), (_STRING, True))),
    "Auth": record({"issuer": (_STRING, True), "pop": ({"type": "Boolean"}, True), "scopes": (_STRINGS, True), "user": (_STRING, False)}),
    "Run": record({"id": (_STRING, False), "calls_last_minute": (_LONG, True), "calls_in_flight": (_LONG, True)}),
}
"""Types that every context shares, spelled once in the schema."""

_SHARED: dict[str, tuple[dict[str, Json], bool]] = {
    "request": ({"type": "Request"}, True),
    "user": ({"type": "Entity", "name": "User"}, False),
    "actors": (_STRINGS, True),
    "delegation_depth": (_LONG, True),
    "auth": ({"type": "Auth"}, True),
    "run": ({"type": "Run"}, True),
    "now": ({"type": "Extension", "name": "datetime"}, True),
    "weekday": (_LONG, True),
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What one place in the arguments means. `many`: it is below a list."""

    name: str
    kind: str
    path: tuple[str, ...]
    many: bool

    def add(self, arguments: Mapping[str, Json], facts: dict[str, Json]) -> None:
        """Add the fact, if there is anything that it is read from. Raises Unrepresentable."""
        values: list[Json] = [arguments]
        listed = False
        for part in self.path:
            if part == EACH and not listed:
                if not values:
                    return  # the list itself is absent
                listed = True
            below = (_items(value) if part == EACH else [_member_of(value, part)] for value in values)
            values = [value for some in below for value in some if value is not None]
        if self.many:
            facts[self.name] = derive_many(self.kind, values)
        elif values:
            facts[self.name] = derive(self.kind, values[0])


def _items(value: Json) -> list[Json]:
    if type(value) is not list:
        raise Unrepresentable("a list was declared")
    return value


def _member_of(value: Json, name: str) -> Json:
    if not isinstance(value, Mapping):
        raise Unrepresentable("an object was declared")
    return value.get(name)


@dataclass(frozen=True, slots=True)
class Plan:
    """One operation, compiled. `context` is the Cedar record type of its context."""

    operation: Operation
    action: Uid
    resource: Uid
    groups: tuple[Uid, ...]
    context: Mapping[str, Json]
    convert: Convert
    raws: tuple[str, ...]
    facts: tuple[Fact, ...]

    def typed(self, arguments: Mapping[str, Json]) -> dict[str, Json]:
        """The part of the context that comes from the arguments. Raises Unrepresentable."""
        found: dict[str, Json] = {"input": self.convert(arguments)}
        if self.raws:
            found["raw"] = {name: raw(arguments[name]) for name in self.raws if name in arguments}
        facts: dict[str, Json] = {}
        for fact in self.facts:
            try:
                fact.add(arguments, facts)
            except Unrepresentable as error:
                raise Unrepresentable(error.why, *fact.path) from None
        found["facts"] = facts
        return found


def surroundings(invocation: Invocation, identity: Identity, facts: Facts) -> dict[str, Json]:
    """The part of the context that comes from the request and the caller, the same for all operations."""
    call = invocation.call
    run: dict[str, Json] = {"calls_last_minute": facts.calls_last_minute, "calls_in_flight": facts.calls_in_flight}
    if identity.run is not None:
        run["id"] = identity.run
    found: dict[str, Json] = {
        "request": {"method": call.method, "path": call.path, "template": invocation.operation.template, "door": call.door},
        "run": run,
        "now": moment_us(facts.now_us),
        "weekday": (facts.now_us // _DAY_US + 3) % 7 + 1,
    }
    return found | caller(identity)


def caller(identity: Identity) -> dict[str, Json]:
    """The part of the context that the token alone decides: it is the same for every call made with it."""
    auth: dict[str, Json] = {"issuer": identity.issuer, "pop": identity.proof_of_possession, "scopes": list(identity.scopes)}
    found: dict[str, Json] = {"actors": list(identity.actors), "delegation_depth": len(identity.actors), "auth": auth}
    if identity.user is not None:
        auth["user"] = identity.user  # Cedar makes no text of an entity's id, so an argument could not be compared with it
        found["user"] = {"__entity": {"type": "User", "id": identity.user}}
    return found


def plan(operation: Operation) -> Plan:
    """Compile one operation. Raises Problem when its contract cannot be shown to policy safely."""
    try:
        shape = _arguments(operation)
        members = {member.name: member for member in shape.members}
        spots = {name: spot(operation.input_schema or {}, name) for name in operation.facts}
        facts = {name: _fact_type(operation.facts[name], at) for name, at in spots.items()}
    except ValueError as error:
        raise Problem(
            "contract_untypable", str(error), key=f"{operation.tool}.{operation.name}", remedy="rename the member or correct `facts` in the contract"
        ) from error
    raws = tuple(member.name for member in shape.members if not member.shape.whole)
    attributes: dict[str, tuple[dict[str, Json], bool]] = {"input": (shape.cedar, True), "facts": (record(facts), True), **_SHARED}
    if raws:
        attributes["raw"] = (record({name: (_STRING, members[name].required) for name in raws}), True)
    tool = operation.tool
    names = [UNMAPPED] if operation.name == UNMAPPED else [GROUPS[operation.effect], f"{tool}/*"]
    return Plan(
        operation=operation,
        action=Uid("Action", operation.action),
        resource=Uid("Tool", tool),
        groups=tuple(Uid("Action", name) for name in names),
        context=record(attributes),
        convert=converter(shape),
        raws=raws,
        facts=tuple(Fact(name, operation.facts[name], at.path, at.many) for name, at in spots.items()),
    )


def _fact_type(kind: str, at: Spot) -> tuple[dict[str, Json], bool]:
    shape = shape_of(at.schema)
    return fact_type(kind, shape, many=at.many), at.required and (at.many or not shape.nullable)


def _arguments(operation: Operation) -> Shape:
    """The closed record of an operation's arguments. Members that would need an escape's name are refused at any depth."""
    schema = operation.input_schema
    if schema is None:
        return Shape("record")
    properties = schema.get("properties", {})
    reserved = RESERVED & properties.keys()
    if reserved:
        raise ValueError(f"the argument name {min(reserved)} is reserved")
    required = set(schema.get("required", ()))
    members = []
    for name, inner in properties.items():
        shape = shape_of(inner)
        members.append(Member(name, shape, name in required and (shape.kind == "raw" or not shape.nullable)))
    return Shape("record", members=tuple(members))


def all_operations(operations: Iterable[Operation], tools: Iterable[ToolSettings]) -> list[Operation]:
    """The declared operations with those that every tool has: `unmapped` where there is a contract, read, write and destructive where there is none."""
    found = {operation.action: operation for operation in operations}
    with_contract = {o.tool for o in found.values() if o.name not in GENERIC}
    for tool in tools:
        if tool.contract is not None or tool.operations or tool.name in with_contract:
            found.setdefault(f"{tool.name}/{UNMAPPED}", Operation(tool.name, UNMAPPED, "", "", "destructive"))
        else:
            for name, method in GENERIC.items():
                found.setdefault(f"{tool.name}/{name}", Operation(tool.name, name, method, "", name))  # type: ignore[arg-type]
    return list(found.values())
