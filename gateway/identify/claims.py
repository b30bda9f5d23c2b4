"""The claims of the gateway's own tokens: which there are, what they must look like, and who they say is acting.

RFC 9068 with the actor chain of RFC 8693 section 4.1. The acting agent is the outermost `act`, or `sub` where there is no `act`; it is always
the `client_id`. A user, when there is one, is the `sub`. `cnf` binds the token to a key (RFC 9449 section 6.1). Claims that this gateway does not
write are refused, not ignored.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from gateway.identify.token import refuse
from gateway.identities.model import AGENT_ID, CHAIN_MAX, ISSUER_NAME, RUN, SCOPE, TOKEN_ID, USER

SCOPES_MAX = 64
SECONDS_MAX = 2**40
"""Far beyond any date and far below where a number loses digits."""

_KNOWN = frozenset({"iss", "sub", "client_id", "aud", "scope", "iat", "nbf", "exp", "jti", "act", "cnf", "gw"})
_OWN = frozenset({"run", "auth", "epoch", "parents"})
_WAYS = re.compile(rf"local|key|enrolled|issuer:{ISSUER_NAME.pattern}")
THUMBPRINT = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Claims:
    """Well-formed claims. `chain` is the agents newest first, beginning with the one that acts; `user` is who they act for."""

    issuer: str
    subject: str
    audience: str
    token_id: str
    issued_at: int
    not_before: int
    expires_at: int
    chain: tuple[str, ...]
    user: str | None
    scopes: tuple[str, ...]
    run: str | None
    bound_to: str
    ancestors: tuple[str, ...]
    epoch: int


def check(claims: dict[str, Any]) -> Claims:
    """Claims by form alone, without clock or registry. Raises Refusal("invalid_token")."""
    unknown = claims.keys() - _KNOWN
    if unknown:
        refuse(f"the claim {min(unknown)[:32]!a} is not one that this gateway writes")
    issued_at = _seconds(claims, "iat")
    subject = _text(claims, "sub")
    agents, user = _who(subject, claims)
    own = _own(claims)
    if _text(claims, "client_id") != agents[0]:
        refuse("client_id is not the acting agent")
    return Claims(
        issuer=_text(claims, "iss"),
        subject=subject,
        audience=_text(claims, "aud"),
        token_id=_named(_text(claims, "jti"), TOKEN_ID, "jti"),
        issued_at=issued_at,
        not_before=_seconds(claims, "nbf") if "nbf" in claims else issued_at,
        expires_at=_seconds(claims, "exp"),
        chain=agents,
        user=user,
        scopes=_scopes(claims),
        run=_named(_text(own, "run"), RUN, "gw.run") if "run" in own else None,
        bound_to=_bound_to(claims),
        ancestors=_ancestors(own),
        epoch=_seconds(own, "epoch") if "epoch" in own else 0,
    )


def _seconds(claims: dict[str, Any], name: str) -> int:
    value = claims.get(name)
    if type(value) is not int or not 0 <= value <= SECONDS_MAX:  # exact type: True, 1e30 and "9999999999" are no times
        refuse(f"{name} is missing or not a whole number of seconds")
    return value


def _text(claims: dict[str, Any], name: str) -> str:
    value = claims.get(name)
    if type(value) is not str:  # for aud: a list would let one token be good here and elsewhere
        refuse(f"{name} is missing or not one text")
    return value


def _named(value: str, pattern: re.Pattern[str], name: str) -> str:
    if not pattern.fullmatch(value):
        refuse(f"{name} has characters outside its alphabet")
    return value


def _who(subject: str, claims: dict[str, Any]) -> tuple[tuple[str, ...], str | None]:
    """The agents of the chain, newest first, and the user: every name in its alphabet, the chain no longer than CHAIN_MAX."""
    agents: list[str] = []
    holder = claims
    while "act" in holder:
        act = holder["act"]
        if type(act) is not dict or not act.keys() <= {"sub", "act"}:
            refuse("act is not an object with sub and act only")
        if len(agents) == CHAIN_MAX:
            refuse(f"the act chain is longer than {CHAIN_MAX}")
        agents.append(_agent(_text(act, "sub")))
        holder = act
    user: str | None = None
    if subject.startswith("user:"):
        user = _named(subject.removeprefix("user:"), USER, "sub")
    else:
        agents.append(_agent(subject))  # the agent that all authority comes from stands last
    if not agents:
        refuse("a user's token names no acting agent")
    if len(set(agents)) != len(agents):
        refuse("the act chain names an agent twice")
    return tuple(agents), user


def _agent(subject: str) -> str:
    if not subject.startswith("agent:"):
        refuse("a subject is neither an agent nor a user")
    return _named(subject.removeprefix("agent:"), AGENT_ID, "sub")


def _scopes(claims: dict[str, Any]) -> tuple[str, ...]:
    if "scope" not in claims:
        return ()
    scopes = _text(claims, "scope").split(" ")
    if len(scopes) > SCOPES_MAX or len(set(scopes)) != len(scopes):
        refuse("scope has too many members or one twice")
    return tuple(_named(scope, SCOPE, "scope") for scope in scopes)


def _own(claims: dict[str, Any]) -> dict[str, Any]:
    """The gateway's own claim: the run, how the agent proved itself, the epoch of its kill switch, the tokens it was exchanged from."""
    own = claims.get("gw", {})
    if type(own) is not dict or not own.keys() <= _OWN:
        refuse("gw has members that this gateway does not write")
    if "auth" in own:
        _named(_text(own, "auth"), _WAYS, "gw.auth")
    return own


def _bound_to(claims: dict[str, Any]) -> str:
    if "cnf" not in claims:
        return ""
    key = claims["cnf"]
    if type(key) is not dict or key.keys() != {"jkt"}:
        refuse("cnf is not the thumbprint of a key alone")
    return _named(_text(key, "jkt"), THUMBPRINT, "cnf.jkt")


def _ancestors(own: dict[str, Any]) -> tuple[str, ...]:
    found = own.get("parents", [])
    if type(found) is not list or len(found) > CHAIN_MAX or not all(type(name) is str for name in found):
        refuse("gw.parents is not a short list of token ids")
    return tuple(_named(name, TOKEN_ID, "gw.parents") for name in found)
