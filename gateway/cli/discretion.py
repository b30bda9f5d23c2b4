"""What a process that holds secrets does first, so that nothing of its memory ends in a file: no core dump, no reader, no talkative library."""

from __future__ import annotations

import ctypes
import logging
import resource
import sys

PR_SET_DUMPABLE = 4
"""prctl(2). Also closes /proc/PID/environ and mem to other processes of the same account, and takes debuggers away from it."""
TALKATIVE = ("httpx2", "httpcore2", "asyncio")
"""What logs URLs or header fields below WARNING: an answer's fields may echo a credential."""


def keep_discreet() -> None:
    """For this process and, as far as core files go, those that it starts."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)  # a core file that is piped to a program obeys this alone
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(logging.WARNING)
