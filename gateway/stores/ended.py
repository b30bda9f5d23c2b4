"""Whether a token that has not expired is over all the same."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.call import Identity
from gateway.stores.halts import HaltBoard
from gateway.stores.revocations import Revocations


@dataclass(frozen=True, slots=True)
class Ended:
    """Answers from memory, so that it can be asked on every call and again just before the call leaves."""

    board: HaltBoard
    revocations: Revocations

    def why(self, identity: Identity) -> str:
        """Why the token is over; empty when it is not."""
        for name in (identity.token_id, *identity.ancestors):
            if self.revocations.is_revoked(name):
                return "the token, or one that it was exchanged from, was revoked"
        if self.board.is_dead(identity):
            return "the token is from before its agent, user or run was stopped, or its agent may have less now"
        return ""
