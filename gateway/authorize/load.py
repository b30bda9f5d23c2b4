"""Loads a bundle and holds it to its own cases before anything is decided by it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from pathlib import Path

from gateway.authorize.bundle import Bundle, read_bundle
from gateway.authorize.cases import read_cases, run_cases
from gateway.call import Operation
from gateway.config.model import ToolSettings
from gateway.errors import Problem, Problems
from gateway.identities import Identities


def load_bundle(
    folder: Path,
    operations: Iterable[Operation],
    tools: Iterable[ToolSettings],
    identities: Identities,
    *,
    projected: bool = True,
    today: dt.date | None = None,
) -> Bundle:
    """Read, compile, validate, lint and test a policies folder. Raises Problems with all findings of the first step that has any.

    `today` turns on the warning of expired policies. `projected=False` shows every policy the whole context; the decisions are the same.
    """
    bundle = read_bundle(folder, operations, tools, identities, projected=projected, today=today)
    try:
        cases = read_cases(folder)
        failed = [finding.problem for finding in run_cases(bundle, cases) if finding.wrong]
    except Problem as problem:
        raise Problems([problem]) from problem
    if failed:
        raise Problems(failed)
    return bundle
