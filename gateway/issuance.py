"""The journey of a request for a token: who asks, by which right, for how much; then the record, and only then the token.

Rules of this file:
1. No token leaves before its `token` record is durable. The record says who, by which grant, which id and scopes; never the token.
2. What is issued was verified by the same code that will verify it on every call: we never issue what we would refuse.
3. A token can only shrink on its way: scopes, life and audience of an exchanged token are within those of the one it came from.
4. Who proved itself gets a record of its own for a refusal, too; strangers are counted and summed up like those of calls.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

from gateway.call import Identity
from gateway.canonical import Json
from gateway.declined import Declined
from gateway.errors import Refusal
from gateway.identify import SigningKeys
from gateway.identify.clients import claimed
from gateway.identify.mint import Wish, draft, sign
from gateway.identify.token import ascii_bytes, parse
from gateway.identities.model import SCOPE
from gateway.identities.narrowing import rights_of
from gateway.proof import Proof
from gateway.record import Log
from gateway.refusals import RefusalSummary
from gateway.rights import CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE, Attempt, Form, Right, Rights, declining, missing
from gateway.secret import Secret
from gateway.state import State
from gateway.throttle import Throttle
from gateway.token_metrics import TokenMetrics
from gateway.trust import Trust

GRANTS = {CLIENT_CREDENTIALS: "client_credentials", JWT_BEARER: "jwt_bearer", TOKEN_EXCHANGE: "token_exchange"}
"""Each grant with its name in metrics and in the log; `revoke`, `introspect` and `enrol` stand beside them."""
SIGNING_MAX = 64
"""How many tokens may wait for a remote signer."""
PEER_FACTOR = 10
"""One address may fail this many times as often as one client of it: behind a proxy all have one address, and one must not stop the others."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request at the token endpoints: its parameters, each once, the proof that came along, and where it came from."""

    form: Form = field(repr=False)
    proof: Proof | None
    peer: str


@dataclass(frozen=True, slots=True)
class Issued:
    """A token on its way to who asked for it."""

    token: Secret
    life_s: int
    scopes: tuple[str, ...]
    bound: bool
    exchanged: bool


