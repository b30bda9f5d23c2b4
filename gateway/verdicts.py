"""Says a verdict that lets nothing through in the words of the table of refusals."""

from __future__ import annotations

from gateway.call import Deny, Hold, Permit, Verdict
from gateway.errors import Refusal


def refusal_of(verdict: Verdict) -> Refusal:
    """Say a deny or a hold in the words of the refusal table, with the policy's own message where it has one."""
    match verdict:
        case Deny(code=code, message=message):
            return Refusal(code, message)
        case Hold(message=message, group=group):
            return Refusal("approval_required", message or f"Approval by {group} is needed")
        case Permit():
            raise AssertionError("a permit is no refusal")
