from __future__ import annotations

import cedarpy
import pytest

from gateway.authorize.engine import EngineError, Rules, Uid, evaluate, parse_entities, parse_schema, policy_json, validate
from gateway.canonical import dumps

from .world import NOW_US, PERMIT_ALL, REFUND_OF, Facts, ask, quick

RULES = (
    PERMIT_ALL
    + '@id("no") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };@id("low") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.amount.lessThan(decimal("1.0")) };'
)


@pytest.mark.parametrize(("amount", "busy"), [(10, 0), (0.5, 0), (10, 2), (0.5, 2)])
def test_the_extension_called_directly_answers_like_the_public_wrapper(amount, busy):
    bundle = quick(RULES)
    basis = ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": amount}, facts=Facts(NOW_US, calls_last_minute=busy)).basis
    schema = cedarpy.Schema.from_json_str(dumps(bundle.library.source.generated).decode())
    entities = cedarpy.Entities.from_json_str(basis.entities.data.decode(), schema)
    request = {
        "principal": {"type": "Agent", "id": "support-bot"},
        "action": {"type": "Action", "id": "tickets/create_refund"},
        "resource": {"type": "Tool", "id": "tickets"},
        "context": basis.context.decode(),
    }
    public = cedarpy.is_authorized(request, cedarpy.PolicySet.from_str(RULES), entities, schema)
    names = sorted(public.diagnostics.id_annotations_by_reason[reason] for reason in public.diagnostics.reasons)
    assert list(basis.reasons) == names
    assert len(basis.errors) == len(public.diagnostics.errors) == (1 if busy else 0)
    if not busy:
        assert basis.verdict == public.decision.value.lower()


@pytest.mark.parametrize("name", ["a", 'a"b', "a\\", "a\nb", "\u00e9\u2028", '::"', "\U0001f600", ""])
def test_an_entity_id_survives_its_text_form(name):
    assert Uid.parse(str(Uid("Agent", name))) == Uid("Agent", name)


@pytest.mark.parametrize(
    "text",
    ["", "permit (principal, action, resource)", "permit (principal, action, resource);" * 2, "permit (principal == ?principal, action, resource);"],
)
def test_one_policy_is_one_policy(text):
    with pytest.raises(EngineError):
        policy_json(text)


def test_names_belong_to_policies_by_position():
    with pytest.raises(EngineError):
        Rules.of(["permit (principal, action, resource);"], ["a", "b"])
    with pytest.raises(EngineError):
        Rules.of(["permit"], ["a"])


def test_faults_of_schema_and_entities_are_errors_of_ours():
    with pytest.raises(EngineError):
        parse_schema("{")
    with pytest.raises(EngineError):
        parse_entities(b"{", parse_schema("{}"))


def test_a_finding_of_the_validator_has_the_position_of_its_policy():
    schema = parse_schema(dumps(quick("").library.source.generated).decode())
    good, bad = PERMIT_ALL.strip(), 'permit (principal, action == Action::"x", resource);'
    assert validate([good], schema) == []
    assert {position for position, _ in validate([good, bad, good], schema)} == {1}


def test_a_context_that_the_engine_cannot_read_is_no_decision_and_its_text_is_not_quoted():
    bundle = quick(PERMIT_ALL)
    question = bundle.seat("support-bot", "tickets/list_tickets").seat.enforced
    found = evaluate(question.request, '{"secret-looking": 1}', question.rules, question.entities, question.view.schema)
    assert found.decision == "none"
    assert found.errors == ("failed to build request",)
