"""The calls that are on their way, and what stops them: a halt, a token that no longer counts, an agent that is no longer allowed.

Everything here runs on the event loop without waiting: between the last look at the board and the start of a call nothing else happens, and
one change of the board stops every call that it concerns before any other call goes on.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.call import Identity
from gateway.errors import Refusal
from gateway.leave import Leave
from gateway.stores.ended import Ended

Told = Callable[[str], None]
"""What hears of each call that was stopped: the code of its refusal."""
Standing = Callable[[Identity], str]
"""Why a token that was good once would not be taken now; empty when it would."""


class Halting:
    """Holds calls against the board and the revoked tokens."""

    def __init__(self, ended: Ended, told: Told = lambda _: None) -> None:
        self._board = ended.board
        self._ended = ended
        self._told = told
        self._away: dict[Leave, tuple[Identity, str]] = {}

    def halted(self, identity: Identity, tool: str) -> tuple[str, ...]:
        """What of a call is halted, for the decision."""
        return self._board.halted(identity, tool)

    def leave(self, identity: Identity, tool: str) -> Leave:
        """Leave for one call, looked at again just now. MUST be released. Raises the Refusal that there is against it."""
        against = self._against(identity, tool)
        if against is not None:
            raise against
        leave = Leave()
        self._away[leave] = (identity, tool)
        return leave

    def release(self, leave: Leave | None) -> None:
        """The call is over."""
        if leave is not None:
            self._away.pop(leave, None)

    def sweep(self, standing: Standing = lambda _: "") -> int:
        """Something has changed: stop every call that would not get leave now, or has no `standing` in what is newly in force. Returns how many."""
        stopped = 0
        for leave, (identity, tool) in list(self._away.items()):
            against = self._against(identity, tool, standing)
            if against is not None and not leave.is_taken:
                leave.take_back(against)
                self._told(against.code)
                stopped += 1
        return stopped

    def _against(self, identity: Identity, tool: str, standing: Standing = lambda _: "") -> Refusal | None:
        board = self._board
        if board.trouble:
            return Refusal("state_unavailable", reason=board.trouble, retry_after_s=5)
        halted = board.halted(identity, tool)
        if halted:
            return Refusal("halted", f"Calls are halted: {', '.join(halted)}")
        why = self._ended.why(identity) or standing(identity)
        return Refusal("invalid_token", reason=why) if why else None

    @property
    def away(self) -> int:
        """How many calls are on their way."""
        return len(self._away)
