"""`portreeve policy conformance`: Cedar's own integration tests, asked of the gateway's evaluator and slicer."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.conformance import Outcome, case_files, read_case, run_case
from gateway.authorize.engine import ENGINE
from gateway.cli.output import plural, print_json, print_problems, problem_json
from gateway.cli.progress import progress
from gateway.errors import Problem

SHOWN_MAX = 20

Corpus = Annotated[
    Path, typer.Argument(metavar="DIR", help="A checkout of cedar-integration-tests with corpus-tests.tar.gz unpacked, or a part of it.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def conformance(corpus: Corpus, as_json: AsJson = False) -> None:
    """Does policy here mean what Cedar says? Runs the JSON cases of the official repository cedar-policy/cedar-integration-tests.

    Compares decision, reasons and errors of every request, of all policies and of the slice the gateway would ask, and whether policies
    validate. Exits with 1 when anything disagrees or there is no case.

    Example: portreeve policy conformance cedar-integration-tests
    """
    outcomes, problems = _run(corpus)
    disagreeing = [outcome for outcome in outcomes if outcome.disagreements]
    problems += [Problem("conformance", text, file=outcome.file) for outcome in disagreeing for text in outcome.disagreements]
    if not outcomes and not problems:
        problems.append(Problem("conformance_empty", "there is no case below this folder", file=str(corpus), remedy="name a checkout of the cases"))
    requests = sum(outcome.requests for outcome in outcomes)
    cut = sum(outcome.cut for outcome in outcomes)
    validations = sum(outcome.validations for outcome in outcomes)
    if as_json:
        counts = {"cases": len(outcomes), "requests": requests, "sliced": cut, "validations": validations, "disagreeing": len(disagreeing)}
        print_json({"ok": not problems, "engine": ENGINE, **counts, "problems": [problem_json(problem) for problem in problems]})
    else:
        print_problems(problems[:SHOWN_MAX])
        if len(problems) > SHOWN_MAX:
            print(f"... and {len(problems) - SHOWN_MAX:,} more (--json lists them all)")
        told = f"{plural(len(outcomes), 'case')}, {plural(requests, 'request')} ({cut:,} with a slice of the policies), {plural(validations, 'validation')}"
        print(told, plural(len(problems), "problem") if problems else "all agree", sep=": ")
    if problems:
        raise typer.Exit(1)


def _run(corpus: Path) -> tuple[list[Outcome], list[Problem]]:
    """Every case below the folder."""
    files = case_files(corpus)
    outcomes: list[Outcome] = []
    problems: list[Problem] = []
    with progress("comparing", len(files)) as show:
        for done, path in enumerate(files):
            show(done)
            try:
                case = read_case(path, corpus)
            except Problem as problem:
                problems.append(problem)
            else:
                if case is not None:
                    outcomes.append(run_case(case))
    return outcomes, problems
