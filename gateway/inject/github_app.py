"""`[credential.NAME.github_app]`: a token of an installation of a GitHub App, for the one repository that the call is about."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from datetime import datetime

from gateway.canonical import Json, JsonError, dumps, loads
from gateway.config.sources import GithubAppSettings
from gateway.fetch import Fetched as Answer
from gateway.fetch import Fetcher, FetchError
from gateway.inject.assertion import ClientKey
from gateway.inject.source import Fetched, Need, Unreachable, Unreadable, secret_of
from gateway.secret import Secret

ANSWER_BYTES_MAX = 256 * 1024
ASSERTION_LIFE_S = 540
"""GitHub takes no longer one than ten minutes, and one from the future not at all."""
EARLIER_S = 60
LIFE_S_MAX = 3600.0
UNPROCESSABLE = 422
_OVER = frozenset({204, 401})
"""Answers to who ends a token: done, or it was over already."""
LEASE = "installation token"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")
_LEVELS = ("read", "write", "admin")


class GithubAppSource:
    """Tokens of one installation. `now` in seconds since the epoch."""

    kind = "github-app"

    def __init__(self, settings: GithubAppSettings, key: ClientKey, fetcher: Fetcher, now: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._key = key
        self._fetcher = fetcher
        self._now = now

    def check(self) -> None:
        self._key.check()

    def scope(self, need: Need) -> str:
        """What is asked for, as it is sent."""
        return dumps({"permissions": self._permissions(need), "repositories": [self._repository(need)]}).decode()

    def _permissions(self, need: Need) -> dict[str, Json]:
        return {name: "read" if need.effect == "read" else level for name, level in self._settings.permissions.items()}

    def _repository(self, need: Need) -> str:
        """The repository's name. An argument may name one, and nothing that means several, none, or one elsewhere."""
        name = self._settings.repository
        if name.startswith("{"):
            given = need.arguments.get(name[1:-1])
            if not isinstance(given, str) or not _NAME.fullmatch(given) or given.strip(".") == "":
                raise Unreadable(f"the argument {name[1:-1]} does not name a repository", "let the contract ask for it, with a pattern for names")
            return given
        return name

    async def fetch(self, need: Need) -> Fetched:
        settings = self._settings
        token = self._key.sign({"iss": settings.app_id}, ASSERTION_LIFE_S, earlier_s=EARLIER_S)
        url = f"{settings.api}/app/installations/{settings.installation}/access_tokens"
        try:
            answer = await self._fetcher.post(url, self.scope(need).encode(), bytes_max=ANSWER_BYTES_MAX, headers=_headers(token))
        except FetchError as error:
            raise Unreachable(f"GitHub: {error}", "look at the API and the way to it") from None
        if answer.status == UNPROCESSABLE:
            raise Unreadable("GitHub gives no such token: the installation has no such repository or permission", "add it to the installation")
        if answer.status != 201:
            raise Unreachable(f"GitHub answered with status {answer.status}", "compare App, installation and key with what GitHub has")
        return self._token(answer, need)

    def _token(self, answer: Answer, need: Need) -> Fetched:
        """The token, if it is for what was asked for and nothing beyond."""
        remedy = "look at what answers at the API's URL"
        try:
            told = loads(answer.body)
            found = told if isinstance(told, dict) else {}
            text, ends, granted, among = (found.get(name) for name in ("token", "expires_at", "permissions", "repositories"))
            ends_at_s = datetime.fromisoformat(str(ends)).timestamp()
        except (JsonError, ValueError):
            raise Unreachable("GitHub's answer is no token with an end", remedy) from None
        if not isinstance(text, str) or not isinstance(granted, dict) or not isinstance(among, list):
            raise Unreachable("GitHub's answer does not say what its token is for", remedy)
        names = [one.get("name") if isinstance(one, dict) else None for one in among]
        if names != [self._repository(need)] or not _is_within(granted, self._permissions(need)):
            raise Unreachable("GitHub gave a token for more than was asked for", remedy)
        life_s = min(ends_at_s - self._now(), LIFE_S_MAX)
        if life_s <= 0:
            raise Unreachable("GitHub gave a token that is over already", "compare the clocks")
        return Fetched(secret_of(text.encode("utf-8", "replace"), "GitHub's token"), life_s, lease=LEASE)

    async def renew(self, fetched: Fetched) -> Fetched | None:
        """A token has one life."""

    async def give_back(self, fetched: Fetched) -> None:
        try:
            answer = await self._fetcher.delete(
                f"{self._settings.api}/installation/token", bytes_max=ANSWER_BYTES_MAX, headers=_headers(fetched.secret)
            )
        except FetchError as error:
            raise Unreachable(f"GitHub: {error}", "it ends within the hour by itself") from None
        if answer.status not in _OVER:
            raise Unreachable(f"GitHub answered with status {answer.status}", "it ends within the hour by itself")


def _is_within(granted: Mapping[str, Json], asked: Mapping[str, Json]) -> bool:
    """Whether nothing was granted beyond what was asked for; `metadata` can always be read."""
    most = {"metadata": "read", **asked}
    return all(name in most and level in _LEVELS and _LEVELS.index(str(level)) <= _LEVELS.index(str(most[name])) for name, level in granted.items())


def _headers(token: Secret) -> dict[str, str]:
    return {
        "authorization": f"Bearer {token.reveal()}",
        "accept": "application/vnd.github+json",
        "content-type": "application/json",
        "user-agent": "portreeve",
        "x-github-api-version": "2022-11-28",
    }
