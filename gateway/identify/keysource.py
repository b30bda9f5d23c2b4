"""The keys of one foreign issuer, kept fresh in the background and used a while longer when the issuer cannot be reached.

Rules:
1. One fetch at a time; whoever needs the keys meanwhile waits for that one.
2. They are fetched again at 50 to 80 percent of the life that the issuer gave them, so that nobody waits for it.
3. An unknown `kid` fetches at most every 30 seconds: a stranger who invents names costs the issuer nothing.
4. When a fetch fails the old keys stay good for 24 hours; without any, tokens of this issuer are refused at once until the next try.
"""

from __future__ import annotations

import asyncio
import random
import re
import time
from collections.abc import Callable
from pathlib import Path

from gateway.errors import Refusal
from gateway.fetch import Fetched, Fetcher, FetchError
from gateway.identify.keyset import BYTES_MAX, JWT_SVID, SIGNATURE, KeySet, KeySetError
from gateway.identities.issuer import Issuer

MAX_AGE_S_DEFAULT = 300
MAX_AGE_S_MIN, MAX_AGE_S_MAX = 60, 86_400
STALE_S_MAX = 86_400
UNKNOWN_KID_S = 30.0
RETRY_S, RETRY_S_MAX = 5.0, 300.0
TOKEN_BYTES_MAX = 16_384

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,9})\"?(?:$|[\s,])", re.IGNORECASE)

Told = Callable[[str, str, str], None]
"""Told of every fetch: the issuer's name, `ok` or `failed`, and a line for people when the state changed (else empty)."""


class KeySource:
    """The keys of `issuer`. Methods belong to one event loop; `close` ends the refreshing. `clock` is in seconds and never goes back."""

    def __init__(self, issuer: Issuer, fetcher: Fetcher, told: Told, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.issuer = issuer
        self._fetcher = fetcher
        self._told = told
        self._clock = clock
        self._set: KeySet | None = None
        self._good_at = self._tried_at = float("-inf")
        self._failures = 0
        self._why = ""
        self._fetching: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def age_s(self) -> float | None:
        """Seconds since the keys were last fetched; None when there are none."""
        return None if self._set is None else self._clock() - self._good_at

    async def keys(self, kid: str) -> KeySet:
        """The keys, fetched if there are none or `kid` is not among them. Raises Refusal("invalid_token") when there are none to be had."""
        now = self._clock()
        if self._set is None or now - self._good_at > STALE_S_MAX:
            if self._fetching is not None or now - self._tried_at >= self._pause_s:
                await self._fetch()
        elif kid not in self._set.keys and kid not in self._set.unusable and now - self._tried_at >= UNKNOWN_KID_S:
            await self._fetch()
        if self._set is None or self._clock() - self._good_at > STALE_S_MAX:
            raise Refusal("invalid_token", reason=f"the keys of the issuer {self.issuer.name} cannot be had: {self._why}")
        return self._set

    async def only_kid(self) -> str:
        """The name of the one key that there is. Raises Refusal("invalid_token") when there are others, too, or none to be had."""
        keys = await self.keys(next(iter(self._set.keys), "") if self._set else "")
        if len(keys.keys) != 1 or keys.unusable:
            raise Refusal("invalid_token", reason=f"the token names no key, and issuer {self.issuer.name} does not have exactly one")
        return next(iter(keys.keys))

    def begin(self) -> None:
        """Fetch in the background, so that the first token need not wait."""
        if not self._closed:
            self._start()

    async def close(self) -> None:
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])

    @property
    def _pause_s(self) -> float:
        """How long to wait after this many failures."""
        return min(RETRY_S * 2 ** max(0, self._failures - 1), RETRY_S_MAX) if self._failures else 0.0

    async def _fetch(self) -> None:
        """Wait for the fetch under way, or begin one. One who gives up leaves it to the others."""
        if not self._closed:
            await asyncio.wait([self._start()])  # raises nothing when the fetch is given up

    def _start(self) -> asyncio.Task[None]:
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetch_now())
        return self._fetching

    async def _fetch_now(self) -> None:
        self._tried_at = self._clock()
        try:
            keys, max_age_s = await self._read()
        except (FetchError, KeySetError, OSError) as error:
            self._failed(error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error))
        else:
            self._succeeded(keys, max_age_s)
        finally:
            self._fetching = None

    async def _read(self) -> tuple[KeySet, int]:
        issuer, source = self.issuer, self.issuer.source
        max_age_s = MAX_AGE_S_DEFAULT
        if source.file is not None:
            raw = await asyncio.to_thread(_read_file, source.file, BYTES_MAX)
        else:
            headers = {}
            if source.token is not None:
                headers["authorization"] = await asyncio.to_thread(bearer, source.token)
            answer = await self._fetcher.get(source.url, bytes_max=BYTES_MAX, headers=headers)
            if answer.status != 200:
                raise FetchError(f"it answered with status {answer.status}")
            raw, max_age_s = answer.body, max_age(answer)
        uses = JWT_SVID if issuer.kind == "spiffe" else SIGNATURE
        rsa = "PS256" if "PS256" in issuer.algorithms and "RS256" not in issuer.algorithms else "RS256"
        return KeySet.read(raw, uses=uses, rsa=rsa), max_age_s

    def _succeeded(self, keys: KeySet, max_age_s: int) -> None:
        line = f"the keys of issuer {self.issuer.name} can be fetched again" if self._failures else ""
        self._set, self._good_at, self._failures, self._why = keys, self._clock(), 0, ""
        self._again_in(max_age_s * random.uniform(0.5, 0.8))  # noqa: S311 - so that a fleet does not ask all at once
        self._told(self.issuer.name, "ok", line)

    def _failed(self, why: str) -> None:
        line = ""
        if not self._failures:
            age = self.age_s
            kept = f"those of {age:.0f} s ago stay good for at most 24 h" if age is not None else "there are none yet, so its tokens are refused"
            line = f"the keys of issuer {self.issuer.name} ({self.issuer.source.shown}) cannot be fetched: {why}; {kept}"
        self._failures += 1
        self._why = why
        self._again_in(max(self._pause_s, UNKNOWN_KID_S) if self._set is not None else self._pause_s)
        self._told(self.issuer.name, "failed", line)

    def _again_in(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if not self._closed:
            self._timer = asyncio.get_running_loop().call_later(seconds, self.begin)


def max_age(answer: Fetched) -> int:
    """How long the issuer lets its keys be kept (RFC 9111 section 5.2.2.1), within our own bounds."""
    found = _MAX_AGE.search(answer.headers.get("cache-control", ""))
    return min(max(int(found[1]), MAX_AGE_S_MIN), MAX_AGE_S_MAX) if found else MAX_AGE_S_DEFAULT


def bearer(path: Path) -> str:
    """The header's value with the token in a file, which the platform renews there. Blocking. Raises OSError, and FetchError for what is no token."""
    raw = _read_file(path, TOKEN_BYTES_MAX).strip()
    if not raw.isascii() or len(raw.split()) != 1 or len(raw) > TOKEN_BYTES_MAX:
        raise FetchError("the file with our own token for it holds none")
    return f"Bearer {raw.decode('ascii')}"


def _read_file(path: Path, bytes_max: int) -> bytes:
    with path.open("rb") as file:
        return file.read(bytes_max + 1)
