"""`portreeve check`: says whether a deployment would start and work, and everything that is wrong with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.inspection import Inspection, inspect
from gateway.cli.output import plural, print_json, print_problems, print_ticks, printable, problem_json, styled


def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", envvar="PORTREEVE_FOLDER", help="Deployment folder: where gateway.toml stands.")] = Path(),
    named: Annotated[Path | None, typer.Option("--folder", "-C", metavar="DIR", help="The same as DIR, as the other commands take it.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail on notices, too.")] = False,
) -> None:
    """Check a whole deployment without starting it.

    Looks at settings, identities, contracts, policies and their cases, credentials, keys, log and addresses. Changes nothing, and calls no
    tool; addresses in use by this deployment's own running gateway are in order. Exits with 1 when something is wrong.

    Example: portreeve check /etc/portreeve --strict
    """
    found = inspect(named or folder)
    passed = not found.problems and not (strict and found.notices)
    if as_json:
        print_json(as_object(found, passed=passed))
    else:
        _print(found, passed=passed)
    if not passed:
        raise typer.Exit(1)


def as_object(found: Inspection, *, passed: bool) -> dict[str, object]:
    """The inspection as JSON: `ok`, the parts, the problems and the notices."""
    return {
        "ok": passed,
        "folder": str(found.folder),
        "parts": [{"name": part.name, "state": part.state, "detail": part.detail} for part in found.parts],
        "problems": [problem_json(problem) for problem in found.problems],
        "notices": [problem_json(notice) for notice in found.notices],
    }


def _print(found: Inspection, *, passed: bool) -> None:
    print(printable(str(found.folder.absolute())))
    print_ticks((None if part.state == "skipped" else part.state == "ok", part.name, part.detail) for part in found.parts)
    if found.notices:
        print(f"\n{plural(len(found.notices), 'notice')}: fine if meant")
        print_problems(found.notices, sys.stdout, style="yellow")
    if found.problems:
        print(f"\n{plural(len(found.problems), 'problem')}")
        print_problems(found.problems, sys.stdout)
    verdict = ("This deployment is in order.", "green") if passed else ("This deployment would not start or would not work.", "red")
    if not found.problems and not passed:
        verdict = ("Nothing is wrong, but --strict allows no notices.", "red")
    print(f"\n{styled(*verdict, sys.stdout)}")
