"""Names calls: 128 random bits each, drawn from the system in large portions, because asking it once a call is a system call a call."""

from __future__ import annotations

import os

ID_BYTES = 16
PORTION_BYTES = 4_096


class CallIds:
    """An endless supply of ids of 32 hex digits. One for each event loop."""

    def __init__(self) -> None:
        self._portion = b""
        self._at = 0

    def next(self) -> str:
        if self._at == len(self._portion):
            self._portion, self._at = os.urandom(PORTION_BYTES), 0
        self._at += ID_BYTES
        return self._portion[self._at - ID_BYTES : self._at].hex()
