"""What a shell offers behind an option of a policy command: operations and policies. Never raises: a broken deployment has nothing to offer."""

from __future__ import annotations

import re

import typer

from gateway.authorize.bundle import read
from gateway.cli.completion import begin, folder_of
from gateway.cli.policy_deployment import Deployment
from gateway.config.load import load
from gateway.errors import Problem, Problems

_ID = re.compile(r'@id\s*\(\s*"([^"]+)"')


def operations(context: typer.Context, incomplete: str) -> list[str]:
    """Operations as TOOL/OPERATION."""
    try:
        return begin((operation.action for operation in Deployment.read(folder_of(context)).operations), incomplete)
    except (Problem, Problems, OSError):
        return []


def policies(context: typer.Context, incomplete: str) -> list[str]:
    """Policies by @id, whether they load or not."""
    try:
        return begin((name for _, text in read(load(folder_of(context)).policies) for name in _ID.findall(text)), incomplete)
    except (Problem, Problems, OSError):
        return []
