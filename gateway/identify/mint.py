"""Makes a token for a registered agent: what its file allows and nothing beyond."""

from __future__ import annotations

import base64
import secrets
from dataclasses import dataclass

from gateway import canonical
from gateway.call import Identity
from gateway.canonical import Json
from gateway.errors import Problem
from gateway.identify.claims import THUMBPRINT
from gateway.identify.keys import SigningKeys
from gateway.identify.token import TYP
from gateway.identities.issuer import TTL_S_MAX
from gateway.identities.model import RUN, USER, Agent
from gateway.secret import Secret


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of a token. None: as much as the agent's file allows (`ttl_s`, `scopes`), or nothing (`user`, `run`).

    `bound_to` is the thumbprint of the key that it shall be bound to. `auth` says how the agent proved itself. With `parent` it is a delegated
    token: whose the parent is, acted on by the agent, after all who acted before. `epoch` is the gateway's when the token was asked for: what is
    stopped from then on stops it, too.
    """

    ttl_s: int | None = None
    user: str | None = None
    scopes: tuple[str, ...] | None = None
    run: str | None = None
    bound_to: str = ""
    auth: str = "local"
    parent: Identity | None = None
    epoch: int = 0


def mint(keys: SigningKeys, agent: Agent, wish: Wish = Wish(), *, issuer: str, audience: str, now: float) -> Secret:
    """Sign a token (RFC 9068) for the agent, or for the user it acts for. `now` in seconds since the epoch.

    A wish for a longer life is cut to the agent's cap. Raises Problem when the agent is not in use or its file does not allow what is wished.
    """
    return sign(keys, draft(agent, wish, issuer=issuer, audience=audience, now=now))


def draft(agent: Agent, wish: Wish, *, issuer: str, audience: str, now: float) -> dict[str, Json]:
    """The claims of such a token. Raises Problem as `mint` does."""
    _check(agent, wish, audience, now)
    scopes = agent.scopes if wish.scopes is None else wish.scopes
    issued_at = int(now)
    claims: dict[str, Json] = {
        "iss": issuer,
        "sub": f"agent:{agent.id}" if wish.user is None else f"user:{wish.user}",
        "client_id": agent.id,
        "aud": audience,
        "iat": issued_at,
        "exp": issued_at + life_s(agent, wish.ttl_s),
        "jti": secrets.token_urlsafe(16),
    }
    if scopes:
        claims["scope"] = " ".join(scopes)
    if wish.user is not None:
        claims["act"] = {"sub": f"agent:{agent.id}"}
    own: dict[str, Json] = {"auth": wish.auth, "epoch": wish.epoch}
    if wish.run is not None:
        own["run"] = wish.run
    if wish.parent is not None:
        claims["sub"] = wish.parent.subject
        claims["act"] = _chain(agent, wish.parent)
        own["parents"] = [*wish.parent.ancestors, wish.parent.token_id]
    if wish.bound_to:
        claims["cnf"] = {"jkt": wish.bound_to}
    claims["gw"] = own
    return claims


def sign(keys: SigningKeys, claims: dict[str, Json]) -> Secret:
    """The claims as a token of ours. Blocks when the signer is remote; raises Refusal when it cannot be asked."""
    header = {"typ": TYP, "alg": "ES256", "kid": keys.kid}
    signed = _segment(canonical.dumps_in_order(header)) + b"." + _segment(canonical.dumps_in_order(claims))
    return Secret((signed + b"." + _segment(keys.signer.sign(signed))).decode("ascii"))


def _chain(agent: Agent, parent: Identity) -> Json:
    """The `act` of a delegated token: the newest actor outermost (RFC 8693 section 4.1). An agent that is the subject is no actor."""
    actors = [agent.id, parent.agent, *parent.actors]
    act: Json = None
    for name in reversed(actors if parent.user is not None else actors[:-1]):
        act = {"sub": f"agent:{name}"} if act is None else {"sub": f"agent:{name}", "act": act}
    return act


def life_s(agent: Agent, wished_s: int | None) -> int:
    """How long a token of the agent lives: the wish, the agent's cap and one hour, whichever is least."""
    return min(agent.ttl_s if wished_s is None else wished_s, agent.ttl_s, TTL_S_MAX)


def _check(agent: Agent, wish: Wish, audience: str, now: float) -> None:
    why = agent.unusable_because(now)
    if why:
        remedy = "ask its owner; a reviewed change of the file brings it back"
        raise Problem("agent_not_active", f"the agent {agent.id!r} {why}", file=agent.file, key="agent.status", remedy=remedy)
    if wish.ttl_s is not None and wish.ttl_s <= 0:
        raise Problem("bad_duration", "a token must live for at least one second", key="ttl", remedy='write a duration like "5m"')
    if wish.user is not None and not USER.fullmatch(wish.user):
        raise Problem("bad_name", "the user has characters that no token may hold", key="user", remedy=f"use only {USER.pattern}")
    if wish.user is not None and not agent.delegation.may_act_for_users:
        remedy = "its file needs [delegation] may_act_for_users = true"
        raise Problem("may_not_delegate", f"the agent {agent.id!r} may not act for users", file=agent.file, key="delegation", remedy=remedy)
    _check_binding(agent, wish)
    if wish.run is not None and not RUN.fullmatch(wish.run):
        raise Problem("bad_name", "the run has characters that no token may hold", key="run", remedy=f"use only {RUN.pattern}")
    beyond = sorted(set(wish.scopes or ()) - set(agent.scopes))
    if beyond:
        remedy = f"its scopes are: {' '.join(agent.scopes) or 'none'}"
        raise Problem(
            "scope_beyond_agent", f"the agent {agent.id!r} may not have {' '.join(beyond)}", file=agent.file, key="token.scopes", remedy=remedy
        )
    if agent.audiences and audience not in agent.audiences:
        remedy = f"add {audience} to its audiences, or remove them to mean just this gateway"
        raise Problem(
            "audience_beyond_agent", f"the agent {agent.id!r} may not use this gateway", file=agent.file, key="token.audiences", remedy=remedy
        )


def _check_binding(agent: Agent, wish: Wish) -> None:
    if agent.pop == "required" and not wish.bound_to:
        remedy = (
            f"call with a proof: portreeve curl --as {agent.id} PATH, or gateway.client with GatewayAuth(dpop=True); --jkt binds it to a key of yours"
        )
        raise Problem("key_needed", f"tokens of the agent {agent.id!r} must be bound to a key", file=agent.file, key="token.pop", remedy=remedy)
    if agent.pop == "none" and wish.bound_to:
        remedy = 'its file needs [token] pop = "optional"'
        raise Problem("no_key_wanted", f"tokens of the agent {agent.id!r} are bearer tokens", file=agent.file, key="token.pop", remedy=remedy)
    if wish.bound_to and not THUMBPRINT.fullmatch(wish.bound_to):
        raise Problem("bad_name", "the thumbprint is none of a key (RFC 7638)", key="jkt", remedy="write 43 characters of base64url")


def _segment(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
