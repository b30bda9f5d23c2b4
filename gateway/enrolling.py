"""An agent registers a key of its own: with the one-time code that an operator gave it, and a proof that it holds the key."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from gateway.canonical import Json
from gateway.declined import Declined
from gateway.errors import Refusal
from gateway.identities.jwk import JwkError, VerifyingKey, read_jwk
from gateway.identities.model import EnrolledKeys
from gateway.issuance import Asked, TokenService
from gateway.proof import Proof
from gateway.rights import declining
from gateway.secret import Secret

MEMBERS = ("kty", "crv", "x", "y", "n", "e", "alg")
"""What is kept of a key."""


async def enrol(service: TokenService, asked: Asked, base_url: str) -> dict[str, Json]:
    """Register `jwk` for the agent that `code` was made for. `proof` is a DPoP proof (RFC 9449) of that key for POST to this endpoint, with `ath` the
    SHA-256 of the code, so that neither can be taken for another. Raises Declined.
    """
    async with service.attempt("enrol", asked) as attempt:
        form: Mapping[str, Json] = asked.form
        code, jwk, proof = (form.get(name) for name in ("code", "jwk", "proof"))
        if type(code) is not str or type(jwk) is not dict or type(proof) is not str or not code.isascii():
            raise Declined("invalid_request", "The body needs code, jwk and proof.")
        key = _key(jwk)
        with declining("invalid_dpop_proof"):
            thumbprint = await service.trust.token_proofs.check(Proof(Secret(proof), "POST", f"{base_url}/enrol"), code.encode("ascii"))
        if thumbprint != key.thumbprint:
            raise Declined("invalid_dpop_proof", reason="the proof is by another key than the one to enrol")
        kept = {name: jwk[name] for name in MEMBERS if name in jwk} | {"kid": key.thumbprint}
        try:
            agent = await service.trust.enrolments.agent_of(code)
            why = _why_not(service, agent)
            enrolled = None if why else await service.trust.enrolments.enrol(code, kept)
        except sqlite3.Error as error:
            raise Refusal("overloaded", reason=f"the state database failed: {type(error).__name__}") from error
        if enrolled is None:
            raise Declined("invalid_grant", reason=why or "the code was used, or the key is known, or the agent has as many as it may")
        attempt.claimed = enrolled.agent
        await service.record(attempt, agent=enrolled.agent, key=key.thumbprint)
        return {"agent": enrolled.agent, "kid": key.thumbprint, "issuer": base_url, "token_endpoint": f"{base_url}/oauth2/token"}


def _key(jwk: dict[str, Json]) -> VerifyingKey:
    try:
        return read_jwk(jwk)
    except JwkError as error:
        raise Declined("invalid_request", f"The jwk is not a public key to trust: {error}.") from error


def _why_not(service: TokenService, agent: str | None) -> str:
    """Why a code counts for nobody; empty when it does."""
    if agent is None:
        return "the code is unknown, used or older than ten minutes"
    state = service.state()
    why = state.identifier.verifier.standing(agent)
    halted = service.trust.halts.board.halt_of(agent)
    if why or halted:
        return why or f"halted: {halted}"
    if not any(isinstance(credential, EnrolledKeys) for credential in state.identifier.identities.agents[agent].credentials):
        return f'the file of agent {agent} has no [[credential]] of kind "enrolled"'
    return ""
