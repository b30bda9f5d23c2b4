"""Recorded calls decided by other policies: flips found both ways, and no answer where a call no longer fits."""

from __future__ import annotations

import pytest

from gateway.authorize.judgement import Judgement
from gateway.authorize.rerun import Flip, Rerun, Unfit, again, flip, judgement_of, recorded
from gateway.call import Facts
from gateway.canonical import dumps, loads

from .test_replay import authz
from .world import NOW_US, NUMBER, OPERATIONS, PERMIT_ALL, REFUND_OF, STRING, agent, ask, operation, quick

LIMIT = """@id("limit") forbid (principal, action == Action::"tickets/create_refund", resource)
when { context.input.amount.greaterThan(decimal("50.00")) };
"""
HOLD = '@id("hold") @require_approval("leads") permit (principal, action == Action::"tickets/create_refund", resource);\n'


def rerun_of(text, verdict, **world):
    record, blobs = authz(verdict)
    return Rerun(quick(text, **world), blobs.__getitem__).decide(record)


def test_other_policies_decide_a_recorded_call_anew():
    verdict = ask(quick(PERMIT_ALL), "tickets/create_refund", REFUND_OF | {"amount": 60})
    assert rerun_of(PERMIT_ALL + LIMIT, verdict) == Judgement("deny", ("limit",))
    assert rerun_of(PERMIT_ALL, verdict) == judgement_of(verdict.basis) == recorded(authz(verdict)[0])


def test_the_live_way_and_the_way_by_the_log_give_the_same_judgement():
    other = quick(PERMIT_ALL + LIMIT + HOLD)
    for amount in (10, 60):
        verdict = ask(quick(PERMIT_ALL), "tickets/create_refund", REFUND_OF | {"amount": amount})
        record, blobs = authz(verdict)
        assert again(other, verdict.basis) == Rerun(other, blobs.__getitem__).decide(record)


def test_what_was_stopped_before_policy_stays_stopped():
    for facts, arguments in ((Facts(NOW_US, halted=("all",)), REFUND_OF), (None, REFUND_OF | {"amount": 0.00001})):
        verdict = ask(quick(""), "tickets/create_refund", arguments, facts=facts)
        assert again(quick(PERMIT_ALL), verdict.basis) is None
        assert rerun_of(PERMIT_ALL, verdict) == judgement_of(verdict.basis)


def changed(old, new):
    return tuple(new if o.name == old else o for o in OPERATIONS)


REFUND = {"ticket_id": STRING, "amount": NUMBER, "currency": STRING, "reason": STRING}


@pytest.mark.parametrize(
    ("new", "fits"),
    [
        (operation("create_refund", REFUND | {"note": STRING}, list(REFUND), "write", method="POST"), True),
        (operation("create_refund", REFUND | {"note": STRING}, [*REFUND, "note"], "write", method="POST"), False),
        (operation("create_refund", REFUND | {"reason": NUMBER}, list(REFUND), "write", method="POST"), False),
        (operation("create_refund", {k: v for k, v in REFUND.items() if k != "reason"}, [], "write", method="POST"), False),
        (operation("refund", REFUND, list(REFUND), "write", method="POST"), False),
    ],
    ids=["one more may be given", "one more must be given", "another type", "one is gone", "the operation is gone"],
)
def test_a_call_that_no_longer_fits_the_contract_has_no_answer_even_where_no_policy_reads_what_changed(new, fits):
    verdict = ask(quick(PERMIT_ALL), "tickets/create_refund", REFUND_OF | {"amount": 60})
    found = rerun_of(PERMIT_ALL + LIMIT.replace("tickets/create_refund", f"tickets/{new.name}"), verdict, operations=changed("create_refund", new))
    assert found == Judgement("deny", ("limit",)) if fits else isinstance(found, Unfit)


def test_an_agent_whose_attribute_changed_its_type_has_no_answer():
    verdict = ask(quick(PERMIT_ALL), "tickets/list_tickets")
    assert isinstance(rerun_of(PERMIT_ALL, verdict, agents=(agent("support-bot", ["support"], env=7),)), Unfit)
    assert rerun_of(PERMIT_ALL, verdict, agents=(agent("other-bot", ["support"], env="x", level=1, trusted=True, labels=["a"]),)).verdict == "allow"


