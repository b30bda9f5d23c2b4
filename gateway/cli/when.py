"""How a person says a time: so long ago, or a date."""

from __future__ import annotations

import datetime as dt
import re
import time

import typer

_AGO = re.compile(r"([0-9]{1,6})([mhdw])")
_SECONDS = {"m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}


def moment_us(text: str, option: str = "--since") -> int:
    """Microseconds since the epoch; 0 for no text."""
    if not text:
        return 0
    ago = _AGO.fullmatch(text)
    if ago:
        return int((time.time() - int(ago[1]) * _SECONDS[ago[2]]) * 1_000_000)
    try:
        moment = dt.datetime.fromisoformat(text)
        return int((moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp() * 1_000_000)
    except ValueError as error:
        raise typer.BadParameter(f"{option}: write 7d, 12h, 30m, or a date such as 2026-01-31") from error
