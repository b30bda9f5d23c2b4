"""The token that an agent holds: asked for once however many threads and tasks want it, and renewed before it ends."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway.client.key import AgentKey
from gateway.client.service import TokenService
from gateway.client.sources import Ready, Source, TokenFile
from gateway.errors import Problem
from gateway.secret import Secret

RENEW_AT = 0.8
"""Of a token's life, so that a call which begins with the old one still has time."""
AGAIN_S = 5.0
"""After a renewal that failed, how long the old token is used before the next attempt, while it lives."""


@dataclass(frozen=True, slots=True)
class Held:
    """A token and, by the monotonic clock in seconds, when to renew it and when it ends; infinite when only the gateway knows."""

    token: Secret
    renew_at: float = math.inf
    ends_at: float = math.inf
    bound: bool = False


class Tokens:
    """Safe for threads. `key` is what tokens shall be bound to (RFC 9449), and with `are_bound` what those are bound to that others asked for; else it
    needs a source that asks the service. Raises Problem otherwise.
    """

    def __init__(
        self,
        source: Source,
        service: TokenService,
        scope: str = "",
        *,
        key: AgentKey | None = None,
        are_bound: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        if key is not None and isinstance(source, Ready) and not are_bound:
            remedy = "give the agent a key (portreeve enrol), or leave dpop out"
            raise Problem("dpop_needs_service", "a token that somebody else asked for cannot be bound to a key of this process", remedy=remedy)
        self.key = key
        self._source = source
        self._service = service
        self._scope = scope
        self._now = now
        self._lock = threading.Lock()
        self._held: Held | None = None
        self._flights = 0
        self._failed: Problem | None = None

    def fresh(self) -> Held | None:
        """The token in hand when it needs no renewal. Never waits."""
        held = self._held
        if held is None or self._now() >= held.renew_at or (isinstance(self._source, TokenFile) and self._source.changed()):
            return None
        return held

    def get(self) -> Held:
        """A token with life left; blocks while it is asked for. Raises Problem."""
        return self.fresh() or self._fly(lambda: self.fresh() is None)

    def after(self, refused: Held) -> Held | None:
        """Another token than the one that the gateway refused; None when there is no other. Blocks. Raises Problem."""
        held = self._fly(lambda: self._held is refused)
        return None if held.token == refused.token else held

    def revoke(self) -> None:
        """End the token in hand if it was asked for here; what others made is theirs to end. Raises Problem."""
        with self._lock:
            held, self._held = self._held, None
        if held is not None and not isinstance(self._source, Ready):
            self._service.revoke(held.token)

    def _fly(self, wanted: Callable[[], bool]) -> Held:
        """Ask, unless somebody did while this caller waited: then his answer counts, and so does his failure."""
        before = self._flights
        with self._lock:
            if self._flights != before and self._failed is not None:
                raise self._failed
            held = self._held
            if held is not None and not wanted():
                return held
            self._flights += 1
            try:
                self._held = self._ask()
                self._failed = None
            except Problem as problem:
                self._failed = problem
                now = self._now()
                if held is None or now >= held.ends_at or now < held.renew_at:
                    raise
                self._failed = None
                self._held = Held(held.token, now + AGAIN_S, held.ends_at, held.bound)
            return self._held

    def _ask(self) -> Held:
        if isinstance(self._source, Ready):
            return Held(self._source.token(), bound=self.key is not None)
        form = {**self._source.form(self._service.issuer), **({"scope": self._scope} if self._scope else {})}
        now = self._now()  # before it is asked for: the way back must not lengthen its life
        issued = self._service.ask(form, self.key)
        return Held(issued.token, now + issued.life_s * RENEW_AT, now + issued.life_s, issued.bound)
