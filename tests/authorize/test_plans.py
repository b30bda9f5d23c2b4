from __future__ import annotations

import pytest

from gateway.authorize.plans import all_operations, plan
from gateway.authorize.typed import Unrepresentable
from gateway.call import Deny, Operation, Permit
from gateway.errors import Problem

from .world import OPERATIONS, PERMIT_ALL, STRING, TOOLS, ask, operation, quick


def test_a_tool_with_a_contract_has_unmapped_and_one_without_has_three_operations():
    actions = {o.action for o in all_operations(OPERATIONS, TOOLS)}
    assert {"tickets/unmapped", "mail/unmapped", "plain/read", "plain/write", "plain/destructive"} <= actions
    assert "plain/unmapped" not in actions
    assert "tickets/read" not in actions


@pytest.mark.parametrize(("effect", "group"), [("read", "read"), ("write", "write"), ("idempotent_write", "write"), ("destructive", "destructive")])
def test_an_operation_is_in_the_group_of_its_effect_and_in_that_of_its_tool(effect, group):
    assert [uid.id for uid in plan(operation("x", effect=effect)).groups] == [group, "tickets/*"]


def test_what_is_unmapped_is_in_no_group_of_operations():
    assert [uid.id for uid in plan(Operation("tickets", "unmapped", "", "", "destructive")).groups] == ["unmapped"]


def test_a_required_argument_without_a_type_may_be_null_but_not_absent():
    made = plan(operation("x", {"any": {}}, ["any"]))
    assert made.typed({"any": None})["raw"] == {"any": "null"}
    assert made.typed({"any": [1, {"b": 1, "a": 2}]})["raw"] == {"any": '[1,{"a":2,"b":1}]'}
    with pytest.raises(Unrepresentable) as caught:
        made.typed({})
    assert caught.value.pointer == "/any"


def test_a_required_argument_without_a_type_passes_the_strict_schema_when_null():
    bundle = quick(
        PERMIT_ALL,
        projected=False,
        operations=(operation("list_tickets", {"any": {}, "open": {"type": "object", "properties": {"a": STRING}}}, ["any", "open"]),),
    )
    assert isinstance(ask(bundle, "tickets/list_tickets", {"any": None, "open": {"a": "x", "b": 1}}), Permit)
    assert isinstance(ask(bundle, "tickets/list_tickets", {"any": 1}), Deny)


def test_an_open_object_is_seen_typed_and_whole():
    made = plan(operation("x", {"o": {"type": "object", "properties": {"a": STRING}}}))
    found = made.typed({"o": {"a": "x", "more": True}})
    assert found["input"] == {"o": {"a": "x"}}
    assert found["raw"] == {"o": '{"a":"x","more":true}'}


@pytest.mark.parametrize("facts", [{"nothing": "path"}, {"a": "colour"}, {"n": "path"}])
def test_a_fact_that_cannot_be_had_is_a_problem(facts):
    with pytest.raises(Problem) as caught:
        plan(operation("x", {"a": STRING, "n": {"type": "integer"}}, facts=facts))
    assert caught.value.code == "contract_untypable"


MESSAGE = {
    "type": "object",
    "properties": {
        "from": STRING,
        "to": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"address": {"type": ["string", "null"]}, "copies": {"type": "array", "items": STRING}},
                "additionalProperties": False,
            },
        },
    },
    "required": ["to"],
    "additionalProperties": False,
}


def test_a_fact_can_be_declared_for_what_stands_below_an_argument():
    facts = {"/message/from": "email", "/message/to/*/address": "email", "/message/to/*/copies": "email"}
    made = plan(operation("x", {"message": MESSAGE}, ["message"], facts=facts))
    found = made.typed({"message": {"to": [{"address": "A@x.example"}, {"address": None}, {}, {"copies": ["b@y.example", "c@y.example"]}]}})["facts"]
    assert "/message/from" not in found
    assert found["/message/to/*/address"]["addresses"] == ["a@x.example"]
    assert found["/message/to/*/copies"]["hosts"] == ["y.example"]
    assert made.typed({"message": {"to": []}})["facts"]["/message/to/*/address"]["addresses"] == []
    declared = made.context["attributes"]["facts"]["attributes"]
    assert [declared[name].get("required", True) for name in facts] == [False, True, True]


def test_a_fact_below_an_argument_decides_and_cannot_be_hidden():
    operations = (operation("list_tickets", {"message": MESSAGE}, ["message"], facts={"/message/to/*/address": "email"}),)
    text = (
        PERMIT_ALL
        + '@id("inside") forbid (principal, action == Action::"tickets/list_tickets", resource) unless { context.facts["/message/to/*/address"].domains.contains("example.com") };'
    )
    for projected in (True, False):
        bundle = quick(text, projected=projected, operations=operations)
        inside, outside = {"address": "a@mail.example.com"}, {"address": "eve@evil.example"}
        assert isinstance(ask(bundle, "tickets/list_tickets", {"message": {"to": [inside]}}), Permit)
        for hostile in ([inside, outside], [outside], [], [{"address": None}], [inside, {"address": "eve@evil.example, a@example.com"}]):
            assert isinstance(ask(bundle, "tickets/list_tickets", {"message": {"to": hostile}}), Deny)


def test_a_fault_below_a_list_names_the_place():
    made = plan(operation("x", {"message": MESSAGE}, ["message"], facts={"/message/to/*/address": "email"}))
    with pytest.raises(Unrepresentable) as caught:
        made.typed({"message": {"to": [{"address": "nobody"}]}})
    assert caught.value.pointer == "/message/to/*/address"


def test_the_list_that_a_fact_is_below_may_be_absent():
    made = plan(operation("x", {"rows": {"type": ["array", "null"], "items": MESSAGE}}, facts={"/rows/*/to/*/address": "email"}))
    for arguments in ({}, {"rows": None}):
        assert made.typed(arguments)["facts"] == {}
    assert made.typed({"rows": []})["facts"]["/rows/*/to/*/address"]["hosts"] == []
