from __future__ import annotations

from gateway.authorize.engine import Uid, parse_schema
from gateway.authorize.schema import agent_entities, tool_entities
from gateway.canonical import dumps

from .world import AGENTS, TOOLS, agent, quick


def test_the_same_world_has_the_same_schema_byte_for_byte():
    assert quick("").schema == quick("").schema


def test_attributes_of_agents_have_their_types_and_are_optional():
    shape = quick("").library.source.generated[""]["entityTypes"]["Agent"]["shape"]["attributes"]
    assert shape == {
        "owner": {"type": "Entity", "name": "User"},
        "env": {"type": "String", "required": False},
        "level": {"type": "Long", "required": False},
        "trusted": {"type": "Boolean", "required": False},
        "labels": {"type": "Set", "element": {"type": "String"}, "required": False},
    }


def test_an_agent_is_in_its_groups_and_in_the_team_that_owns_it():
    entities = {(e["uid"]["type"], e["uid"]["id"]): e for e in agent_entities(AGENTS[0])}
    assert entities["Agent", "support-bot"]["parents"] == [{"type": "AgentGroup", "id": "support"}, {"type": "Team", "id": "support"}]
    assert entities["Agent", "support-bot"]["attrs"]["owner"] == {"__entity": {"type": "User", "id": "team:support"}}
    assert ("User", "team:support") in entities
    assert agent_entities(agent("x", ["b", "a", "b"], owner="bob"))[0]["parents"] == [
        {"type": "AgentGroup", "id": "a"},
        {"type": "AgentGroup", "id": "b"},
    ]


def test_a_tool_without_a_contract_may_do_anything():
    bundle = quick("")
    plans = list(bundle.plans.values())
    assert tool_entities(TOOLS[2], [p for p in plans if p.operation.tool == "plain"])[0]["attrs"] == {
        "risk": "low",
        "readOnly": False,
        "destructive": True,
        "openWorld": True,
    }
    reading = [bundle.plans["tickets/get_ticket"], bundle.plans["tickets/unmapped"]]
    assert tool_entities(TOOLS[0], reading)[0]["attrs"] == {"risk": "high", "readOnly": True, "destructive": False, "openWorld": True}


def test_the_schema_of_one_operation_is_a_schema():
    source = quick("").library.source
    text = str(parse_schema(dumps(source.only(Uid("Action", "tickets/create_refund"))).decode()))
    assert 'action "tickets/create_refund" in [Action::"write", Action::"tickets/*"]' in text
    assert "tickets/get_ticket" not in text
