"""A call is parsed once; what was parsed is what is held to the contract and what goes upstream."""

from __future__ import annotations

import pytest

from gateway.canonical import loads
from gateway.errors import Refusal
from tests.tools.world import FORM, JSON, SentBody, bind, call, operation_taking, query_taking, tickets, tool_of

REFUND = b'{"reason":"broken","ticket_id":"T-1","amount":49.95,"currency":"EUR"}'


def refusal(tool, request, **settings) -> Refusal:
    with pytest.raises(Refusal) as caught:
        bind(tool, request, **settings)
    return caught.value


def test_arguments_come_from_path_query_and_body():
    found = bind(tickets(), call("POST", "/tickets/T-7/comments", body=b'{ "text" : "on its way" }'))
    assert found.operation.action == "api/add_comment"
    assert found.arguments == {"ticket_id": "T-7", "text": "on its way"}
    assert (found.body, found.content_type, found.query) == (b'{"text":"on its way"}', "application/json", "")


def test_the_body_goes_upstream_as_it_was_parsed_in_the_order_it_had():
    spaced = b' {"reason" : "br\\u006fken", "ticket_id":"T-1",\n"amount": 4.995e1, "currency":"EUR"} '
    assert bind(tickets(), call("POST", "/refunds", body=spaced)).body == REFUND


def test_the_query_goes_upstream_as_it_was_parsed():
    found = bind(query_taking({"type": "array", "items": {"type": "string"}}), call("GET", "/x", "a=x+y&a=%7E%2f"))
    assert (found.arguments, found.query) == ({"a": ["x y", "~/"]}, "a=x%20y&a=~%2F")


def test_query_values_are_typed_by_the_contract():
    assert bind(tickets(), call("GET", "/tickets", "limit=5&status=open")).arguments == {"limit": 5, "status": "open"}
    assert refusal(tickets(), call("GET", "/tickets", "limit=500")).pointer == "/limit"
    assert refusal(tickets(), call("GET", "/tickets", "colour=red")).pointer == "/colour"


def test_header_parameters_are_arguments_and_stand_once():
    parameters = [
        {"name": "X-Limit", "in": "header", "required": True, "schema": {"type": "integer"}},
        {"name": "Accept", "in": "header", "schema": {}},
    ]
    tool = tool_of({"paths": {"/x": {"get": {"operationId": "x", "parameters": parameters}}}})
    assert bind(tool, call("GET", "/x", headers=(("x-limit", "3"), ("accept", "a/b")))).arguments == {"X-Limit": 3}
    assert refusal(tool, call("GET", "/x", headers=(("x-limit", "3"), ("x-limit", "4")))).pointer == "/X-Limit"
    assert refusal(tool, call("GET", "/x", headers=())).pointer == "/X-Limit"


def test_a_body_in_pieces_is_put_together_and_limited():
    assert bind(tickets(), call("POST", "/refunds", body=SentBody(REFUND, chunked=True, piece=1))).body == REFUND
    assert refusal(tickets(), call("POST", "/refunds", body=SentBody(REFUND, chunked=True)), body_bytes_max=len(REFUND) - 1).code == "body_too_large"
    declared = SentBody(REFUND)
    assert refusal(tickets(), call("POST", "/refunds", body=declared), body_bytes_max=len(REFUND) - 1).code == "body_too_large"
    assert not declared.read
    assert bind(tickets(), call("POST", "/refunds", body=REFUND), body_bytes_max=len(REFUND)).body == REFUND


def test_a_required_body_must_be_there():
    for body in (SentBody(), SentBody(chunked=True)):
        assert refusal(tickets(), call("POST", "/refunds", body=body)).code == "contract_violation"


def test_a_required_body_without_required_members_must_be_there_too():
    tool = operation_taking({"properties": {"a": {"type": "string"}}})
    assert refusal(tool, call("POST", "/x")).detail == "a body is required"
    assert bind(tool, call("POST", "/x", body=b"{}")).arguments == {}


