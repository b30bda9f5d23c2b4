"""What a shell offers behind an option: the agents, operations and policies of the deployment. Never raises: a broken one has nothing to offer."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import typer

from gateway.authorize.bundle import read
from gateway.cli.policy_deployment import Deployment
from gateway.config.load import load
from gateway.errors import Problem, Problems
from gateway.identities import load_identities

_ID = re.compile(r'@id\s*\(\s*"([^"]+)"')


def agents(context: typer.Context, incomplete: str) -> list[str]:
    """Agents whose name begins so."""
    try:
        return _begin(load_identities(load(_folder(context)).identities).agents, incomplete)
    except (Problem, Problems, OSError):
        return []


def operations(context: typer.Context, incomplete: str) -> list[str]:
    """Operations as TOOL/OPERATION."""
    try:
        return _begin((operation.action for operation in Deployment.read(_folder(context)).operations), incomplete)
    except (Problem, Problems, OSError):
        return []


def policies(context: typer.Context, incomplete: str) -> list[str]:
    """Policies by @id, whether they load or not."""
    try:
        return _begin((name for _, text in read(load(_folder(context)).policies) for name in _ID.findall(text)), incomplete)
    except (Problem, Problems, OSError):
        return []


def _folder(context: typer.Context) -> Path:
    return Path(context.params.get("folder") or ".")


def _begin(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted({name for name in names if name.startswith(incomplete)})
