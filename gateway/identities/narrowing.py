"""Whether an agent may have less than before: then tokens that it got before no longer say what it may have."""

from __future__ import annotations

from typing import Any

from gateway.canonical import dumps, loads_trusted
from gateway.identities.model import Agent, Credential, FederatedCredential, KeyCredential

_GROWING = ("audiences", "scopes", "user_issuers", "may_delegate_to", "credentials")
_POPS = ("none", "optional", "required")


def rights_of(agent: Agent) -> bytes:
    """What the agent may have, to be compared later. Groups and attributes are not part of it: policies see them as they are at each call."""
    delegation = agent.delegation
    return dumps(
        {
            "active": agent.status == "active",
            "expires": str(agent.expires or ""),
            "ttl_s": agent.ttl_s,
            "pop": _POPS.index(agent.pop),
            "audiences": sorted(agent.audiences),
            "scopes": sorted(agent.scopes),
            "for_users": delegation.may_act_for_users,
            "user_issuers": sorted(delegation.user_issuers),
            "may_delegate_to": sorted(delegation.may_delegate_to),
            "max_depth": delegation.max_depth,
            "credentials": sorted(map(_name_of, agent.credentials)),
        }
    )


def is_narrower(before: bytes, after: bytes | None) -> bool:
    """Whether something of `before` is not in `after`; None: the agent is gone."""
    old: dict[str, Any] = loads_trusted(before)
    if not old["active"]:
        return False  # its tokens were ended when that began
    if after is None:
        return True
    new: dict[str, Any] = loads_trusted(after)
    if new["audiences"] and not old["audiences"]:
        return True  # none named means every one
    lost = any(not set(old[name]) <= set(new[name]) for name in _GROWING if name != "audiences" or new["audiences"])
    less = any(new[name] < old[name] for name in ("active", "ttl_s", "for_users", "max_depth")) or new["pop"] > old["pop"]
    return lost or less or (new["expires"] or "9999") < (old["expires"] or "9999")


def _name_of(credential: Credential) -> str:
    """What it would take to prove the same in the same way."""
    if isinstance(credential, KeyCredential):
        return f"key {credential.key.thumbprint}"
    if isinstance(credential, FederatedCredential):
        return f"federated {credential.issuer} {dumps(dict(credential.match)).decode()}"
    return "enrolled"
