"""What a shell offers behind an option of any command: the agents and tools of the deployment. Never raises: a broken one has nothing to offer."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import typer

from gateway.config.load import load
from gateway.errors import Problem, Problems
from gateway.identities import load_identities


def agents(context: typer.Context, incomplete: str) -> list[str]:
    """Agents whose name begins so."""
    try:
        return begin(load_identities(load(folder_of(context)).identities).agents, incomplete)
    except (Problem, Problems, OSError):
        return []


def tools(context: typer.Context, incomplete: str) -> list[str]:
    """Tools whose name begins so."""
    try:
        return begin(load(folder_of(context)).tools, incomplete)
    except (Problem, Problems, OSError):
        return []


def folder_of(context: typer.Context) -> Path:
    return Path(context.params.get("folder") or ".")


def begin(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
