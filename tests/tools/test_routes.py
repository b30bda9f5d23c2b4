"""Paths find their operation by whole segments, the most literal template first."""

from __future__ import annotations

import pytest

from gateway.errors import Refusal
from gateway.tools.parameters import Parameter
from gateway.tools.plan import LeftOut
from gateway.tools.routes import AmbiguousError, Routes, decode_segment
from tests.tools.world import bind, call, tool_of


def tool(*routes: str):
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        method, template = route.split(" ")
        names = [part[1:-1] for part in template.split("/") if part.startswith("{")]
        parameters = [{"name": n, "in": "path", "required": True, "schema": {"type": "string"}} for n in names]
        paths.setdefault(template, {})[method.lower()] = {"operationId": route, "parameters": parameters}
    return tool_of({"paths": paths})


def name(found, method: str, path: str) -> str:
    return bind(found, call(method, path, headers=())).operation.name


def test_literal_segments_win_over_parameters():
    found = tool("GET /users/{id}", "GET /users/me", "GET /users/{id}/keys", "GET /users/me/mail")
    assert name(found, "GET", "/users/me") == "GET_users_me"
    assert name(found, "GET", "/users/you") == "GET_users_id"
    assert name(found, "GET", "/users/me/mail") == "GET_users_me_mail"
    assert name(found, "GET", "/users/me/keys") == "GET_users_id_keys"


@pytest.mark.parametrize("path", ["/users", "/users/", "/users/a/", "/users/a/b", "/Users/a", "/usersx/a", "/users/a/keys/1", "/"])
def test_a_parameter_is_one_segment_that_is_not_empty_and_literals_are_whole(path: str):
    assert name(tool("GET /users/{id}", "GET /users/{id}/keys"), "GET", path) == "unmapped"


def test_a_method_missing_at_the_literal_template_is_not_taken_from_a_wider_one():
    found = tool("GET /users/me", "DELETE /users/{id}")
    assert name(found, "DELETE", "/users/me") == "unmapped"
    assert name(found, "DELETE", "/users/7") == "DELETE_users_id"


@pytest.mark.parametrize("path", ["/Refunds", "/REFUNDS", "/refund%73", "/%72efunds"])
def test_what_a_lenient_upstream_reads_as_a_literal_is_no_parameter(path: str):
    found = tool("GET /{kind}", "POST /refunds")
    assert name(found, "GET", path) == "unmapped"
    assert name(found, "GET", "/comments") == "GET_kind"


def test_head_is_the_get_operation_unless_it_is_declared():
    assert name(tool("GET /a"), "HEAD", "/a") == "GET_a"
    assert name(tool("GET /a", "HEAD /a"), "HEAD", "/a") == "HEAD_a"
    assert name(tool("POST /a"), "HEAD", "/a") == "unmapped"


@pytest.mark.parametrize(
    ("method", "effect"),
    [("GET", "read"), ("OPTIONS", "read"), ("PUT", "idempotent_write"), ("POST", "write"), ("PATCH", "write"), ("DELETE", "destructive"),
     ("PURGE", "destructive"), ("get", "destructive")],
)  # fmt: skip
def test_an_unmapped_call_has_the_effect_of_its_method(method: str, effect: str):
    operation = bind(tool("GET /a"), call(method, "/b")).operation
    assert (operation.name, operation.effect, operation.input_schema) == ("unmapped", effect, None)


def test_a_template_is_compared_in_the_canonical_form_of_paths():
    found = tool("GET /café/a:b")
    assert name(found, "GET", "/caf%C3%A9/a:b") == "GET_caf_a_b"


def test_two_templates_for_the_same_paths_and_method_are_ambiguous():
    routes = Routes([LeftOut("one", "GET", "/a/{x}", ("a", None)), LeftOut("two", "POST", "/a/{y}", ("a", None))])
    with pytest.raises(AmbiguousError) as caught:
        routes.add(LeftOut("three", "GET", "/a/{y}", ("a", None)))
    assert caught.value.other == "/a/{x}"


@pytest.mark.parametrize(
    "segment", ["%00", "a%5Cb", "%25", "%3F", "%23", "%ff", "%c0%af", "%ED%A0%80", "..", ".", "%2e%2e", "%zz", "a%2Fb", "%0A", "%7F"]
)
def test_a_parameter_with_a_tricky_escape_is_refused(segment: str):
    with pytest.raises(Refusal) as caught:
        decode_segment(segment, Parameter("id", "id", "path", "string"), slash=False)
    assert (caught.value.code, caught.value.pointer) == ("path_refused", "/id")


def test_a_parameter_is_decoded_and_an_encoded_slash_needs_the_tools_consent():
    parameter = Parameter("id", "id", "path", "string")
    assert decode_segment("caf%C3%A9%20x", parameter, slash=False) == "café x"
    assert decode_segment("group%2Fproject", parameter, slash=True) == "group/project"
