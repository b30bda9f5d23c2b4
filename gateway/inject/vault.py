"""The OpenBao or Vault of a deployment: the gateway logs in as itself, and asks with the token that it gets.

The login is a statement under the gateway's own key (JWT method), so there is no token to store. What a token made ends with the token: it is renewed
at two thirds of its life, and given back at the end, which takes with it every lease that nobody gave back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from gateway.canonical import Json, JsonError, dumps, loads
from gateway.config.sources import VaultSettings
from gateway.errors import Refusal
from gateway.fetch import Fetched as Answer
from gateway.fetch import Fetcher, FetchError
from gateway.inject.source import Parse, Unreachable, secret_of
from gateway.inject.vouching import Vouch
from gateway.secret import Secret

ANSWER_BYTES_MAX = 512 * 1024
RENEW_AT = 2 / 3
FORBIDDEN = 403
_OK = frozenset({200, 204})


@dataclass(slots=True)
class _Pass:
    """What the gateway is let in with. Times are of the owner's clock; `ends_at_s` is infinite for one that does not end."""

    token: Secret
    began_s: float
    life_s: float
    is_renewable: bool

    @property
    def ends_at_s(self) -> float:
        return self.began_s + self.life_s


class Vault:
    """One service. `name` is the gateway's; `now` a monotonic clock in seconds."""

    def __init__(self, settings: VaultSettings, name: str, vouch: Vouch, now: Callable[[], float] = time.monotonic) -> None:
        self.settings = settings
        self._subject = f"gateway:{name}"
        self._vouch = vouch
        self._now = now
        self._fetcher = Fetcher(settings.ca_file, timeout_s=settings.timeout_s)
        self._pass: _Pass | None = None
        self._entering = asyncio.Lock()

    @property
    def left_s(self) -> float:
        """How long what is made now can live at most: as long as the token."""
        return self._pass.ends_at_s - self._now() if self._pass else 0.0

    async def ask(self, path: str, body: Mapping[str, Json] | None = None) -> dict[str, Any]:
        """The answer to a read, or with `body` to a write. A token that does not count any more is replaced once. Raises Unreachable."""
        held = await self._enter(None)
        answer = await self._send(path, body, held.token)
        if answer.status == FORBIDDEN:
            answer = await self._send(path, body, (await self._enter(held)).token)
        if answer.status not in _OK:
            raise Unreachable(f"the vault answered {path} with status {answer.status}", "look at the path, and at the policies of the gateway's role")
        return self._object(answer) if answer.body else {}

    async def _enter(self, refused: _Pass | None) -> _Pass:
        """A token that counts now: the one there is, renewed in time, or a new one. `refused` was not let in."""
        async with self._entering:
            held, now_s = self._pass, self._now()
            if held is not None and held is not refused and now_s < held.ends_at_s:
                if now_s < held.began_s + held.life_s * RENEW_AT:
                    return held
                if held.is_renewable:
                    answer = await self._send("auth/token/renew-self", {}, held.token)
                    renewed = self._let_in(answer) if answer.status in _OK else None
                    if renewed is not None and renewed.life_s > held.life_s / 3:  # else its longest life is near
                        self._pass = renewed
                        return renewed
            self._pass = await self._login()
            return self._pass

    async def _login(self) -> _Pass:
        settings = self.settings
        try:
            statement = await self._vouch(self._subject, settings.audience or settings.url, {})
        except Refusal as refusal:
            raise Unreachable(refusal.reason, "look at what signs the gateway's tokens") from None
        answer = await self._send(f"auth/{settings.login}/login", {"role": settings.role, "jwt": statement.reveal()}, None)
        found = self._let_in(answer) if answer.status in _OK else None
        if found is None:
            remedy = f"the role must be bound to the audience {settings.audience or settings.url} and the subject {self._subject}"
            raise Unreachable(f"the vault did not let the gateway in (status {answer.status})", remedy)
        return found

    def _let_in(self, answer: Answer) -> _Pass | None:
        auth = self._object(answer).get("auth")
        if not isinstance(auth, dict) or not isinstance(auth.get("client_token"), str) or not isinstance(auth.get("lease_duration"), int):
            return None
        token = secret_of(auth["client_token"].encode("utf-8", "replace"), "the vault's token")
        return _Pass(token, self._now(), auth["lease_duration"] or float("inf"), auth.get("renewable") is True)

    async def _send(self, path: str, body: Mapping[str, Json] | None, token: Secret | None) -> Answer:
        headers = {"x-vault-request": "true", "content-type": "application/json"}
        if token is not None:
            headers["x-vault-token"] = token.reveal()
        if self.settings.namespace:
            headers["x-vault-namespace"] = self.settings.namespace
        url = f"{self.settings.url}/v1/{path}"
        try:
            if body is None:
                return await self._fetcher.get(url, bytes_max=ANSWER_BYTES_MAX, headers=headers)
            return await self._fetcher.post(url, dumps(body), bytes_max=ANSWER_BYTES_MAX, headers=headers)
        except FetchError as error:
            raise Unreachable(f"the vault: {error}", "look at the vault and the way to it") from None

    def _object(self, answer: Answer) -> dict[str, Any]:
        try:
            found = loads(answer.body)
        except JsonError:
            found = None
        if not isinstance(found, dict):
            raise Unreachable("the vault's answer is no JSON object", "look at what answers at its URL")
        return found

    async def close(self) -> None:
        """Give the token back; the leases that it made end with it. What cannot be given back ends by itself."""
        held, self._pass = self._pass, None
        if held is not None:
            try:
                await self._send("auth/token/revoke-self", {}, held.token)
            except Unreachable:
                return


def text_field(data: object, name: str, where: str, parse: Parse = secret_of) -> Secret:
    """A field of an answer. Raises Unreadable."""
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, str):
        raise Unreachable(f"{where} has no text in the field {name}", "look at what is stored there")
    return parse(value.encode("utf-8", "replace"), where)
