"""A command whose errors are JSON where its answer would be: whoever asked for `--json` reads one document, whatever happened."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperCommand

from gateway.cli.output import print_json, problem_json
from gateway.errors import Problem, Problems

EXIT_PROBLEM, EXIT_USAGE = 1, 2


class Stopped(typer.Exit):
    """The end of a command that has found out what makes its exit code, and can say no more. `problem` says it."""

    def __init__(self, exit_code: int, problem: Problem) -> None:
        super().__init__(exit_code)
        self.problem = problem


class JsonErrors(TyperCommand):
    """With `--json`, what ends the command early is printed as `{"ok": false, "problems": [...]}`. Without, it is left to who called."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        is_json = "--json" in args
        try:
            return super().parse_args(ctx, args)
        except typer.TyperException as error:
            if not is_json or ctx.resilient_parsing:
                raise
            raise _ended(EXIT_USAGE, [_usage(error)]) from error

    def invoke(self, ctx: Any) -> Any:
        if not ctx.params.get("as_json"):
            return super().invoke(ctx)
        try:
            return super().invoke(ctx)
        except Stopped as stopped:
            raise _ended(stopped.exit_code, [stopped.problem]) from stopped
        except Problems as found:
            raise _ended(EXIT_PROBLEM, found.problems) from found
        except Problem as problem:
            raise _ended(EXIT_PROBLEM, [problem]) from problem
        except OSError as error:
            raise _ended(EXIT_PROBLEM, [Problem("file_error", error.strerror or type(error).__name__, file=str(error.filename or ""))]) from error
        except typer.TyperException as error:
            raise _ended(EXIT_USAGE, [_usage(error)]) from error


def _usage(error: typer.TyperException) -> Problem:
    text = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
    return Problem("usage", text, remedy="see --help")


def _ended(code: int, problems: Sequence[Problem]) -> typer.Exit:
    print_json({"ok": False, "problems": [problem_json(problem) for problem in problems]})
    return typer.Exit(code)
