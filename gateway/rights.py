"""By which right a token is asked for: the agent that proves itself, and what it may have at most. One function for each grant."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Never

from gateway.call import Identity
from gateway.declined import Declined
from gateway.errors import Problem, Refusal
from gateway.identify.clients import Client, Clients
from gateway.identify.token import Parsed, ascii_bytes, parse, refuse
from gateway.identities.model import Agent
from gateway.secret import Secret
from gateway.state import State
from gateway.trust import Trust

CLIENT_CREDENTIALS = "client_credentials"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - a name, not a token
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105
JWT = "urn:ietf:params:oauth:token-type:jwt"
ID_TOKEN = "urn:ietf:params:oauth:token-type:id_token"  # noqa: S105
TOKEN_TYPES = frozenset({ACCESS_TOKEN, JWT, ID_TOKEN})
DELEGATED_S_MAX = 120
"""A token that was exchanged lives no longer than this, and never longer than the one it came from."""

_PROBLEMS = {
    "agent_not_active": "unauthorized_client",
    "scope_beyond_agent": "invalid_scope",
    "audience_beyond_agent": "invalid_target",
    "may_not_delegate": "access_denied",
    "key_needed": "invalid_dpop_proof",
    "no_key_wanted": "invalid_dpop_proof",
}
Form = Mapping[str, str]


@dataclass(slots=True)
class Attempt:
    """What is known of a request so far, for its record."""

    grant: str
    peer: str
    claimed: str = ""
    client: Client | None = None
    parents: tuple[str, ...] = ()
    scopes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Right:
    """For which agent a token is asked, the most that it may have, and what it comes from."""

    agent: Agent
    auth: str
    scopes: tuple[str, ...]
    ttl_s: int | None = None
    user: str | None = None
    parent: Identity | None = field(default=None, repr=False)


@contextlib.contextmanager
def declining(code: str) -> Iterator[None]:
    """Say what identify or mint refuse in the words of OAuth; trouble of our own stays trouble of our own."""
    try:
        yield
    except Refusal as refusal:
        if refusal.code != "invalid_token":
            raise
        raise Declined(code, reason=refusal.reason) from refusal
    except Problem as problem:
        raise Declined(_PROBLEMS.get(problem.code, "invalid_request"), problem.message, reason=str(problem)) from problem


def missing(name: str) -> Never:
    raise Declined("invalid_request", f"The parameter {name} is missing.")


class Rights:
    """The rights of one state. Single use of assertions is held by what outlives it, in `trust`."""

    def __init__(self, state: State, trust: Trust) -> None:
        url = state.settings.url
        self._identities = state.identifier.identities
        self._verifier = state.identifier.verifier
        self._federation = state.identifier.federation
        self._once = trust.once
        self._now = trust.now
        audiences = frozenset({url, f"{url}/oauth2/token"})
        self._clients = Clients(state.identifier.identities, trust.enrolments.keys, audiences, trust.now)

    async def of(self, grant: str, form: Form, attempt: Attempt, bound_to: str) -> Right:
        """The right by one of the three grants. Raises Declined."""
        if grant == CLIENT_CREDENTIALS:
            client = await self.client(form, attempt)
            return Right(client.agent, client.auth, client.agent.scopes)
        if grant == JWT_BEARER:
            with declining("invalid_grant"):
                client = await self._foreign(form.get("assertion") or missing("assertion"), attempt)
            _check_client_id(form, client)
            return Right(client.agent, client.auth, client.agent.scopes)
        return await self._exchange(form, attempt, bound_to)

    async def client(self, form: Form, attempt: Attempt) -> Client:
        """Who asks, proven by `client_assertion`: signed by a key of the agent, or a token of an issuer that vouches for it. Raises Declined."""
        if form.get("client_assertion_type") != ASSERTION_TYPE or not form.get("client_assertion"):
            raise Declined("invalid_client", f"Prove the client with client_assertion_type {ASSERTION_TYPE} and client_assertion.")
        with declining("invalid_client"):
            raw, parsed = _parsed(form["client_assertion"])
            if self._clients.names(parsed):
                client = self._clients.prove(parsed)
                self._check(client)
                await self._use(client)
                attempt.client = client
            else:
                client = await self._vouched(raw, parsed, attempt)
        _check_client_id(form, client)
        return client

    async def _foreign(self, text: str, attempt: Attempt) -> Client:
        raw, parsed = _parsed(text)
        if self._verifier.issued(parsed) or self._clients.names(parsed):
            refuse("the assertion is no token of another issuer")
        return await self._vouched(raw, parsed, attempt)

    async def _vouched(self, raw: bytes, parsed: Parsed, attempt: Attempt) -> Client:
        """The agent that another issuer vouches for."""
        vouched = await self._federation.vouch(raw, parsed)
        issuer, proven = vouched.issuer, vouched.proven
        agent = self._federation.agent(vouched)
        if issuer.single_use and not proven.token_id:
            refuse(f"a token of issuer {issuer.name} has no jti, so it could be used again")
        client = Client.by(proven, agent, f"issuer:{issuer.name}", f"token {proven.issuer} {proven.token_id}" if issuer.single_use else "")
        self._check(client)
        await self._use(client)
        attempt.client = client
        return client

    def _check(self, client: Client) -> None:
        why = self._verifier.standing(client.agent.id)
        if why:
            refuse(why)
        self._verifier.check_denials(client.token_id, client.key_id, ())

    async def _use(self, client: Client) -> None:
        if client.name and not await self._once.take(client.name, client.expires_at):
            refuse("the assertion was used before")

    async def _exchange(self, form: Form, attempt: Attempt, bound_to: str) -> Right:
        """RFC 8693: the subject's token becomes one with which the actor acts. The actor is who asks."""
        if form.get("requested_token_type", ACCESS_TOKEN) != ACCESS_TOKEN:
            raise Declined("invalid_request", "Only access tokens are issued.")
        if form.get("subject_token_type") not in TOKEN_TYPES or not form.get("subject_token"):
            missing("subject_token or a known subject_token_type")
        actor, auth, until = await self._actor(form, attempt, bound_to)
        with declining("invalid_grant"):
            raw, parsed = _parsed(form["subject_token"])
            if self._verifier.issued(parsed):
                parent = self._own(raw, parsed)
            else:
                return await self._for_user(raw, parsed, actor, auth, until)
        if parent.bound_to and not bound_to:
            raise Declined("invalid_dpop_proof", "The token is bound to a key, so what comes of it must be, too.")
        attempt.parents = (*parent.ancestors, parent.token_id)
        scopes = tuple(scope for scope in parent.scopes if scope in actor.scopes)
        return Right(actor, auth, scopes, self._life(parent.expires_at, until), parent=parent)

    async def _for_user(self, raw: bytes, parsed: Parsed, actor: Agent, auth: str, until: int) -> Right:
        vouched = await self._federation.vouch(raw, parsed)
        user = self._federation.user(vouched, actor)
        self._verifier.check_denials(vouched.proven.token_id, vouched.proven.key_id, ())
        return Right(actor, auth, actor.scopes, self._life(vouched.proven.expires_at, until), user=user)

    async def _actor(self, form: Form, attempt: Attempt, bound_to: str) -> tuple[Agent, str, int]:
        """The agent that will act, how it proved itself, and until when its proof holds: by assertion, or by a token of its own."""
        text = form.get("actor_token")
        if text is None:
            client = await self.client(form, attempt)
            return client.agent, client.auth, client.expires_at + DELEGATED_S_MAX
        if form.get("actor_token_type") not in {ACCESS_TOKEN, JWT} or "client_assertion" in form:
            raise Declined("invalid_request", "actor_token needs a known actor_token_type, and no client_assertion beside it.")
        with declining("invalid_client"):
            raw, parsed = _parsed(text)
            if not self._verifier.issued(parsed):
                client = await self._vouched(raw, parsed, attempt)
                return client.agent, client.auth, client.expires_at + DELEGATED_S_MAX
            identity = self._own(raw, parsed)
            if identity.bound_to and identity.bound_to != bound_to:
                refuse("the actor's token is bound to a key that was not proven")
            if identity.user is not None or identity.actors:
                refuse("the actor's token is a delegated one, not the agent's own")
            agent = self._identities.agents[identity.agent]
            attempt.client = Client(agent, "local", identity.issuer, identity.key_id, identity.token_id, identity.expires_at)
            return agent, "local", identity.expires_at

    def _own(self, raw: bytes, parsed: Parsed) -> Identity:
        """Whose token of ours it is. One from before a kill counts for nothing here, not even while what was killed is still halted."""
        identity = self._verifier.prove(raw, parsed)
        why = self._verifier.against(identity)
        if why:
            refuse(why)
        return identity

    def _life(self, *ends: int) -> int:
        return max(1, min(DELEGATED_S_MAX, *(end - int(self._now()) for end in ends)))


def _parsed(text: str) -> tuple[bytes, Parsed]:
    raw = ascii_bytes(Secret(text))
    return raw, parse(raw)


def _check_client_id(form: Form, client: Client) -> None:
    """RFC 7521 section 4.2: `client_id` is not needed, but when it is there it must be who the assertion proves."""
    if form.get("client_id", client.agent.id) != client.agent.id:
        raise Declined("invalid_client", reason="client_id is not who the assertion proves")
