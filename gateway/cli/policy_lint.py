"""`portreeve policy lint`: what is wrong with the policies, and what an author should look at again."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import Bundle
from gateway.authorize.review import review, unused_groups
from gateway.cli.output import plural, print_json, print_problems, problem_json, styled
from gateway.cli.policy_deployment import AsJson, Deployment, Folder, Instead
from gateway.cli.progress import progress
from gateway.errors import Problem, Problems

Strict = Annotated[bool, typer.Option("--strict", help="Fail on warnings, too, and ask for an @owner of every policy.")]


@dataclass(frozen=True, slots=True)
class Linted:
    """What was found: `problems` keep the policies from loading, `warnings` do not. Without a bundle there was nothing to review."""

    bundle: Bundle | None
    problems: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def look(deployment: Deployment, *, strict: bool) -> Linted:
    """Load and review the policies of a deployment."""
    try:
        with progress("loading policies", None):
            bundle = deployment.bundle()
    except Problems as found:
        return Linted(None, found.problems, ())
    with progress("reviewing policies", bundle.policy_count) as show:
        today = dt.datetime.now(tz=dt.UTC).date()
        found_again = review(bundle, today, strict=strict, show=show)
    warnings = sorted([*bundle.warnings, *found_again], key=lambda p: (p.file, p.line, p.column))
    return Linted(bundle, (), tuple(warnings))


def lint(folder: Folder = Path(), candidate: Instead = None, as_json: AsJson = False, strict: Strict = False) -> None:
    """Look for policies that load and yet may not mean what they should: idle, constant, evadable, nobody's. Runs no cases.

    Whatever keeps policies from loading is shown first. Exits with 1 on a problem, and with --strict on a warning, too.

    Example: portreeve policy lint --strict
    """
    deployment = Deployment.read(folder, candidate)
    found = look(deployment, strict=strict)
    if found.bundle:
        found = replace(found, warnings=(*found.warnings, *unused_groups(found.bundle, deployment.identities)))
    passed = not found.problems and not (strict and found.warnings)
    if as_json:
        problems, warnings = ([problem_json(p) for p in listed] for listed in (found.problems, found.warnings))
        print_json({"ok": passed, "problems": problems, "warnings": warnings})
    else:
        print_problems(found.warnings, style="yellow")
        print_problems(found.problems)
        word = styled("ok", "green", sys.stdout) if passed else styled("FAILED", "red", sys.stdout)
        policies = f"{plural(found.bundle.policy_count, 'policy')}, " if found.bundle else ""
        print(f"{word}  {policies}{plural(len(found.problems), 'problem')}, {plural(len(found.warnings), 'warning')}")
    if not passed:
        raise typer.Exit(1)
