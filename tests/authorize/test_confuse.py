from __future__ import annotations

from gateway.authorize.cases import Case
from gateway.authorize.confuse import World, confuse
from gateway.errors import Refusal
from gateway.tools.schema import compile_check

from .world import OPERATIONS, PERMIT_ALL, REFUND_OF, operation, quick

LIST = "tickets/list_tickets"
SECRET = '@id("no") forbid (principal, action == Action::"tickets/list_tickets", resource) when { context.input has status && context.input.status == "secret" };'
CLOSED = '@id("no") forbid (principal, action == Action::"tickets/list_tickets", resource) unless { context.input has status && context.input.status == "open" };'
LIMIT = '@id("no") forbid (principal, action, resource) when { context has input.amount && context.input.amount.greaterThan(decimal("50.0")) };'


def case(action, arguments, decision="deny", name="a case", **more):
    tool, _, operation_name = action.partition("/")
    return Case(
        "", 0, name, {"agent": "support-bot", "tool": tool, "operation": operation_name, "arguments": arguments, **more}, {"decision": decision}
    )


def contract(operation, arguments):
    """The schema of each operation, in earnest."""
    if operation.input_schema is None:
        return ""
    try:
        compile_check(dict(operation.input_schema)).hold(dict(arguments))
    except Refusal as refusal:
        return refusal.detail
    return ""


def confused(text, *cases, check=contract, operations=OPERATIONS):
    bundle = quick(PERMIT_ALL + text, operations=operations)
    return confuse(World.of(bundle, cases, check), bundle.library.by_id["no"])


def ways(found):
    return {(e.mutation.kind, e.mutation.path) for e in found.open}


def test_a_forbid_on_an_optional_argument_is_turned_off_by_leaving_it_out():
    found = confused(SECRET, case(LIST, {"status": "secret"}))
    assert found.stopped == {LIST: 1}
    assert ways(found) == {("missing", ("status",)), ("empty", ("status",))}
    (escape,) = [e for e in found.open if e.mutation.kind == "missing"]
    assert (escape.action, escape.agent, escape.decision, escape.reasons) == (LIST, "support-bot", "allow", ("all",))


def test_a_forbid_that_holds_unless_the_argument_is_right_is_not():
    found = confused(CLOSED, case(LIST, {"status": "secret"}))
    assert found.escapes == []
    assert found.tried == found.by_contract + found.by_policy > 10
    assert found.by_contract
    assert found.by_policy


def test_a_case_that_allows_the_call_without_the_argument_accepts_that():
    cases = [case(LIST, {"status": "secret"}), case(LIST, {"limit": 1}, "allow", "plain"), case(LIST, {"status": ""}, "allow", "blank")]
    found = confused(SECRET, *cases)
    assert found.open == ()
    assert {e.accepted for e in found.escapes} == {"plain", "blank"}


def test_a_case_of_another_agent_or_one_that_is_denied_accepts_nothing():
    other = case(LIST, {}, "allow", agent="intern-bot")
    found = confused(SECRET, case(LIST, {"status": "secret"}), other, case(LIST, {}, "deny"))
    assert ("missing", ("status",)) in ways(found)


def test_a_lax_contract_lets_a_wrong_type_through_and_that_is_found():
    lax = (operation("list_tickets", {"status": {}}, ["status"]),)
    text = '@id("no") forbid (principal, action, resource) when { context.raw.status == "\\"secret\\"" };'
    found = confused(text, case(LIST, {"status": "secret"}), operations=lax)
    assert ("wrong type", ("status",)) in ways(found)
    assert any(e.mutation.value == ["secret"] for e in found.escapes)


def test_without_a_contract_typed_input_still_denies_what_has_the_wrong_type():
    found = confused(LIMIT, case("tickets/create_refund", REFUND_OF | {"amount": 60}), check=lambda *_: "")
    assert found.by_contract == 0
    assert {kind for kind, _ in ways(found)} <= {"missing", "empty"}
    assert ("wrong type", ("amount",)) not in ways(found)


def test_a_call_that_is_held_has_escaped_too():
    text = '@id("hold") @require_approval("leads") permit (principal, action, resource);' + SECRET
    found = confused(text, case(LIST, {"status": "secret"}))
    assert {e.decision for e in found.open} == {"hold"}


def test_other_operations_of_the_scope_are_tried_with_the_same_caller():
    text = '@id("no") forbid (principal, action in Action::"read", resource) when { context.delegation_depth > 1 };'
    found = confused(text, case(LIST, {}, actors=["a", "b"]))
    assert set(found.stopped) == {LIST, "tickets/get_ticket", "plain/read"}
    assert found.escapes == []


def test_a_forbid_without_case_is_tried_with_plain_calls():
    found = confused('@id("no") forbid (principal == Agent::"audit-bot", action == Action::"tickets/get_ticket", resource);')
    assert found.stopped == {"tickets/get_ticket": 1}
    assert found.tried


def test_a_forbid_that_no_known_call_meets_stays_untried():
    found = confused(SECRET, case(LIST, {"status": "open"}, "allow"))
    assert found.stopped == {}
    assert found.tried == 0


def test_a_call_that_the_contract_refuses_is_no_call_that_the_forbid_stops():
    base = case("tickets/create_refund", REFUND_OF | {"amount": 60, "currency": "GBP"})
    assert confused(LIMIT, base).stopped == {}
    assert confused(LIMIT, base, check=lambda *_: "").stopped == {"tickets/create_refund": 1}


def test_arguments_of_the_same_name_are_taken_along_to_other_operations():
    text = """@id("no") forbid (principal, action in [Action::"tickets/get_ticket", Action::"tickets/delete_ticket"], resource)
    when { context.input.ticket_id == "T-9" };"""
    found = confused(text, case("tickets/get_ticket", {"ticket_id": "T-9"}))
    assert found.stopped == {"tickets/get_ticket": 1, "tickets/delete_ticket": 1}
