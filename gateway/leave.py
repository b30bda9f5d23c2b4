"""Leave to be on the way: a call holds one from the moment before its request may go until its last byte is down, and it can be taken back."""

from __future__ import annotations

from collections.abc import Callable

from gateway.errors import Refusal


class Leave:
    """One call's leave. Who carries the call says with `stopped_by` how it is stopped now, and MUST `check` before each request goes out."""

    __slots__ = ("_refusal", "_stop")

    def __init__(self) -> None:
        self._refusal: tuple[str, str, str] | None = None
        self._stop: Callable[[], None] | None = None

    @property
    def is_taken(self) -> bool:
        return self._refusal is not None

    def stopped_by(self, stop: Callable[[], None] | None) -> None:
        """What to call when it is taken back, which is at once when it was already; None when nothing is under way."""
        self._stop = stop
        if stop is not None and self._refusal is not None:
            stop()

    def take_back(self, refusal: Refusal) -> None:
        """Stop the call. The first reason stands."""
        if self._refusal is None:
            self._refusal = (refusal.code, refusal.detail, refusal.reason)
            if self._stop is not None:
                self._stop()

    def refusal(self) -> Refusal:
        """Why it was taken back, to be raised once."""
        assert self._refusal is not None
        code, detail, reason = self._refusal
        return Refusal(code, detail, reason=reason)

    def check(self) -> None:
        """Raises the Refusal for which it was taken back."""
        if self._refusal is not None:
            raise self.refusal()