class TokenService:
    """Issues tokens. `state` gives the deployment in force, which is asked once a request."""

    def __init__(self, state: Callable[[], State], trust: Trust, *, log: Log, metrics: TokenMetrics, summary: RefusalSummary) -> None:
        limits = state().settings.limits
        self.state = state
        self.trust = trust
        self._log = log
        self._metrics = metrics
        self._summary = summary
        self._failures = Throttle(limits.token_failures_per_minute)
        self._peers = Throttle(limits.token_failures_per_minute * PEER_FACTOR)
        self._agents = Throttle(limits.tokens_per_minute_per_agent)
        self._signers = ThreadPoolExecutor(1, thread_name_prefix="signing")  # starts no thread before it is used
        self._signing = 0

    async def issue(self, asked: Asked) -> Issued:
        """One token, or Declined."""
        grant = asked.form.get("grant_type", "")
        async with self.attempt(GRANTS.get(grant, "unknown"), asked) as attempt:
            if not grant:
                missing("grant_type")
            if grant not in GRANTS:
                raise Declined("unsupported_grant_type", reason=f"grant_type {grant[:80]!a}")
            state, epoch = self.state(), self.trust.halts.board.epoch  # before anything is proven: a kill in between ends what is issued
            bound_to = ""
            if asked.proof is not None:
                with declining("invalid_dpop_proof"):
                    bound_to = await self.trust.token_proofs.check(asked.proof, None)
            right = await Rights(state, self.trust).of(grant, asked.form, attempt, bound_to)
            if self.trust.halts.board.rights.get(right.agent.id) != rights_of(
                right.agent
            ):  # after the epoch: a change in between ends what is issued
                raise Refusal("state_unavailable", reason="the agent's file has changed, and is not in force here yet", retry_after_s=1)
            if self._agents.is_over(right.agent.id):
                raise Declined("slow_down", "Too many tokens of this agent.", retry_after_s=self._agents.wait_s())
            self._agents.count(right.agent.id)
            wish = Wish(right.ttl_s, right.user, None, right.parent.run if right.parent else None, bound_to, right.auth, right.parent, epoch)
            return await self._issue(state, attempt, asked.form, right, wish)

    async def _issue(self, state: State, attempt: Attempt, form: Form, right: Right, wish: Wish) -> Issued:
        settings = state.settings
        audience = f"{settings.url}/tools"
        if not {form[name] for name in ("resource", "audience") if name in form} <= {audience, settings.url}:
            raise Declined("invalid_target", reason="resource or audience is not this gateway")
        scopes = attempt.scopes = _scopes(form, right.scopes)
        with declining("access_denied"):
            claims = draft(right.agent, replace(wish, scopes=scopes), issuer=settings.url, audience=audience, now=self.trust.now())
            token = await self._sign(state.keys, claims)
            raw = ascii_bytes(token)
            identity = state.identifier.verifier.prove(raw, parse(raw))
        halted = self.trust.halts.board.halted(identity, "")
        if halted:
            raise Declined("unauthorized_client", f"Halted: {', '.join(halted)}.")
        await self.record(attempt, claims=claims)
        return Issued(token, claims["exp"] - claims["iat"], scopes, bool(wish.bound_to), right.user is not None or right.parent is not None)

    async def _sign(self, keys: SigningKeys, claims: dict[str, Json]) -> Secret:
        """In a thread of its own when another service signs: one that hangs must not take the threads that others need."""
        if not keys.signer.is_remote:
            return sign(keys, claims)
        if self._signing >= SIGNING_MAX:
            raise Refusal("overloaded", reason="too many tokens wait for their signature", retry_after_s=1)
        self._signing += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._signers, sign, keys, claims)
        finally:
            self._signing -= 1

    async def introspect(self, asked: Asked) -> dict[str, Json]:
        """RFC 7662: what a token says, for an agent that is in it. Of all others, and of tokens that do not count, nothing but that."""
        async with self.attempt("introspect", asked) as attempt:
            state = self.state()
            client = await Rights(state, self.trust).client(asked.form, attempt)
            identity, claims = self._own(state, asked.form)
            if identity is None or client.agent.id not in {identity.agent, *identity.actors}:
                return {"active": False}
            if state.identifier.verifier.against(identity) or self.trust.halts.board.halted(identity, ""):
                return {"active": False}
            return {"active": True, "token_type": "DPoP" if identity.bound_to else "Bearer", **claims}

    async def revoke(self, asked: Asked) -> None:
        """RFC 7009: the token, and all that were exchanged from it, no longer count. Whoever has a token may end it: that is all it is good for then.

        A token that does not count anyway needs nothing more (section 2.2).
        """
        async with self.attempt("revoke", asked) as attempt:
            state = self.state()
            identity, claims = self._own(state, asked.form)
            if identity is None:
                return
            await self.trust.revocations.revoke(identity.token_id, identity.expires_at)
            await self.record(attempt, claims=claims)

    def _own(self, state: State, form: Form) -> tuple[Identity | None, dict[str, Json]]:
        """A token of ours and its claims; None for any other."""
        try:
            raw = ascii_bytes(Secret(form.get("token") or missing("token")))
            parsed = parse(raw)
            return state.identifier.verifier.prove(raw, parsed), parsed.claims
        except Refusal as refusal:
            if refusal.code != "invalid_token":
                raise
            return None, {}

    @contextlib.asynccontextmanager
    async def attempt(self, grant: str, asked: Asked) -> AsyncIterator[Attempt]:
        """Count the request, and see that what ends it is recorded or summed up. Raises Declined, and nothing else of what is foreseen."""
        attempt = Attempt(grant, asked.peer, _claimed(asked.form))
        try:
            self._admit(attempt)
            yield attempt
        except Declined as declined:
            await self._declined(attempt, declined)
            raise
        except Refusal as refusal:  # the log, or what must be remembered, cannot be written
            self._metrics.asked(grant, "temporarily_unavailable")
            raise Declined("temporarily_unavailable", reason=refusal.reason, retry_after_s=refusal.retry_after_s or 1) from refusal
        else:
            self._metrics.asked(grant, "issued" if grant in GRANTS.values() else "ok")

    def _admit(self, attempt: Attempt) -> None:
        if self._peers.is_over(attempt.peer) or self._failures.is_over((attempt.peer, attempt.claimed)):
            raise Declined("slow_down", "Too many failures.", retry_after_s=self._failures.wait_s())

    async def _declined(self, attempt: Attempt, declined: Declined) -> None:
        self._metrics.asked(attempt.grant, declined.code)
        if declined.code != "slow_down":
            self._peers.count(attempt.peer)
            self._failures.count((attempt.peer, attempt.claimed))
        if attempt.client is None:
            self._summary.add(Refusal("invalid_token", reason=f"{attempt.grant}: {declined.code}: {declined.reason}"), peer=attempt.peer)
            return
        try:
            await self.record(attempt, declined=declined)
        except Refusal as refusal:
            raise Declined("temporarily_unavailable", reason=refusal.reason) from refusal

    async def record(
        self, attempt: Attempt, *, claims: dict[str, Json] | None = None, declined: Declined | None = None, agent: str = "", key: str = ""
    ) -> None:
        """Make it durable: who, by what, for which token or key. Raises Refusal("log_unavailable")."""
        client = attempt.client
        body: dict[str, Json] = {
            "grant": attempt.grant,
            "agent": client.agent.id if client else claims["client_id"] if claims else agent,
            "auth": client.auth if client else "",
            "by": {"iss": client.issuer, "kid": client.key_id, "jti": client.token_id} if client else None,
            "sub": claims["sub"] if claims else None,
            "act": claims.get("act") if claims else None,
            "jti": claims["jti"] if claims else None,
            "parents": list(attempt.parents),
            "scope": claims.get("scope", "") if claims else " ".join(attempt.scopes),
            "exp": claims["exp"] if claims else None,
            "jkt": claims.get("cnf", {}).get("jkt", "") if claims else key,
            "code": declined.code if declined else "",
            "reason": declined.reason[:300] if declined else "",
            "peer": attempt.peer,
            "state": self.state().digest,
        }
        await self._log.append("token", body)


def _claimed(form: Form) -> str:
    """Who a request says that it is from, so that one client's failures do not count for another. Not believed."""
    for name in ("client_id", "client_assertion", "assertion", "actor_token", "subject_token", "token"):
        value = form.get(name)
        if isinstance(value, str):  # the body of /enrol is JSON
            try:
                return value[:256] if name == "client_id" else claimed(parse(ascii_bytes(Secret(value))))
            except Refusal:
                return ""
    return ""


def _scopes(form: Form, allowed: tuple[str, ...]) -> tuple[str, ...]:
    """The scopes asked for, which must be among those allowed; without asking, all of these."""
    if "scope" not in form:
        return allowed
    asked = form["scope"].split(" ")
    if not all(SCOPE.fullmatch(scope) for scope in asked) or len(set(asked)) != len(asked):
        raise Declined("invalid_scope", "The scope is not a list of different names.")
    beyond = sorted(set(asked) - set(allowed))
    if beyond:
        raise Declined("invalid_scope", f"Not to be had here: {' '.join(beyond)[:200]}")
    return tuple(asked)
