"""A progress bar for long work: on standard error, only where that is a terminal, and only once the work has taken a second."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

AFTER_S = 1.0


@contextlib.contextmanager
def progress(what: str, total: int | None, *, after_s: float = AFTER_S) -> Iterator[Callable[[int], None]]:
    """Gives what to call with how much is done. A total of None: nobody knows."""
    console = Console(stderr=True)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn() if total is not None else TextColumn(""), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
    task = bar.add_task(what, total=total)
    timer = threading.Timer(after_s, bar.start)
    timer.daemon = True
    if after_s > 0 and console.is_terminal:
        timer.start()
    else:
        bar.start()
    try:
        yield lambda done: bar.update(task, completed=done)
    finally:
        timer.cancel()
        if timer.ident is not None:
            timer.join()  # it may be starting the bar just now
        if bar.live.is_started:
            bar.stop()
