"""Generates the Cedar schema from contracts, tools and identities, in JSON form: no text template, so no name can break out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.authorize.engine import Uid
from gateway.authorize.plans import COMMON, GENERIC, UNMAPPED, Plan
from gateway.authorize.shapes import record
from gateway.call import Blob
from gateway.canonical import INTEGER_MAX, INTEGER_MIN, Json, dumps
from gateway.config.model import ToolSettings
from gateway.errors import Problem, Problems
from gateway.identities import Agent, Identities

_BOOLEAN: dict[str, Json] = {"type": "Boolean"}
_STRING: dict[str, Json] = {"type": "String"}
_KINDS: dict[type, dict[str, Json]] = {
    str: _STRING,
    bool: _BOOLEAN,
    int: {"type": "Long"},
    list: {"type": "Set", "element": _STRING},
}
_BUILT_IN = frozenset({"owner"})
_WRITES = ("read", "write", "destructive", UNMAPPED)


@dataclass(frozen=True, slots=True)
class SchemaSource:
    """What a schema handle is made of: the generated JSON and the text that the security team declares besides."""

    generated: Mapping[str, Json]
    declared: str = ""

    @property
    def blob(self) -> Blob:
        return Blob.of(dumps({"declared": self.declared, "generated": self.generated}))

    def only(self, action: Uid, attributes: Mapping[str, Json] | None = None) -> Mapping[str, Json]:
        """The same schema with one action and its groups, and with `attributes` in place of its whole context when given.

        Handles on entities copy every action of their schema, so the whole schema would cost a megabyte for each pair of agent and operation.
        """
        own = self.generated[""]
        chosen = own["actions"][action.id]
        groups: dict[str, Json] = {parent["id"]: {} for parent in chosen["memberOf"]}
        if attributes is not None:
            context = {"type": "Record", "attributes": attributes}
            chosen = {**chosen, "appliesTo": {**chosen["appliesTo"], "context": context}}
        return {"": {**own, "actions": {**groups, action.id: chosen}}}

    def context(self, action: Uid) -> Mapping[str, Json]:
        found: Mapping[str, Json] = self.generated[""]["actions"][action.id]["appliesTo"]["context"]
        return found


def generate(plans: Iterable[Plan], identities: Identities) -> dict[str, Json]:
    """The schema as Cedar JSON. Raises Problems when agents disagree about an attribute's type."""
    groups: dict[str, dict[str, Json]] = {name: {} for name in _WRITES}
    actions: dict[str, Json] = {}
    for plan in plans:
        groups |= {group.id: {} for group in plan.groups}
        actions[plan.action.id] = {
            "memberOf": [{"id": group.id} for group in plan.groups],
            "appliesTo": {"principalTypes": ["Agent"], "resourceTypes": ["Tool"], "context": plan.context},
        }
    both = groups.keys() & actions.keys()
    if both:
        raise Problems([Problem("operation_name_reserved", f"{min(both)} is the name of a group of actions", remedy="rename the operation")])
    tool = {"risk": (_STRING, True), "readOnly": (_BOOLEAN, True), "destructive": (_BOOLEAN, True), "openWorld": (_BOOLEAN, True)}
    attributes = {name: (kind, False) for name, kind in _attribute_types(identities).items()}
    return {
        "": {
            "commonTypes": COMMON,
            "entityTypes": {
                "User": {"memberOfTypes": ["Team"]},
                "Team": {},
                "Agent": {
                    "memberOfTypes": ["AgentGroup", "Team"],
                    "shape": record({"owner": ({"type": "Entity", "name": "User"}, True), **attributes}),
                },
                "AgentGroup": {},
                "Tool": {"memberOfTypes": ["ToolGroup"], "shape": record(tool)},
                "ToolGroup": {},
            },
            "actions": {**groups, **actions},
        }
    }


def _attribute_types(identities: Identities) -> dict[str, dict[str, Json]]:
    """One type per attribute name over all agents. Always optional: an agent that lacks one must not be a reason to stop loading."""
    first: dict[str, Agent] = {}
    problems = []
    for agent in identities.agents.values():
        for name, value in agent.attributes.items():
            if name in _BUILT_IN:
                problems.append(
                    Problem(
                        "attribute_reserved",
                        f"{name!r} is set by the gateway",
                        remedy="use another name",
                        file=agent.file,
                        key=f"agent.attributes.{name}",
                    )
                )
            elif type(value) is int and not INTEGER_MIN <= value <= INTEGER_MAX:
                problems.append(
                    Problem(
                        "attribute_range", "does not fit in 64 bits", remedy="use a smaller number", file=agent.file, key=f"agent.attributes.{name}"
                    )
                )
            elif type(value) is not type(first.setdefault(name, agent).attributes[name]):
                other = first[name]
                problems.append(
                    Problem(
                        "attribute_type",
                        f"has another type than in agent {other.id!r}",
                        remedy="use one type for an attribute everywhere",
                        file=agent.file,
                        key=f"agent.attributes.{name}",
                    )
                )
    if problems:
        raise Problems(problems)
    return {name: _KINDS[type(agent.attributes[name])] for name, agent in sorted(first.items())}


def agent_entities(agent: Agent) -> list[Json]:
    """The entities that stand for an agent: itself, its groups, its owner."""
    owner = Uid("User", agent.owner)
    groups = [Uid("AgentGroup", group) for group in sorted(set(agent.groups))]
    teams = [Uid("Team", agent.owner.removeprefix("team:"))] if agent.owner.startswith("team:") else []
    attributes = {"owner": {"__entity": owner.json}, **{k: list(v) if isinstance(v, list) else v for k, v in agent.attributes.items()}}
    return [_entity(Uid("Agent", agent.id), [*groups, *teams], attributes), *(_entity(uid) for uid in [*groups, *teams, owner])]


def tool_entities(tool: ToolSettings, plans: Iterable[Plan]) -> list[Json]:
    """The entities that stand for a tool: itself and its groups. A tool without a contract may do anything."""
    plans = list(plans)
    effects = {p.operation.effect for p in plans if p.operation.name != UNMAPPED}
    known = tool.contract is not None or bool(tool.operations) or any(p.operation.name not in GENERIC for p in plans)
    attributes = {
        "risk": tool.risk,
        "readOnly": known and effects == {"read"},
        "destructive": not known or "destructive" in effects,
        "openWorld": True,
    }
    groups = [Uid("ToolGroup", group) for group in sorted(set(tool.groups))]
    return [_entity(Uid("Tool", tool.name), groups, attributes), *(_entity(uid) for uid in groups)]


def _entity(uid: Uid, parents: Iterable[Uid] = (), attributes: Mapping[str, Json] | None = None) -> dict[str, Json]:
    return {"uid": uid.json, "attrs": attributes or {}, "parents": [parent.json for parent in parents]}
