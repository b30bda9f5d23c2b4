"""Step one as a whole: whose call is it? Our own tokens, tokens of other issuers that may be used directly, and proofs of possession."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import replace

from gateway.call import Identity
from gateway.identify.dpop import Proofs
from gateway.identify.federation import Federation, Vouched
from gateway.identify.review import REMEMBERED_S
from gateway.identify.token import Parsed, ascii_bytes, parse, refuse
from gateway.identify.verifier import Verifier
from gateway.identities.model import TOKEN_ID, Agent
from gateway.proof import Proof, Scheme
from gateway.secret import Secret


class Identifier:
    """The answers of one snapshot; a new one comes with new identities. `proofs` and what `federation` fetches from outlive it."""

    def __init__(self, verifier: Verifier, federation: Federation, proofs: Proofs, now: Callable[[], float] = time.time) -> None:
        self.verifier = verifier
        self.federation = federation
        self.identities = verifier.identities
        self._proofs = proofs
        self._now = now

    async def identify(self, token: Secret | None, scheme: Scheme = "bearer", proof: Proof | None = None) -> Identity:
        """Whose call it is. Raises Refusal: always "invalid_token" for what the caller sent, "overloaded" when proofs cannot be remembered."""
        if token is None:
            refuse("no token was presented")
        raw = ascii_bytes(token)
        identity = self.verifier.remembered(raw)
        if identity is None:
            parsed = parse(raw)
            identity = self.verifier.prove(raw, parsed) if self.verifier.issued(parsed) else await self._direct(raw, parsed)
        if not identity.bound_to and scheme == "bearer":
            return identity
        return await self._with_proof(identity, raw, scheme, proof)

    async def _with_proof(self, identity: Identity, raw: bytes, scheme: Scheme, proof: Proof | None) -> Identity:
        """A bound token is good with its proof only, and never as a bearer token; a bearer token gains nothing from a proof (RFC 9449 section 7)."""
        if not identity.bound_to:
            refuse("the token is not bound to a key and came as one that is")
        if scheme != "dpop":
            refuse("the token is bound to a key and came as a bearer token")
        if proof is None:
            refuse("the token is bound to a key and came without a proof")
        if await self._proofs.check(proof, raw) != identity.bound_to:
            refuse("the proof is by another key than the token is bound to")
        return replace(identity, proof_of_possession=True)

    async def _direct(self, raw: bytes, parsed: Parsed) -> Identity:
        vouched = await self.federation.vouch(raw, parsed)
        if vouched.issuer.use != "direct":
            refuse(f"tokens of issuer {vouched.issuer.name} are good at the token endpoint only")
        agent = self.federation.agent(vouched)
        why = self.verifier.standing(agent.id)
        if why:
            refuse(why)
        if agent.pop == "required":
            refuse(f"the agent {agent.id} needs tokens that are bound to a key")
        identity = _identity_of(agent, vouched, raw, self.verifier.board.epoch_at(_issued_at(vouched)))
        self.verifier.check_denials(identity.token_id, identity.key_id, (agent.id,))
        self.verifier.check_revocations(identity)
        until = float(identity.expires_at if agent.expires_at is None else min(identity.expires_at, agent.expires_at))
        self.verifier.remember(raw, identity, min(until, self._now() + REMEMBERED_S) if vouched.issuer.check == "tokenreview" else until)
        return identity


def _identity_of(agent: Agent, vouched: Vouched, raw: bytes, epoch: int) -> Identity:
    """The agent as its platform vouches for it. A token without a name of its own is called by its hash."""
    proven = vouched.proven
    named = proven.token_id if TOKEN_ID.fullmatch(proven.token_id) else hashlib.sha256(raw).hexdigest()
    return Identity(
        agent=agent.id,
        issuer=proven.issuer or f"spiffe://{vouched.issuer.trust_domain}",
        subject=proven.subject,
        token_id=named,
        key_id=proven.key_id,
        audience=vouched.issuer.audience,
        expires_at=proven.expires_at,
        scopes=agent.scopes,
        epoch=epoch,
    )


def _issued_at(vouched: Vouched) -> int:
    """When the platform issued it: never later than it says, so that a kill ends tokens that do not say when they are from."""
    issued_at = vouched.proven.claims.get("iat")
    return issued_at if type(issued_at) is int else vouched.proven.expires_at - vouched.issuer.max_ttl_s