def test_an_optional_form_is_not_half_there():
    body = {"content": {FORM[0][1]: {"schema": {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}}}}
    tool = tool_of({"paths": {"/x": {"post": {"operationId": "x", "requestBody": body}}}})
    assert bind(tool, call("POST", "/x", headers=())).arguments == {}
    assert refusal(tool, call("POST", "/x", body=b"b=1", headers=FORM)).pointer == "/a"


def test_an_optional_body_may_be_absent_but_not_half_there():
    body = {"content": {"application/json": {"schema": {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a"]}}}}
    tool = tool_of({"paths": {"/x": {"post": {"operationId": "x", "requestBody": body}}}})
    assert bind(tool, call("POST", "/x")).body is None
    assert bind(tool, call("POST", "/x", body=SentBody(chunked=True))).body == b""
    assert bind(tool, call("POST", "/x", body=b'{"a":"1"}')).arguments == {"a": "1"}
    for half in (b"{}", b'{"b":"1"}'):
        assert refusal(tool, call("POST", "/x", body=half)).pointer == "/a"


@pytest.mark.parametrize("chunked", [True, False])
@pytest.mark.parametrize("route", ["GET /tickets", "DELETE /tickets/T-1", "HEAD /export"])
def test_an_operation_without_a_body_takes_none(route: str, chunked: bool):
    method, path = route.split(" ")
    assert refusal(tickets(), call(method, path, body=SentBody(b"{}", chunked=chunked))).code == "contract_violation"
    assert bind(tickets(), call(method, path)).body is None


def test_a_whole_body_is_one_argument_where_it_is_no_object():
    tool = operation_taking({"type": "array", "items": {"type": "integer"}, "maxItems": 2})
    assert bind(tool, call("POST", "/x", body=b"[1, 2]")).arguments == {"body": [1, 2]}
    assert refusal(tool, call("POST", "/x", body=b'[1, "2"]')).pointer == "/body/1"


@pytest.mark.parametrize("media", ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"'])
def test_json_is_taken_under_its_own_name(media: str):
    assert bind(tickets(), call("POST", "/refunds", body=REFUND, headers=(("content-type", media),))).content_type == "application/json"


@pytest.mark.parametrize("media", ["application/merge-patch+json", "application/x-amz-json-1.0", "application/x-amz-json-1.1"])
def test_json_of_another_kind_is_taken_where_the_contract_says_so(media):
    tool = operation_taking({"properties": {"a": {"type": "string"}}}, media=media)
    sent = call("POST", "/x", body=b'{"a":"1"}', headers=(("content-type", media),))
    assert bind(tool, sent).content_type == media
    assert refusal(tool, call("POST", "/x", body=b'{"a":"1"}')).code == "unsupported_media_type"


def form_tool():
    schema = {
        "type": "object",
        "properties": {"channel": {"type": "string"}, "limit": {"type": "integer"}, "ids": {"type": "array", "items": {"type": "string"}}},
        "required": ["channel"],
    }
    return operation_taking(schema, media="application/x-www-form-urlencoded")


def test_a_form_is_read_like_a_query_and_written_anew():
    found = bind(form_tool(), call("POST", "/x", body=b"channel=%23ops+team&limit=5&ids=a&ids=b", headers=FORM))
    assert found.arguments == {"channel": "#ops team", "limit": 5, "ids": ["a", "b"]}
    assert (found.body, found.content_type) == (b"channel=%23ops%20team&limit=5&ids=a&ids=b", "application/x-www-form-urlencoded")


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        (b"limit=5", "contract_violation", "/channel"),
        (b"channel=a&channel=b", "contract_violation", "/channel"),
        (b"channel=a&other=b", "contract_violation", "/other"),
        (b"channel=a&limit=five", "contract_violation", "/limit"),
        (b"channel=a;limit=5", "malformed_request", ""),
        (b"channel=%ff", "malformed_request", ""),
        (b"channel=\xff", "malformed_request", ""),
        (b'{"channel":"a"}', "contract_violation", '/{"channel":"a"}'),
    ],
)  # fmt: skip
def test_a_form_with_two_readings_or_other_fields_is_refused(body: bytes, code: str, pointer: str):
    found = refusal(form_tool(), call("POST", "/x", body=body, headers=FORM))
    assert (found.code, found.pointer) == (code, pointer)


def test_a_body_declared_for_get_is_not_taken():
    body = {"content": {"application/json": {"schema": {"properties": {"a": {"type": "string"}}}}}}
    tool = tool_of({"paths": {"/x": {"get": {"operationId": "x", "requestBody": body}}}})
    assert tool.plans["x"].operation.input_schema["properties"] == {}
    assert refusal(tool, call("GET", "/x", body=b'{"a":"1"}')).detail == "this operation takes no body"


def test_an_encoded_slash_is_for_tools_that_asked_for_it():
    item = {"parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}], "get": {"operationId": "x"}}
    open_tool = tool_of({"paths": {"/projects/{id}": item}}, path_encoded_slash=True)
    assert bind(open_tool, call("GET", "/projects/group%2Fproject")).arguments == {"id": "group/project"}
    assert refusal(tool_of({"paths": {"/projects/{id}": item}}), call("GET", "/projects/group%2Fproject")).code == "path_refused"


def test_an_opaque_body_is_streamed_unread_under_a_declared_type():
    tool = operation_taking({}, media="image/*", **{"x-portreeve-body": "opaque"})
    picture = SentBody(b"\x89PNG", chunked=True)
    found = bind(tool, call("POST", "/x", body=picture, headers=(("content-type", "image/png"),)))
    assert (found.body, found.content_type, found.arguments, picture.read) == (None, None, {}, False)
    for headers in (JSON, (), (("content-type", "image"),)):
        assert refusal(tool, call("POST", "/x", body=b"x", headers=headers)).code == "unsupported_media_type"
    assert refusal(tool, call("POST", "/x")).code == "contract_violation"


def test_nothing_of_an_unmapped_call_is_parsed():
    body = SentBody(b"{not json")
    found = bind(tickets(), call("POST", "/nowhere", "a=1;b=%zz", body=body))
    assert (found.operation.name, found.query, found.body, found.arguments, body.read) == ("unmapped", "a=1;b=%zz", None, {}, False)


@pytest.mark.parametrize(
    ("method", "name"),
    [
        ("GET", "read"),
        ("HEAD", "read"),
        ("OPTIONS", "read"),
        ("POST", "write"),
        ("PUT", "write"),
        ("PATCH", "write"),
        ("DELETE", "destructive"),
        ("PURGE", "destructive"),
    ],
)
def test_a_tool_without_contract_has_three_operations(method: str, name: str):
    tool = tool_of(None)
    found = bind(tool, call(method, "/any/path", "a=1;b", body=b"\xff"))
    assert (found.operation.name, found.operation.effect, found.operation.method, found.operation.template) == (name, name, method, "/{path}")
    assert (found.query, found.body, found.operation.input_schema) == ("a=1;b", None, None)
    assert [o.name for o in tool.operations()] == ["read", "write", "destructive"]


def test_what_policy_sees_is_what_the_upstream_gets():
    found = bind(tickets(), call("POST", "/refunds", body=REFUND.replace(b"49.95", b"0.1000000000000000055511151231257827")))
    assert found.body is not None
    assert loads(found.body)["amount"] == found.arguments["amount"] == 0.1
    assert b"0.1," in found.body


@pytest.mark.parametrize("choice", ["anyOf", "oneOf"])
def test_an_optional_list_as_generators_write_it_is_a_list(choice):
    """A choice of null and a list: a text is never null, so it is the list."""
    schema = {choice: [{"type": "array", "items": {"type": "integer"}, "maxItems": 2}, {"type": "null"}], "description": "some"}
    tool = query_taking(schema)
    assert tool.plans["x"].operation.input_schema["properties"]["a"]["type"] == "array"
    assert bind(tool, call("GET", "/x", "a=1&a=2")).arguments == {"a": [1, 2]}
    with pytest.raises(Refusal):
        bind(tool, call("GET", "/x", "a=1&a=2&a=3"))
    form = operation_taking({"type": "object", "properties": {"a": schema}}, media="application/x-www-form-urlencoded")
    assert bind(form, call("POST", "/x", body=b"a=1&a=2", headers=FORM)).arguments == {"a": [1, 2]}
