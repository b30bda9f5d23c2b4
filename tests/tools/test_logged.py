import pytest

from gateway.config.model import InlineOperation
from gateway.errors import Problems
from tests.tools.world import bind, call, inline, operation_taking, tool_of

BODY = {
    "type": "object",
    "properties": {
        "mail": {"type": "string", "x-portreeve-log": "hmac"},
        "person": {"type": "object", "properties": {"name": {"type": "string", "x-portreeve-log": "seal"}, "size": {"type": "integer"}}},
        "cards": {"type": "array", "items": {"type": "object", "properties": {"number": {"type": "string", "x-portreeve-log": "drop"}}}},
        "notes": {"type": "object", "additionalProperties": {"type": "string", "x-portreeve-log": "seal"}},
        "either": {"anyOf": [{"type": "string", "x-portreeve-log": "seal"}, {"type": "integer"}]},
    },
}


def rules(tool, name="x"):
    return tool.plans[name].operation.log


def test_marks_on_schemas_become_rules_at_their_places():
    found = dict(rules(operation_taking(BODY)))
    assert found == {"/mail": "hmac", "/person/name": "seal", "/cards/-/number": "drop", "/notes": "seal", "/either": "seal"}


def test_marks_do_not_change_how_arguments_are_read():
    tool = operation_taking(BODY)
    found = bind(tool, call("POST", "/x", body=b'{"mail":"a","cards":[{"number":"1"}]}'))
    assert found.arguments == {"mail": "a", "cards": [{"number": "1"}]}


def test_a_mark_on_the_whole_body_is_one_on_each_of_its_members_and_the_stricter_holds():
    body = {
        "type": "object",
        "x-portreeve-log": "hmac",
        "properties": {"a": {"type": "string"}, "b": {"x-portreeve-log": "drop"}, "c": {"x-portreeve-log": "plain"}},
    }
    assert dict(rules(operation_taking(body))) == {"/a": "hmac", "/b": "drop", "/c": "hmac"}


def test_a_mark_comes_along_with_a_reference():
    schemas = {"components": {"schemas": {"Ssn": {"type": "string", "x-portreeve-log": "seal"}}}}
    content = {"application/json": {"schema": {"type": "object", "properties": {"ssn": {"$ref": "#/components/schemas/Ssn"}}}}}
    tool = tool_of({"paths": {"/x": {"post": {"operationId": "x", "requestBody": {"content": content}}}}, **schemas})
    assert rules(tool) == (("/ssn", "seal"),)


def test_rules_of_an_operation_and_of_its_schemas_are_all_there():
    tool = operation_taking(BODY, **{"x-portreeve-log": {"/mail": "drop", "/person": "seal"}})
    assert {("/mail", "drop"), ("/mail", "hmac"), ("/person", "seal")} <= set(rules(tool))


@pytest.mark.parametrize("pointer", ["/mial", "mail", "/person/nmae", "/mail/x", "/cards/0/number", ""])
def test_a_pointer_to_what_is_no_argument_is_found(pointer):
    with pytest.raises(Problems) as found:
        operation_taking(BODY, **{"x-portreeve-log": {pointer: "seal"}})
    assert [p.code for p in found.value.problems] == ["contract_log"]


@pytest.mark.parametrize("stated", [{"/mail": "hide"}, {"/mail": None}, ["/mail"], "seal"])
def test_what_is_no_mode_is_found(stated):
    with pytest.raises(Problems) as found:
        operation_taking(BODY, **{"x-portreeve-log": stated})
    assert [p.code for p in found.value.problems] == ["contract_log"]


def test_a_wrong_mark_on_a_schema_is_found():
    with pytest.raises(Problems) as found:
        operation_taking({"type": "object", "properties": {"a": {"x-portreeve-log": "sael"}}})
    assert "sael" in str(found.value.problems[0])


def test_inline_operations_say_it_by_pointer_or_at_the_parameter():
    ssn = {"type": "string", "x-portreeve-log": "seal"}
    tool = inline(InlineOperation("x", "GET", "/by/{ssn}", "read", {"ssn": ssn, "q": {"type": "string"}}, log={"/q": "drop"}))
    assert dict(rules(tool)) == {"/ssn": "seal", "/q": "drop"}


def test_paths_that_no_operation_declares_are_held_as_strictly_as_any_argument_in_a_path():
    ssn = {"type": "string", "x-portreeve-log": "hmac"}
    tool = inline(InlineOperation("x", "GET", "/by/{ssn}", "read", {"ssn": ssn}), InlineOperation("y", "GET", "/of/{id}", "read"))
    assert tool.operation_at("DELETE", "/by/078").log == (("/path", "hmac"),)
    assert tool.operation_at("GET", "/by/078").log == (("/ssn", "hmac"),)
    assert inline(InlineOperation("y", "GET", "/of/{id}", "read")).operation_at("DELETE", "/x").log == ()
