"""`portreeve policy fmt`: lays policy files out, and never changes more than space."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import CASES
from gateway.authorize.formatting import WIDTH, formatted
from gateway.cli.output import plural, print_json, print_problems, printable, problem_json, shown_path, styled
from gateway.cli.policy_deployment import AsJson, Folder
from gateway.cli.progress import progress
from gateway.config.load import load
from gateway.errors import Problem, Problems

STDIN = "-"

Files = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Files or folders; all policies if none is named, and - for stdin.")]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 where a file is laid out otherwise.")]
Diff = Annotated[bool, typer.Option("--diff", help="Like --check, and show what would change.")]
Width = Annotated[int, typer.Option("--width", min=40, max=500, help="How long a line may be.")]


def fmt(
    files: Files = None, *, folder: Folder = Path(), check: Check = False, diff: Diff = False, width: Width = WIDTH, as_json: AsJson = False
) -> None:
    """Lay policy files out in place, as Cedar's own formatter does. Comments, annotations and meaning stay: that is checked before a file is written.

    Every file is written in one step or not at all. Exits with 1 where a file is not Cedar; with --check or --diff also where one would change.

    Example: portreeve policy fmt --check
    """
    if files == [Path(STDIN)]:
        _stdin(width, is_check=check, is_diff=diff)
        return
    paths = _below(files or [load(folder).policies])
    changed, problems = _lay_out({path: _read(path) for path in paths}, width)
    for path, (before, after) in changed.items():
        if diff:
            _print_diff(shown_path(str(path)), before, after)
        elif not check:
            _write(path, after)
    _report(changed, len(paths), problems, as_json=as_json, is_written=not (check or diff))
    if problems or (changed and (check or diff)):
        raise typer.Exit(1)


def _stdin(width: int, *, is_check: bool, is_diff: bool) -> None:
    text = sys.stdin.read()
    found = formatted("stdin", text, width)
    if is_diff:
        _print_diff("stdin", text, found)
    elif not is_check:
        print(found, end="")
    if (is_check or is_diff) and found != text:
        raise typer.Exit(1)


Changed = Mapping[Path, tuple[str, str]]
"""Text before and after, of each file where they differ."""


def _lay_out(texts: Mapping[Path, str], width: int) -> tuple[Changed, list[Problem]]:
    changed: dict[Path, tuple[str, str]] = {}
    problems: list[Problem] = []
    with progress("laying files out", len(texts)) as show:
        for done, (path, text) in enumerate(texts.items(), 1):
            try:
                found = formatted(str(path), text, width)
            except Problem as problem:
                problems.append(problem)
                continue
            if found != text:
                changed[path] = text, found
            show(done)
    return changed, problems


def _below(paths: Sequence[Path]) -> list[Path]:
    """The policy files among paths, and below those that are folders; not those below `cases/`."""
    found: dict[Path, None] = {}
    for path in paths:
        if not path.is_dir():
            found[path] = None
            continue
        for file in sorted(path.rglob("*.cedar")):
            parts = file.relative_to(path).parts
            if parts[0] != CASES and not any(part.startswith(".") for part in parts):
                found[file] = None
    return list(found)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise Problem("policy_not_utf8", f"byte {error.start} is not UTF-8", file=str(path), remedy="save the file as UTF-8") from error
    except OSError as error:
        raise Problems([Problem("policy_unreadable", error.strerror or "cannot be read", file=str(path), remedy="name a policy file")]) from error


def _write(path: Path, text: str) -> None:
    """In one step, with the permissions that the file has: a running gateway reads this folder, and must never see half a file."""
    target = path.resolve()
    own = target.with_name(f".{target.name}.new")
    own.write_bytes(text.encode())
    own.chmod(target.stat().st_mode & 0o777)
    own.replace(target)


def _print_diff(name: str, before: str, after: str) -> None:
    for line in difflib.unified_diff(before.splitlines(), after.splitlines(), f"{name} (now)", f"{name} (laid out)", lineterm=""):
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1])
        print(styled(printable(line), style, sys.stdout) if style else printable(line))


def _report(changed: Changed, count: int, problems: Sequence[Problem], *, as_json: bool, is_written: bool) -> None:
    names = [str(path) for path in changed]
    if as_json:
        done = not problems and (is_written or not changed)
        print_json({"ok": done, "files": count, "changed": names, "written": is_written, "problems": [problem_json(p) for p in problems]})
        return
    print_problems(problems)
    for name in names:
        print(f"{'laid out' if is_written else 'would change'}  {printable(shown_path(name))}")
    kept = count - len(changed) - len(problems)
    print(f"{plural(count, 'file')}, {len(changed)} {'laid out' if is_written else 'would change'}, {kept} as they should be")
