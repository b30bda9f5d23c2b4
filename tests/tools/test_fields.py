"""Header fields that never travel, and what a contract that declares one comes to."""

from __future__ import annotations

import pytest

from gateway.tools.fields import is_never
from tests.tools.world import bind, call, tool_of


@pytest.mark.parametrize("name", ["x-forwarded-for", "host", "cookie", "x-http-method-override", "x_environment", "portreeve-call"])
def test_a_header_parameter_that_is_never_forwarded_is_no_argument_and_its_operation_stays(name):
    parameters = [{"name": name.title(), "in": "header", "required": True, "schema": {"type": "string"}}]
    tool = tool_of({"paths": {"/x": {"get": {"operationId": "x", "parameters": parameters}}}})
    found = bind(tool, call("GET", "/x", headers=((name, "v"),)))
    assert is_never(name)
    assert (found.operation.name, found.arguments, found.headers) == ("x", {}, frozenset())
    assert [note.code for note in tool.notes] == ["contract_left_out"]


def test_a_header_that_carries_the_agents_token_is_no_argument():
    parameters = [{"name": "X-Shop-Key", "in": "header", "required": True, "schema": {"type": "string"}}]
    tool = tool_of({"paths": {"/x": {"get": {"operationId": "x", "parameters": parameters}}}}, token_header="X-Shop-Key")
    assert bind(tool, call("GET", "/x", headers=())).arguments == {}


def test_a_header_parameter_that_is_an_argument_is_named_for_those_who_send_it():
    parameters = [{"name": "X-Limit", "in": "header", "schema": {"type": "integer"}}]
    tool = tool_of({"paths": {"/x": {"get": {"operationId": "x", "parameters": parameters}}}})
    assert bind(tool, call("GET", "/x", headers=())).headers == frozenset({"x-limit"})
