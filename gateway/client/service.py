"""The gateway's token service as an agent asks it (RFC 6749, 7009, 9449)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

from gateway.client.key import AgentKey
from gateway.errors import Problem
from gateway.secret import Secret

TIMEOUT_S = 10.0
TOKEN_PATH, REVOKE_PATH, ENROL_PATH = "/oauth2/token", "/oauth2/revoke", "/enrol"
_HINTS = {
    "invalid_client": "is the key still the agent's (portreeve identity list), and is this clock right?",
    "invalid_grant": "is the gateway's URL the audience of that token, and does the agent's file name its subject?",
    "unauthorized_client": "the agent is suspended, expired or halted: ask the gateway's operator",
    "invalid_dpop_proof": "the agent's file says whether its tokens are bound to a key: set dpop accordingly, and look at this clock",
    "invalid_scope": "ask for no scope, or for one of the agent's",
    "slow_down": "wait, and keep the token until it ends instead of asking for each call",
}


@dataclass(frozen=True, slots=True)
class Issued:
    """A token with its life in seconds from now; `bound` when it goes with proofs."""

    token: Secret
    life_s: float
    bound: bool


@dataclass(frozen=True, slots=True)
class TokenService:
    """`url` is where it is reached, `issuer` its own name. Answers come straight from there: no proxy of the environment, no redirect.

    `transport` replaces the network.
    """

    url: str
    issuer: str
    transport: httpx2.BaseTransport | None = field(default=None, repr=False)

    def ask(self, form: Mapping[str, str], key: AgentKey | None) -> Issued:
        """A token for the form of a source; `key` is what it shall be bound to. Raises Problem, which quotes nothing that was sent."""
        headers = {"dpop": key.proof("POST", self.issuer + TOKEN_PATH)} if key else {}
        said = self._post(TOKEN_PATH, headers, data=dict(form))
        token, life, kind = (said.get(name) for name in ("access_token", "expires_in", "token_type"))
        if type(token) is not str or not token.isascii() or type(life) is not int or life <= 0 or kind not in {"Bearer", "DPoP"}:
            raise Problem("token_service_unclear", f"{self.url} did not answer like a token service", remedy="is PORTREEVE_URL the gateway's?")
        if (kind == "DPoP") is not (key is not None):
            raise Problem("token_not_bound", "the token is not bound as it was asked for", remedy="set dpop as the agent's file says")
        return Issued(Secret(token), life, key is not None)

    def revoke(self, token: Secret) -> None:
        """End a token before its time (RFC 7009). Raises Problem."""
        self._post(REVOKE_PATH, {}, data={"token": token.reveal()})

    def enrol(self, code: Secret, key: AgentKey) -> tuple[str, str]:
        """Register a key by a one-time code: the agent that it is now a key of, and its `kid`. Raises Problem."""
        proof = key.proof("POST", self.issuer + ENROL_PATH, code.reveal())
        said = self._post(ENROL_PATH, {}, json={"code": code.reveal(), "jwk": key.public, "proof": proof})
        agent, kid = said.get("agent"), said.get("kid")
        if type(agent) is not str or type(kid) is not str:
            raise Problem("token_service_unclear", f"{self.url} did not answer like a gateway", remedy="is PORTREEVE_URL the gateway's?")
        return agent, kid

    def _post(self, path: str, headers: dict[str, str], **body: Any) -> Mapping[str, Any]:
        http = httpx2.Client(transport=self.transport, trust_env=False, timeout=TIMEOUT_S)
        try:
            answer = http.post(self.url + path, headers=headers, **body)
        except (httpx2.TransportError, httpx2.InvalidURL) as error:
            raise Problem("gateway_unreachable", f"{self.url}: {type(error).__name__}", remedy="is PORTREEVE_URL right, and is it up?") from None
        finally:
            if self.transport is None:
                http.close()
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.is_success and isinstance(said, dict):
            return said
        code = said.get("error") if isinstance(said, dict) else None
        if type(code) is not str or not code.isidentifier():
            raise Problem("token_service_unclear", f"{self.url}{path} answered {answer.status_code}", remedy="is PORTREEVE_URL the gateway's?")
        raise Problem(code, f"{self.url} gives no token ({answer.status_code})", remedy=_HINTS.get(code, "the gateway's log says more"))