def test_a_record_that_lacks_a_part_has_no_answer():
    record, blobs = authz(ask(quick(PERMIT_ALL), "tickets/list_tickets"))
    for member in ("p", "a", "r", "ctx", "ents", "schema"):
        assert isinstance(Rerun(quick(PERMIT_ALL), blobs.__getitem__).decide({k: v for k, v in record.items() if k != member}), Unfit)


def test_a_stored_object_that_is_broken_is_an_error_and_not_an_unfit_decision():
    record, _ = authz(ask(quick(PERMIT_ALL), "tickets/list_tickets"))

    def broken(_):
        raise ValueError("other bytes")

    with pytest.raises(ValueError, match="other bytes"):
        Rerun(quick(PERMIT_ALL), broken).decide(record)


ALLOW, DENY, FORBIDDEN = Judgement("allow", ("p",)), Judgement("deny"), Judgement("deny", ("f",))
HELD = Judgement("hold", ("h",), (), (("require_approval", "leads"),))
ERROR = Judgement("error", (), ("error while evaluating policy `bad`: overflow",))


@pytest.mark.parametrize(
    ("before", "after", "expected", "direction"),
    [
        (ALLOW, DENY, Flip("allow", "deny", ("p",)), "narrowing"),
        (ALLOW, FORBIDDEN, Flip("allow", "deny", ("f",)), "narrowing"),
        (DENY, ALLOW, Flip("deny", "allow", ("p",)), "widening"),
        (FORBIDDEN, ALLOW, Flip("deny", "allow", ("f",)), "widening"),
        (HELD, ALLOW, Flip("hold", "allow", ("h",)), "widening"),
        (ALLOW, HELD, Flip("allow", "hold", ("h",)), "narrowing"),
        (ALLOW, ERROR, Flip("allow", "error", ("bad",)), "narrowing"),
        (FORBIDDEN, ERROR, Flip("deny", "error", ("bad",)), "other"),
        (HELD, Judgement("hold", ("h",), (), (("require_approval", "all"),)), Flip("hold", "hold", ("h",)), "other"),
    ],
)
def test_a_flip_names_what_the_stricter_decision_rests_on(before, after, expected, direction):
    found = flip(before, after)
    assert found == expected
    assert found.direction == direction


def test_other_reasons_for_the_same_decision_are_no_flip():
    assert flip(ALLOW, Judgement("allow", ("q",))) is None
    assert flip(DENY, FORBIDDEN) is None


def test_a_record_from_before_the_gateway_told_the_weekday_is_decided_unless_a_policy_asks_for_it():
    record, blobs = authz(ask(quick(PERMIT_ALL), "tickets/create_refund", REFUND_OF | {"amount": 60}))
    del record["ctx"]["weekday"]
    described = loads(blobs[record["schema"]])
    for name, action in described["generated"][""]["actions"].items():
        if "appliesTo" in action:
            del described["generated"][""]["actions"][name]["appliesTo"]["context"]["attributes"]["weekday"]
    record["schema"] = "sha256:then"
    blobs["sha256:then"] = dumps(described)
    assert Rerun(quick(PERMIT_ALL + LIMIT), blobs.__getitem__).decide(record) == Judgement("deny", ("limit",))
    wider = changed("create_refund", operation("create_refund", REFUND | {"note": STRING}, list(REFUND), "write", method="POST"))
    assert Rerun(quick(PERMIT_ALL + LIMIT, operations=wider), blobs.__getitem__).decide(record) == Judgement("deny", ("limit",))
    weekend = '@id("weekend") forbid (principal, action, resource) when { context.weekday > 5 };'
    assert isinstance(Rerun(quick(PERMIT_ALL + weekend), blobs.__getitem__).decide(record), Unfit)
    whole = '@id("whole") forbid (principal, action == Action::"tickets/create_refund", resource) when { [context].contains(context) && false };'
    assert isinstance(Rerun(quick(PERMIT_ALL + whole), blobs.__getitem__).decide(record), Unfit)
