"""Step five: the decision log. Write with `open_log`, read with `LogReader`, judge with `verify_folder`."""

from gateway.record.log import OPEN_CALLS_MAX, OUTCOMES, Log, open_log
from gateway.record.signer import NoteSigner

__all__ = ["OPEN_CALLS_MAX", "OUTCOMES", "Log", "NoteSigner", "open_log"]
