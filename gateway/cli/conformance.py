"""`portreeve policy conformance`: Cedar's own integration tests, asked of the gateway's evaluator and slicer."""

from __future__ import annotations

import tarfile
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.conformance import Outcome, case_files, read_case, run_case
from gateway.authorize.engine import ENGINE
from gateway.cli.output import plural, print_json, print_problems, problem_json
from gateway.cli.progress import progress
from gateway.errors import Problem

SHOWN_MAX = 20
ARCHIVE = ".tar.gz"
UNPACKED_BYTES_MAX = 2 * 1024**3

Corpus = Annotated[Path, typer.Argument(metavar="DIR", help="A checkout of cedar-integration-tests, a folder of it, or its corpus-tests.tar.gz.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]


def conformance(corpus: Corpus, as_json: AsJson = False) -> None:
    """Does policy here mean what Cedar says? Runs the JSON cases of the official repository cedar-policy/cedar-integration-tests.

    An archive is unpacked for as long as it takes: DIR itself, or one that lies in DIR and was not unpacked there.
    Compares decision, reasons and errors of every request, of all policies and of the slice the gateway would ask, and whether policies
    validate. Exits with 1 when anything disagrees or there is no case.

    Example: portreeve policy conformance cedar-integration-tests
    """
    outcomes, problems = _run(corpus)
    disagreeing = [outcome for outcome in outcomes if outcome.disagreements]
    problems += [Problem("conformance", text, file=outcome.file) for outcome in disagreeing for text in outcome.disagreements]
    if not outcomes and not problems:
        message = "there is no case below this folder" if corpus.exists() else "there is no such folder"
        problems.append(Problem("conformance_empty", message, file=str(corpus), remedy="name a checkout of the cases"))
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
    """Every case of the corpus. What was unpacked is named as if it had been unpacked beside its archive."""
    outcomes: list[Outcome] = []
    problems: list[Problem] = []
    with tempfile.TemporaryDirectory(prefix="portreeve-conformance-") as made:
        folders = {corpus: corpus} if corpus.is_dir() or corpus.suffix == ".json" else {}
        for number, archive in enumerate(_archives(corpus)):
            folders[_unpack(archive, Path(made, str(number)))] = archive.parent
        files = [(path, folder) for folder in folders for path in case_files(folder)]
        with progress("comparing", len(files)) as show:
            for done, (path, folder) in enumerate(files):
                show(done)
                shown = str(folders[folder] / path.relative_to(folder))
                try:
                    case = read_case(path, folder if folder.is_dir() else folder.parent)
                except Problem as problem:
                    problems.append(problem.moved(shown))
                else:
                    if case is not None:
                        outcomes.append(replace(run_case(case), file=shown))
    return outcomes, problems


def _archives(corpus: Path) -> list[Path]:
    if corpus.is_dir():
        return [path for path in sorted(corpus.glob(f"*{ARCHIVE}")) if not path.with_name(path.name.removesuffix(ARCHIVE)).is_dir()]
    return [corpus] if corpus.is_file() and corpus.suffix != ".json" else []


def _unpack(archive: Path, into: Path) -> Path:
    """The folder that now holds what was packed. Raises Problem."""
    try:
        with tarfile.open(archive) as packed, progress(f"unpacking {archive.name}", None):
            if sum(member.size for member in packed) > UNPACKED_BYTES_MAX:
                message = f"it holds more than {UNPACKED_BYTES_MAX:,} bytes"
                raise Problem("conformance_archive", message, file=str(archive), remedy="unpack it yourself, and name the folder")
            packed.extractall(into, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise Problem(
            "conformance_archive", f"this is no archive of cases: {error}", file=str(archive), remedy="name a checkout of the cases"
        ) from error
    return into
