"""`portreeve policy fmt`: lays policy files out, and never changes more than space."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import CASES, read_text
from gateway.authorize.formatting import WIDTH, formatted
from gateway.authorize.splitting import as_text
from gateway.cli.output import plural, print_json, print_problems, printable, problem_json, shown_path, styled
from gateway.cli.policy_deployment import AsJson, Folder
from gateway.cli.progress import progress
from gateway.config.load import load
from gateway.errors import Problem

STDIN = "-"

Files = Annotated[list[Path] | None, typer.Argument(metavar="[FILE]...", help="Files or folders; all policies if none is named, and - for stdin.")]
Check = Annotated[bool, typer.Option("--check", help="Write nothing; exit with 1 where a file is laid out otherwise.")]
Diff = Annotated[bool, typer.Option("--diff", help="Like --check, and show what would change.")]
Width = Annotated[int, typer.Option("--width", metavar="N", min=40, max=500, help="How long a line may be.")]


def fmt(
    files: Files = None, *, folder: Folder = Path(), check: Check = False, diff: Diff = False, width: Width = WIDTH, as_json: AsJson = False
) -> None:
    """Lay policy files out in place, as Cedar's own formatter does. Comments, annotations and meaning stay: that is checked before a file is written.

    Every file is written in one step or not at all. Exits with 1 where a file is not Cedar; with --check or --diff also where one would change.

    Example: portreeve policy fmt --check
    """
    if files == [Path(STDIN)]:
        _stdin(width, is_kept=check or diff, is_diff=diff, as_json=as_json)
        return
    paths = _below(files or [load(folder).policies])
    changed, problems = _lay_out(paths, width)
    if not (check or diff):
        for path, (_, after) in changed.items():
            _write(path, after)
    done = not problems and not (changed and (check or diff))
    if as_json:
        _print_json(changed, len(paths), problems, is_written=not (check or diff), ok=done)
    else:
        for path, (before, after) in changed.items() if diff else ():
            print("\n".join(_coloured(_diff(shown_path(str(path)), before, after))))
        _print(changed, len(paths), problems, is_written=not (check or diff))
    if not done:
        raise typer.Exit(1)


def _stdin(width: int, *, is_kept: bool, is_diff: bool, as_json: bool) -> None:
    text = as_text("stdin", sys.stdin.buffer.read())
    found = formatted("stdin", text, width)
    done = found == text or not is_kept
    if as_json:
        changed = {Path("stdin"): (text, found)} if found != text else {}
        _print_json(changed, 1, [], is_written=False, ok=done, text=found)
    elif is_diff:
        print("".join(f"{line}\n" for line in _coloured(_diff("stdin", text, found))), end="")
    elif not is_kept:
        print(found, end="")
    if not done:
        raise typer.Exit(1)


Changed = Mapping[Path, tuple[str, str]]
"""Text before and after, of each file where they differ."""


def _lay_out(paths: Sequence[Path], width: int) -> tuple[Changed, list[Problem]]:
    changed: dict[Path, tuple[str, str]] = {}
    problems: list[Problem] = []
    with progress("laying files out", len(paths)) as show:
        for done, path in enumerate(paths, 1):
            try:
                text = read_text(path)
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


def _write(path: Path, text: str) -> None:
    """In one step, with the permissions that the file has: a running gateway reads this folder, and must never see half a file."""
    target = path.resolve()
    own = target.with_name(f".{target.name}.new")
    own.write_bytes(text.encode())
    own.chmod(target.stat().st_mode & 0o777)
    own.replace(target)


def _diff(name: str, before: str, after: str) -> list[str]:
    return list(difflib.unified_diff(before.splitlines(), after.splitlines(), f"{name} (now)", f"{name} (laid out)", lineterm=""))


def _coloured(lines: Iterable[str]) -> Iterator[str]:
    for line in lines:
        style = {"+": "green", "-": "red", "@": "dim"}.get(line[:1])
        yield styled(printable(line), style, sys.stdout) if style else printable(line)


def _print(changed: Changed, count: int, problems: Sequence[Problem], *, is_written: bool) -> None:
    print_problems(problems)
    for path in changed:
        print(f"{'laid out' if is_written else 'would change'}  {printable(shown_path(str(path)))}")
    kept = count - len(changed) - len(problems)
    print(f"{plural(count, 'file')}, {len(changed)} {'laid out' if is_written else 'would change'}, {kept} as they should be")


def _print_json(changed: Changed, count: int, problems: Sequence[Problem], *, is_written: bool, ok: bool, text: str | None = None) -> None:
    """`text` is what standard input is laid out as."""
    files = [{"file": str(path), "diff": "\n".join(_diff(path.name, *texts))} for path, texts in changed.items()]
    laid_out = {} if text is None else {"text": text}
    written = [str(path) for path in changed] if is_written else []
    print_json({"ok": ok, "files": count, "changed": files, "written": written, **laid_out, "problems": [problem_json(p) for p in problems]})
