"""`[credential.NAME.oauth2]`: an access token from a token endpoint (RFC 6749), as a client or in exchange for what the gateway vouches for (RFC 8693).

With a revocation endpoint (RFC 7009) tokens can be given back before they end. What the agent presented to us is never sent there: the issuer trusts the gateway's signature, and learns from it who acts for whom.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from urllib.parse import quote_plus, urlencode

from gateway.call import Identity
from gateway.canonical import Json, JsonError, loads
from gateway.config.sources import OAuth2Settings
from gateway.errors import Refusal
from gateway.fetch import Fetched as Answer
from gateway.fetch import Fetcher, FetchError
from gateway.inject.assertion import ClientKey
from gateway.inject.source import CredentialSource, Fetched, Need, Unreachable, Unreadable, secret_of
from gateway.inject.vouching import Vouch

ANSWER_BYTES_MAX = 128 * 1024
LIFE_S = 300.0
"""How long a token is kept whose answer does not say (RFC 6749 section 5.1 only recommends that it does)."""
LIFE_S_MAX = 24 * 3600.0
ASSERTION_LIFE_S = 60
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_TYPE = "urn:ietf:params:oauth:token-type:jwt"
ACCESS_TOKEN_TYPE = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name
LEASE = "access token"
_OWN = Need(Identity("", "", "", "", "", "", 0), "")
"""The client's own secret is the same for everybody."""
_OF_THE_REQUEST = frozenset({"invalid_grant", "invalid_target", "invalid_request", "access_denied"})
"""Answers that are about this user or agent; after others there is no use in asking for anybody."""
_REVOKED = frozenset({200, 204})
"""Also the answer for a token that the issuer does not know any more (RFC 7009 section 2.2)."""
_KNOWN = _OF_THE_REQUEST | {"invalid_client", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}


