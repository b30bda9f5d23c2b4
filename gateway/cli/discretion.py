"""What a process that holds secrets does first, so that nothing of its memory ends in a file: no core dump, no reader, no talkative library or error."""

from __future__ import annotations

import ctypes
import logging
import resource
import sys
import threading
from types import TracebackType

from gateway.errors import place_of

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
    # What an error says can quote the value that it broke on. Those that nobody caught are told by type and place.
    logging.getLogger("asyncio").addFilter(_without_values)
    threading.excepthook = lambda args: _say("a thread ended", args.exc_type, args.exc_traceback)
    sys.unraisablehook = lambda args: _say("an error went nowhere", args.exc_type, args.exc_traceback)


def _without_values(record: logging.LogRecord) -> bool:
    """Rewrites what asyncio says of an error: what it was doing, without the arguments, and where it broke."""
    if record.exc_info and record.exc_info[0] is not None:
        kind, _, trace = record.exc_info
        doing = record.getMessage().partition("\n")[0].partition("(")[0]
        record.msg, record.args, record.exc_info = f"{doing}: {kind.__name__} at {place_of(trace)}", (), None
    return True


def _say(what: str, kind: type[BaseException], trace: TracebackType | None) -> None:
    print(f"portreeve: {what}: {kind.__name__} at {place_of(trace)}", file=sys.stderr, flush=True)
