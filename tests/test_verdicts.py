import pytest

from gateway.call import Basis, Blob, Deny, Hold, Permit
from gateway.verdicts import refusal_of

NOTHING = Blob.of(b"[]")
BASIS = Basis("a", "b", "c", b"{}", NOTHING, NOTHING, NOTHING, "engine", "deny")


def test_a_deny_is_told_by_its_code_and_with_the_policy_s_own_message():
    refusal = refusal_of(Deny("policy_error", BASIS, "Ask the owner"))
    assert (refusal.code, refusal.detail) == ("policy_error", "Ask the owner")


def test_a_hold_names_who_may_approve_where_the_policy_says_nothing():
    assert refusal_of(Hold(BASIS, "leads", 60)).detail == "Approval by leads is needed"
    assert refusal_of(Hold(BASIS, "leads", 60, "Wait")).detail == "Wait"


def test_a_permit_cannot_be_told_as_a_refusal():
    with pytest.raises(AssertionError):
        refusal_of(Permit(None, None, BASIS))
