"""Operations are read from OpenAPI documents: names, effects, facts, arguments, and what is left out."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.canonical import dumps, loads
from gateway.errors import Problem, Problems
from gateway.tools.document import Document, read_document
from gateway.tools.findings import Findings
from gateway.tools.openapi import OperationReader
from tests.tools.world import TICKETS, operation_taking, query_taking, tickets, tool_of


def problems(contract, **settings) -> tuple[Problem, ...]:
    with pytest.raises(Problems) as caught:
        tool_of(contract, **settings)
    return caught.value.problems


def get(**members) -> dict[str, object]:
    return {"paths": {"/x": {"get": {"operationId": "x", **members}}}}


def notes(tool) -> list[str]:
    return [note.message for note in tool.notes]


def test_the_sample_contract_declares_what_the_demo_calls():
    operations = {o.name: (o.method, o.template, o.effect) for o in tickets().operations()}
    assert operations == {
        "list_tickets": ("GET", "/tickets", "read"),
        "create_ticket": ("POST", "/tickets", "write"),
        "get_ticket": ("GET", "/tickets/{ticket_id}", "read"),
        "delete_ticket": ("DELETE", "/tickets/{ticket_id}", "destructive"),
        "add_comment": ("POST", "/tickets/{ticket_id}/comments", "write"),
        "create_refund": ("POST", "/refunds", "write"),
        "get_refund": ("GET", "/refunds/{refund_id}", "read"),
        "export": ("GET", "/export", "read"),
        "flaky": ("GET", "/flaky", "read"),
        "unmapped": ("*", "/{path}", "destructive"),
    }
    assert tickets().notes == ()


def test_the_input_schema_is_one_flat_closed_object():
    schema = tickets().plans["create_refund"].operation.input_schema
    assert schema is not None
    assert list(schema["properties"]) == ["ticket_id", "amount", "currency", "reason"]
    assert schema["required"] == ["ticket_id", "amount", "currency", "reason"]
    assert schema["additionalProperties"] is False


def test_names_come_from_the_operation_id_or_from_method_and_path():
    paths = {
        "/a/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "get": {},
            "put": {"operationId": "a/b c"},
        }
    }
    assert list(tool_of({"paths": paths}).plans) == ["get_a_by_id", "a_b_c"]


@pytest.mark.parametrize("name", ["unmapped", "///", "ü"])
def test_a_name_that_is_none_is_a_problem(name: str):
    assert problems(get(operationId=name) if name else get())[0].code == "contract_operation"


def test_two_operations_of_one_name_are_a_problem_with_a_line():
    text = "openapi: 3.1.0\npaths:\n  /a:\n    get: {operationId: x}\n  /b:\n    get:\n      operationId: x\n"
    found = problems(text)
    assert [(p.line, p.key) for p in found] == [(7, "/paths/~1b/get/operationId")]


def test_templates_that_match_the_same_paths_are_a_problem():
    parameter = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in "xy"]
    paths = {"/a/{x}": {"get": {"parameters": parameter[:1]}}, "/a/{y}": {"get": {"parameters": parameter[1:]}}}
    assert problems({"paths": paths})[0].code == "contract_template"


@pytest.mark.parametrize("template", ["a", "/a//b", "/a/{x}.json", "/a/{x", "/{x}/{x}", "/a?b", "/a#b", "/a b", "/a%2Fb", "/{}"])
def test_a_template_that_is_none_is_a_problem(template: str):
    assert problems({"paths": {template: {"get": {}}}})[0].code == "contract_template"


def test_every_fault_of_a_contract_is_found_in_one_look():
    assert len(problems({"paths": {"/a": {"get": {"operationId": 7}}, "/b/{x}": {"get": {}}, "c": {}, "/d": {"fetch": {}}}})) == 4


@pytest.mark.parametrize("version", ["2.0", "3.2.0", "4.0.0", 3.1, None])
def test_another_version_of_openapi_is_a_problem(version: object):
    assert problems({"openapi": version, "paths": {"/a": {"get": {}}}})[0].code == "contract_version"


@pytest.mark.parametrize(
    "text", ["", "[]", "x", "openapi: 3.1.0", "openapi: 3.1.0\npaths: {}", "openapi: 3.1.0\npaths: []", "openapi: 3.1.0\npaths: {/a: []}"]
)
def test_a_file_that_declares_nothing_is_a_problem(text: str):
    assert problems(text)


def test_the_effect_is_the_methods_the_contracts_or_the_settings_own():
    contract = {
        "paths": {
            "/a": {"post": {"operationId": "search", "x-portreeve-effect": "read"}, "put": {"operationId": "put"}, "patch": {"operationId": "p"}}
        }
    }
    tool = tool_of(contract, effects={"p": "destructive"})
    assert {n: p.operation.effect for n, p in tool.plans.items()} == {"search": "read", "put": "idempotent_write", "p": "destructive"}
    assert problems(contract, effects={"absent": "read"})[0].key == "tool.api.effects.absent"
    assert problems(contract, effects={"p": "harmless"})[0].code == "contract_effect"
    assert problems(get(**{"x-portreeve-effect": ["read"]}))[0].code == "contract_effect"
    assert problems(get(**{"x-portreeve-efect": "read"}))[0].message.startswith("x-portreeve-efect")


def test_facts_are_declared_for_texts_and_lists_of_texts():
    schema = {"properties": {"to": {"type": "array", "items": {"type": "string"}}, "file": {"type": "string"}, "n": {"type": "integer"}}}
    tool = operation_taking(schema, **{"x-portreeve-facts": {"to": "email", "file": "path"}})
    assert tool.plans["x"].operation.facts == {"to": "email", "file": "path"}
    for facts in ({"n": "size"}, {"absent": "path"}, {"file": "colour"}, {"file": ["path"]}, ["file"]):
        with pytest.raises(Problems) as caught:
            operation_taking(schema, **{"x-portreeve-facts": facts})
        assert caught.value.problems[0].code == "contract_facts"


def test_parameters_of_the_operation_override_those_of_the_path():
    shared = [{"name": "a", "in": "query", "schema": {"type": "string"}}, {"name": "b", "in": "query", "schema": {"type": "string"}}]
    item = {
        "parameters": shared,
        "get": {"operationId": "x", "parameters": [{"name": "a", "in": "query", "required": True, "schema": {"type": "integer"}}]},
    }
    schema = tool_of({"paths": {"/x": item}}).plans["x"].operation.input_schema
    assert schema == {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "string"}},
        "required": ["a"],
        "additionalProperties": False,
    }


def test_one_name_in_two_places_is_two_arguments():
    parameters = [{"name": "id", "in": where, "required": True, "schema": {"type": "string"}} for where in ("query", "path", "header")]
    plan = tool_of({"paths": {"/x/{id}": {"get": {"operationId": "x", "parameters": parameters}}}}).plans["x"]
    assert [*plan.operation.input_schema["properties"]] == ["id", "query_id", "header_id"]


def test_a_body_that_cannot_be_flat_is_one_argument():
    for schema in ({"type": "array", "items": {"type": "string"}}, {"type": "object"}, {"oneOf": [{"properties": {"a": {}}}]}, {"type": "string"}):
        properties = operation_taking(schema).plans["x"].operation.input_schema["properties"]
        assert list(properties) == ["body"]
    clash = operation_taking({"properties": {"a": {}}}, parameters=[{"name": "a", "in": "query", "schema": {"type": "string"}}])
    assert list(clash.plans["x"].operation.input_schema["properties"]) == ["a", "body"]


def test_an_optional_parameter_that_cannot_be_held_to_is_left_out_with_a_note():
    for schema, members in (
        ({"type": "object"}, {}),
        ({"type": ["string", "integer"]}, {}),
        ({"type": "array", "items": {"type": "array", "items": {"type": "string"}}}, {}),
        ({"type": "string"}, {"style": "deepObject"}),
    ):
        tool = query_taking(schema, **members)
        assert tool.plans["x"].operation.input_schema["properties"] == {}
        assert "the query parameter a is left out" in notes(tool)[0]


def test_names_that_cannot_be_told_apart_are_left_out():
    def parameter(name: str, where: str, **members):
        return {"name": name, "in": where, "required": where == "path", "schema": {"type": "string"}, **members}

    parameters = [parameter("id", "path"), parameter("query_id", "path"), parameter("id", "query")]
    tool = tool_of({"paths": {"/{id}/{query_id}": {"get": {"operationId": "x", "parameters": parameters}}}})
    assert list(tool.plans["x"].operation.input_schema["properties"]) == ["id", "query_id"]
    assert "two arguments would be called query_id" in notes(tool)[0]
    body = operation_taking({"type": "array", "items": {"type": "string"}}, parameters=[parameter("body", "query")])
    assert "a parameter is called body, too" in notes(body)[0]
    assert body.plans == {}


def test_a_list_in_a_path_is_left_out_with_its_operation():
    parameters = [{"name": "ids", "in": "path", "required": True, "schema": {"type": "array", "items": {"type": "string"}}}]
    tool = tool_of({"paths": {"/{ids}": {"get": {"operationId": "x", "parameters": parameters}}}})
    assert tool.plans == {}
    assert "a list in a path is not read" in notes(tool)[0]


def test_a_fault_in_a_shared_schema_is_one_problem():
    def body():
        return {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/s"}}}}

    contract = {"paths": {f"/{n}": {"post": {"requestBody": body()}} for n in "ab"}, "components": {"schemas": {"s": {"min_items": 1}}}}
    assert [p.key for p in problems(contract)] == ["/components/schemas/s/min_items"]


def test_an_operation_that_cannot_be_held_to_is_left_out_and_keeps_its_place():
    tool = query_taking({"type": "object"}, required=True)
    assert "x" not in tool.plans
    assert "the operation x is left out" in notes(tool)[0]
    assert tool.routes.match("GET", "/x") is None
    recursive = {"paths": {"/x": {"post": {"operationId": "x", "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/n"}}}}}}},
                 "components": {"schemas": {"n": {"properties": {"n": {"$ref": "#/components/schemas/n"}}}}}}  # fmt: skip
    assert "refers to itself" in notes(tool_of(recursive))[0]
    assert problems(recursive, effects={"x": "read"})[0].message.endswith("is left out of the contract")


def test_an_unreadable_body_needs_a_word_from_the_contract():
    multipart = operation_taking({"type": "object"}, media="multipart/form-data")
    assert "x-portreeve-body: opaque" in multipart.notes[0].remedy
    opaque = operation_taking({"type": "object"}, media="multipart/form-data", **{"x-portreeve-body": "opaque"})
    schema = opaque.plans["x"].operation.input_schema
    assert schema["x-portreeve-body"] == "opaque"
    assert schema["properties"] == {}
    with pytest.raises(Problems):
        operation_taking({"type": "object"}, **{"x-portreeve-body": ["opaque"]})


def test_path_parameters_are_those_of_the_template():
    assert problems({"paths": {"/a/{x}": {"get": {}}}})[0].code == "contract_parameter"
    parameters = [{"name": "y", "in": "path", "required": True, "schema": {"type": "string"}}]
    assert problems({"paths": {"/a": {"get": {"parameters": parameters}}}})[0].code == "contract_parameter"


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "x", "string", "#/paths", "read"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["type", "$ref", "in", "schema", "properties", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
SAMPLE = read_document(TICKETS).value


def places(value, place=()):
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inner:
        yield from places(item, (*place, key))


PLACES = [p for p in places(SAMPLE) if p]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), ANYTHING)
def test_whatever_stands_in_a_contract_it_loads_or_has_problems(place, value):
    changed = loads(dumps(SAMPLE))
    around = changed
    for part in place[:-1]:
        around = around[part]
    around[place[-1]] = value
    findings = Findings(Document("api.yaml", b"", changed, {}))
    reader = OperationReader("api", findings)
    reader.read({})
    assert findings.problems or reader.plans or reader.left_out
