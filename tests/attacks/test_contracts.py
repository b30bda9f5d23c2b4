"""Attacks on arguments and contracts: nothing gets past the contract, nothing stalls it, nothing but a refusal comes out."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.canonical import loads
from gateway.errors import REFUSALS, Problems, Refusal
from tests.tools.world import FORM, JSON, SentBody, bind, call, operation_taking, query_taking, tickets, tool_of

TICKETS = tickets()
LOOSE = operation_taking({"type": "object"})
FORMS = operation_taking({"properties": {"a": {"type": "number"}, "b": {"type": "array", "items": {"type": "boolean"}}}}, media=FORM[0][1])
OPAQUE = operation_taking({}, media="text/plain", **{"x-portreeve-body": "opaque"})
PLAIN = tool_of(None)
ANYTHING = operation_taking({"properties": {"v": {}}})
QUERY = query_taking({"type": "array", "items": {"type": "integer"}}, explode=False)


def refund(**changed: str) -> bytes:
    """A refund whose members are JSON texts, so that an attack can write what no encoder would."""
    members = {"ticket_id": '"T-1"', "amount": "50", "currency": '"EUR"', "reason": '"x"'} | changed
    return ("{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}").encode()


def refusal(tool, request) -> Refusal:
    with pytest.raises(Refusal) as caught:
        bind(tool, request)
    return caught.value


def refused_refund(body: bytes, headers=JSON) -> Refusal:
    return refusal(TICKETS, call("POST", "/refunds", body=body, headers=headers))


def test_the_plain_refund_is_taken():
    assert bind(TICKETS, call("POST", "/refunds", body=refund())).arguments["amount"] == 50


@pytest.mark.parametrize(
    "body",
    [
        refund()[:-1] + b',"amount":5000}',
        b'{"amount":5000,' + refund()[1:],
        refund()[:-1] + b',"\\u0061mount":5000}',
        refund(reason='{"a":1,"a":2}'),
    ],
)
def test_a_duplicate_key_never_chooses_between_two_values(body: bytes):
    assert refused_refund(body).code == "malformed_json"


@pytest.mark.parametrize(
    "name",
    ["Amount", "AMOUNT", "amount ", " amount", "amount\\u0000", "\\uff41mount", "amo\\u0075nt\\u200b", "\\u0430mount", "amounT", "", "__proto__", "constructor",
     "prototype", "__extn", "__entity", "$ref", "toString", "amount[]", "amount.0", "ticketId", "body", "\\ud83d\\ude00"],
)  # fmt: skip
def test_a_member_the_contract_does_not_declare_is_refused(name: str):
    found = refused_refund(refund()[:-1] + f',"{name}":5000}}'.encode())
    assert found.code == "contract_violation"
    assert "5000" not in found.detail


@pytest.mark.parametrize("path", ["/tickets/T-1/comments"])
def test_a_body_member_does_not_pass_for_a_parameter(path: str):
    assert refusal(TICKETS, call("POST", path, body=b'{"text":"x","ticket_id":"T-2"}')).pointer == "/ticket_id"
    optional = operation_taking({"properties": {"a": {"type": "string"}}}, parameters=[{"name": "q", "in": "query", "schema": {"type": "string"}}])
    assert refusal(optional, call("POST", "/x", body=b'{"a":"1","q":"in the body"}')).pointer == "/q"
    assert refusal(optional, call("POST", "/x", "a=in+the+query", body=b'{"a":"1"}')).pointer == "/a"


@pytest.mark.parametrize("amount", ['"50"', "true", "null", "[50]", '{"a":50}', "0", "-50", "-0", "0.001", "50.005", '""', "1e-3"])
def test_an_amount_of_another_type_or_size_is_refused(amount: str):
    found = refused_refund(refund(amount=amount))
    assert (found.code, found.pointer) == ("contract_violation", "/amount")


@pytest.mark.parametrize(
    "amount",
    ["NaN", "Infinity", "-Infinity", "1e999", "-1e999", "18446744073709551616", "9" * 400, "0x32", "050", "+50", "50.", ".5", "1_000", "５０"],
)
def test_a_number_that_parsers_disagree_on_is_refused(amount: str):
    assert refused_refund(refund(amount=amount)).code == "malformed_json"


@pytest.mark.parametrize("value", ["50.0", "5e1", "1E2", "-0.0", "true", '"50"', "9223372036854775808", "1e999"])
def test_an_integer_is_an_integer(value: str):
    tool = operation_taking({"properties": {"n": {"type": "integer"}}})
    assert refusal(tool, call("POST", "/x", body=b'{"n":' + value.encode() + b"}")).code in {"contract_violation", "malformed_json"}


@pytest.mark.parametrize("query", ["limit=1&limit=2", "limit=1&limit=1", "limit=1&li%6Dit=2", "status=open&status=closed"])
def test_a_parameter_given_twice_is_refused(query: str):
    assert refusal(TICKETS, call("GET", "/tickets", query)).code == "contract_violation"


@pytest.mark.parametrize(
    "query",
    ["limit[]=1", "limit[0]=1", "Limit=1", "limit%00=1", "limit=1;status=open", "limit=1&&", "limit=%31%", "limit=%C0%B1", "limit=１", "limit= 1"],
)
def test_a_parameter_in_disguise_is_refused(query: str):
    assert refusal(TICKETS, call("GET", "/tickets", query)).status in {400, 422}


def test_a_scalar_is_no_list_and_a_list_no_scalar():
    assert refused_refund(refund(currency='["EUR"]')).pointer == "/currency"
    tool = operation_taking({"properties": {"to": {"type": "array", "items": {"type": "string"}}}})
    assert refusal(tool, call("POST", "/x", body=b'{"to":"a@example.com"}')).pointer == "/to"
    assert refusal(tool, call("POST", "/x", body=b'{"to":{"0":"a@example.com"}}')).pointer == "/to"


def test_an_encoded_comma_makes_the_same_list_for_policy_and_upstream():
    found = bind(QUERY, call("GET", "/x", "a=1%2C2"))
    assert (found.arguments, found.query) == ({"a": [1, 2]}, "a=1,2")


@pytest.mark.parametrize(
    "segment", ["T-1%00", "T-1%2F..%2Fadmin", "T-1%5C", "%c0%ae%c0%ae", "T-1%3Fa=b", "T-1%23", "%2e%2e", "T-1%0A", "%ff", "T-1%252F"]
)
def test_a_path_argument_cannot_leave_its_segment(segment: str):
    assert refusal(TICKETS, call("GET", f"/tickets/{segment}")).code == "path_refused"


@pytest.mark.parametrize("segment", ["T-1%20", "t-1", "T-", "T-1x", "T-%D9%A1", "T-1;x=1", "T-1,T-2", "%54-1%0d"])
def test_a_path_argument_keeps_to_its_pattern(segment: str):
    assert refusal(TICKETS, call("GET", f"/tickets/{segment}")).status in {400, 422}


@pytest.mark.parametrize(
    "path",
    [
        "/Tickets",
        "/tickets/",
        "//tickets",
        "/tickets//T-1",
        "/tickets/T-1/",
        "/tickets/T-1/comments/1",
        "/%74ickets",
        "/tickets%20",
        "/tickets/.",
        "",
    ],
)
def test_another_spelling_of_a_path_is_never_the_operation(path: str):
    try:
        assert bind(TICKETS, call("POST", path, headers=())).operation.name == "unmapped"
    except Refusal as found:
        assert found.code in {"path_refused", "contract_violation"}


@pytest.mark.parametrize("method", ["get", "Get", "GET ", "PROPFIND", "TRACE", "CONNECT", "", "\x00"])
def test_another_spelling_of_a_method_is_never_the_operation(method: str):
    operation = bind(TICKETS, call(method, "/tickets", headers=())).operation
    assert (operation.name, operation.effect) == ("unmapped", "destructive")


@pytest.mark.parametrize(
    "body",
    [b"\xef\xbb\xbf" + refund(), refund().decode().encode("utf-16"), refund().decode().encode("utf-32"), refund(reason='"\xff"').replace(b"\xc3\xbf", b"\xff"),
     refund(reason='"\\ud800"'), refund(reason='"\xc0\xae"').replace("\xc0".encode(), b"\xc0"), refund() + b"{}", refund() + b"\x00", b"//x\n" + refund(), refund()[:-1],
     refund()[:-1] + b",}", refund().replace(b'"', b"'"), b"\x1e" + refund(), b" ", b"null", b"[]", b"1"],
)  # fmt: skip
def test_a_body_that_is_no_plain_json_object_is_refused(body: bytes):
    assert refused_refund(body).code in {"malformed_json", "contract_violation"}


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 10_000, b"[" * 40 + b"]" * 40, b'{"a":' * 40 + b"1" + b"}" * 40])
def test_deep_nesting_is_refused_and_no_crash(body: bytes):
    assert refusal(LOOSE, call("POST", "/x", body=SentBody(body, piece=65_536)))
    with pytest.raises(Refusal) as caught:
        asyncio.run(LOOSE.bind(call("POST", "/x", body=SentBody(body, piece=65_536)), body_bytes_max=1_000_000))
    assert caught.value.code == "malformed_json"


@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("content-type", "text/plain"),),
        (("content-type", "application/json"), ("content-type", "application/json")),
        (("content-type", "application/json, text/plain"),),
        (("content-type", "application/json; charset=utf-7"),),
        (("content-type", "application/json; charset=utf-16"),),
        (("content-type", "application/json; charset=utf-8; charset=utf-7"),),
        (("content-type", "application/json; charset = utf-8"),),
        (("content-type", "application/json;"),),
        (("content-type", "application/json; boundary=x"),),
        (("content-type", "application/jsonx"),),
        (("content-type", "application/x+json"),),
        (("content-type", "text/json"),),
        (("content-type", "multipart/form-data; boundary=x"),),
        (("content-type", "application/x-www-form-urlencoded"),),
        (("content-type", "application/json"), ("content-encoding", "gzip")),
        (("content-type", "application/json"), ("content-encoding", "identity")),
    ],
)
def test_a_body_under_another_name_or_coding_is_refused(headers: tuple[tuple[str, str], ...]):
    assert refused_refund(refund(), headers).code == "unsupported_media_type"


@pytest.mark.parametrize("chunked", [True, False])
def test_a_body_cannot_ride_on_an_operation_that_takes_none(chunked: bool):
    for method in ("GET", "HEAD", "DELETE"):
        found = refusal(TICKETS, call(method, "/tickets/T-1", body=SentBody(b'{"a":1}', chunked=chunked)))
        assert found.detail == ("this operation takes no body")


def test_a_pattern_cannot_be_made_to_stall():
    tool = operation_taking({"properties": {"a": {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$|^(a+)+$|^(a|aa)+$"}}})
    body = SentBody(b'{"a":"' + b"a" * 200_000 + b'!"}', piece=1 << 20)
    with pytest.raises(Refusal) as caught:
        asyncio.run(tool.bind(call("POST", "/x", body=body), body_bytes_max=262_144))
    assert caught.value.pointer == "/a"
    assert caught.value.detail == "does not match the contract's pattern"  # and not: gave up after a million steps


@pytest.mark.parametrize(
    "text",
    [
        'a: &a ["x","x"]\nb: &b [*a,*a]\nc: &c [*b,*b]\n',
        "openapi: 3.1.0\nopenapi: 3.0.0\npaths: {}\n",
        "openapi: !!python/object/apply:os.system ['true']\n",
        "openapi: 3.1.0\npaths: {/a: {post: {requestBody: {content: {application/json: {schema: {$ref: 'http://127.0.0.1:9/s.json'}}}}}}}\n",
        "openapi: 3.1.0\npaths: {/a: {post: {requestBody: {content: {application/json: {schema: {$ref: '../../etc/passwd'}}}}}}}\n",
        "openapi: 3.1.0\npaths: {/a: {$ref: 'https://example.com/paths.yaml'}}\n",
        "openapi: 3.1.0\npaths: {/a: {get: {parameters: [{$ref: 'file:///etc/passwd'}]}}}\n",
        "openapi: 3.1.0\npaths: {/a: {post: {requestBody: {content: {application/json: {schema: {pattern: '(a+)\\1'}}}}}}}\n",
        "{" * 100_000,
        "- " * 100_000,
    ],
)
def test_a_hostile_contract_does_not_load(text: str):
    with pytest.raises(Problems) as caught:
        tool_of(text)
    assert all(problem.remedy and problem.file for problem in caught.value.problems)


def test_a_refusal_never_echoes_a_value():
    secret = "sk-live-abcdef0123456789"
    for body in (refund(currency=f'"{secret}"'), refund(amount=f'"{secret}"'), refund(ticket_id=f'"{secret}"'), refund(reason=f'["{secret}"]')):
        found = refused_refund(body)
        assert secret not in str(found) + found.detail + found.pointer + found.reason
    for query in (f"limit={secret}", f"status={secret}", f"status=open&status={secret}"):
        found = refusal(TICKETS, call("GET", "/tickets", query))
        assert secret not in str(found) + found.detail + found.pointer + found.reason


TOOLS = [TICKETS, LOOSE, FORMS, OPAQUE, PLAIN, QUERY]
PATHS = st.sampled_from(["/x", "/tickets", "/tickets/T-1", "/refunds", "/tickets/T-1/comments", "/"]) | st.text(max_size=20)
BODIES = st.binary(max_size=60) | st.sampled_from([refund(), b"a=1&b=true", b'{"text":"x"}', b"{}"])
TEXTS = st.text(max_size=30) | st.sampled_from(["limit=1", "a=1,2", "a=%ff", "status=open"])
HEADERS = st.lists(
    st.tuples(
        st.sampled_from(["content-type", "content-encoding", "x"]),
        st.sampled_from([JSON[0][1], FORM[0][1], "text/plain", "application/json;charset=utf-8", ""]) | st.text(max_size=12),
    ),
    max_size=2,
).map(tuple)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(TOOLS), st.sampled_from(["GET", "POST", "DELETE", "HEAD", "X"]), PATHS, TEXTS | st.just(""), BODIES, HEADERS, st.booleans())
def test_whatever_is_sent_it_is_bound_or_refused(tool, method, path, query, body, headers, chunked):
    sent = SentBody(body, chunked=chunked)
    try:
        found = bind(tool, call(method, path, query, body=sent, headers=headers), body_bytes_max=50)
    except Refusal as refused:
        assert refused.code in REFUSALS
        assert refused.status < 500
    else:
        schema = found.operation.input_schema
        assert (found.body is None) or sent.read
        assert schema is None or set(found.arguments) <= set(schema["properties"])
        assert found.arguments == {} or schema is not None
        assert found.query.isascii() or schema is None


@settings(max_examples=300, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda i: st.lists(i, max_size=3) | st.dictionaries(st.text(max_size=4), i, max_size=3),
        max_leaves=6,
    )
)
def test_whatever_json_is_sent_it_arrives_as_it_was_judged(value):
    try:
        found = bind(ANYTHING, call("POST", "/x", body=json.dumps({"v": value}).encode()))
    except Refusal as refused:
        assert refused.code in {"malformed_json", "contract_violation"}
    else:
        assert loads(found.body) == found.arguments
