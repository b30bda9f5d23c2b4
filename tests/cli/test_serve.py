"""What `portreeve serve` says while it runs; the rest is seen in tests/journeys."""

from __future__ import annotations

import contextlib
import os

from gateway.cli.serve import _say


def test_a_line_that_nobody_reads_any_more_breaks_nothing():
    """Whoever says something goes on: one that stops a killed agent's calls must not end because a log collector did."""
    reader, writer = os.pipe()
    os.close(reader)
    said = False
    with contextlib.suppress(BrokenPipeError), open(writer, "w", encoding="utf-8") as gone, contextlib.redirect_stderr(gone):
        _say("stopped 3 calls on their way")
        said = True
    assert said