class OAuth2Source:
    """Tokens of one client. `client` is where its secret is, or its key."""

    kind = "oauth2"

    def __init__(self, settings: OAuth2Settings, client: CredentialSource | ClientKey | None, fetcher: Fetcher, vouch: Vouch) -> None:
        self._settings = settings
        self._client = client
        self._fetcher = fetcher
        self._vouch = vouch
        self._asked = " ".join(settings.scopes)

    def check(self) -> None:
        if self._client is None:
            raise Unreadable("there is nothing by which the client could prove itself", "write client_secret or client_key")
        self._client.check()

    def scope(self, need: Need) -> str:  # noqa: ARG002 - the same for every call of a credential
        settings = self._settings
        return "\n".join((self._asked, settings.audience or "", settings.resource or ""))

    async def fetch(self, need: Need) -> Fetched:
        settings = self._settings
        form = {"scope": self._asked, "audience": settings.audience or "", "resource": settings.resource or ""}
        try:
            form |= await self._exchange(need) if settings.grant == "token_exchange" else {"grant_type": "client_credentials"}
            answer = await self._post(settings.token_url, form)
        except FetchError as error:
            raise Unreachable(f"the token endpoint: {error}", "look at the token endpoint and the way to it") from None
        except Refusal as refusal:
            raise Unreachable(refusal.reason, "look at what signs the gateway's tokens") from None
        return self._token(answer)

    async def renew(self, fetched: Fetched) -> Fetched | None:
        """A token has one life."""

    async def give_back(self, fetched: Fetched) -> None:
        url = self._settings.revocation_url
        if url is None:
            return
        try:
            answer = await self._post(url, {"token": fetched.secret.reveal(), "token_type_hint": "access_token"})
        except FetchError as error:
            raise Unreachable(f"the revocation endpoint: {error}", "look at the revocation endpoint and the way to it") from None
        if answer.status not in _REVOKED:
            raise Unreachable(
                f"the revocation endpoint answered with status {answer.status}", "compare the client with what the issuer has registered"
            )

    async def _post(self, url: str, form: Mapping[str, str]) -> Answer:
        """Send a form as the client, without the fields that are empty. Raises FetchError, and Unreadable where the client cannot prove itself."""
        fields, headers = await self._proof()
        body = urlencode({name: value for name, value in {**form, **fields}.items() if value}).encode()
        headers["content-type"] = "application/x-www-form-urlencoded"
        return await self._fetcher.post(url, body, bytes_max=ANSWER_BYTES_MAX, headers=headers)

    async def _exchange(self, need: Need) -> dict[str, str]:
        """Who acts for whom: the subject, and in a statement of its own the agent (RFC 8693 section 2.1)."""
        who, audience = need.identity, self._settings.token_url
        agent = f"agent:{who.agent}"
        act: Json = None
        for earlier in reversed(who.actors):
            act = {"sub": f"agent:{earlier}"} if act is None else {"sub": f"agent:{earlier}", "act": act}
        acting: Mapping[str, Json] = {"act": act} if act is not None else {}
        actor = await self._vouch(agent, audience, acting)
        form = {"grant_type": EXCHANGE, "requested_token_type": ACCESS_TOKEN_TYPE, "subject_token_type": JWT_TYPE}
        if self._settings.subject == "agent":
            return form | {"subject_token": actor.reveal()}
        if who.user is None:
            raise Unreadable("the call is in no user's name, and the token would be", 'let a user delegate to the agent, or write subject = "agent"')
        subject = await self._vouch(f"user:{who.user}", audience, {"may_act": {"sub": agent}})
        return form | {"subject_token": subject.reveal(), "actor_token": actor.reveal(), "actor_token_type": JWT_TYPE}

    async def _proof(self) -> tuple[dict[str, str], dict[str, str]]:
        """How the client proves itself: fields of the form, and headers (RFC 6749 section 2.3.1, RFC 7523 section 2.2)."""
        settings, client = self._settings, self._client
        if isinstance(client, ClientKey):
            assertion = client.sign({"iss": settings.client_id, "sub": settings.client_id, "aud": settings.token_url}, ASSERTION_LIFE_S)
            return {"client_id": settings.client_id, "client_assertion_type": JWT_BEARER, "client_assertion": assertion.reveal()}, {}
        if client is None:
            raise Unreachable("there is nothing by which the client could prove itself", "write client_secret or client_key")
        secret = (await client.fetch(_OWN)).secret
        if settings.client_auth == "post":
            return {"client_id": settings.client_id, "client_secret": secret.reveal()}, {}
        pair = f"{quote_plus(settings.client_id)}:{quote_plus(secret.reveal())}"
        return {}, {"authorization": "Basic " + base64.b64encode(pair.encode()).decode("ascii")}

    def _token(self, answer: Answer) -> Fetched:
        """The token of an answer. What the answer says is quoted only where it is one of the known words."""
        remedy = "compare the client's settings with what the issuer has registered"
        try:
            told = loads(answer.body)
        except JsonError:
            told = None
        if not isinstance(told, dict):
            raise Unreachable(f"the token endpoint answered with status {answer.status} and no JSON object", "look at the token endpoint")
        if answer.status != 200:
            error = told.get("error")
            code = error if isinstance(error, str) and error in _KNOWN else f"status {answer.status}"
            kind = Unreadable if code in _OF_THE_REQUEST and self._settings.grant == "token_exchange" else Unreachable
            raise kind(f"the token endpoint refused: {code}", remedy)
        token, kind_of, life_s, granted = (told.get(name) for name in ("access_token", "token_type", "expires_in", "scope"))
        if not isinstance(token, str) or not isinstance(kind_of, str) or kind_of.lower() != "bearer":
            raise Unreachable("the token endpoint gave no bearer token", remedy)
        if isinstance(granted, str) and self._asked and not set(granted.split(" ")) <= set(self._settings.scopes):
            raise Unreachable("the token endpoint gave scopes that were not asked for", remedy)
        if isinstance(life_s, bool) or not isinstance(life_s, int | float | None) or (life_s is not None and not life_s > 0):
            raise Unreachable("the token endpoint gave a token that is over already", remedy)
        secret = secret_of(token.encode("utf-8", "replace"), "the token")
        kept_s = min(float(life_s), LIFE_S_MAX) if life_s is not None else LIFE_S
        return Fetched(secret, kept_s, lease=LEASE if self._settings.revocation_url else "")
