"""What commands print: problems with their line, tables, tick lists, JSON. Colour only on a terminal, and never with NO_COLOR.

A line of a file is shown with its value hidden wherever it may hold a secret.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, TextIO

from rich.cells import cell_len, chop_cells

from gateway.config.kinds import looks_secret
from gateway.errors import Problem

SOURCE_LINE_MAX = 160
COLUMN_MIN = 12
GAP = "  "

_STYLES = {"red": "31", "green": "32", "yellow": "33", "dim": "2", "bold": "1"}
_SECRET_KEY = re.compile(r"(?i)(secret|passw|token|key|credential|auth|bearer|format|url)")
_ASSIGNED = re.compile(r"""^\s*[A-Za-z0-9_."'-]+\s*=\s*""")
_REFERENCE = re.compile(r"""\s*["'](?:env:[A-Za-z_][A-Za-z0-9_]*|file:[A-Za-z0-9_./-]+)["']\s*(?:#.*)?""")
_PART = re.compile(r"[^\s./:,-]*[\s./:,-]+|[^\s./:,-]+")
_USER_INFO = re.compile(r"//[^/\s\"']*@")


def is_colourful(stream: TextIO) -> bool:
    return stream.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def styled(text: str, style: str, stream: TextIO) -> str:
    """The text in a style of the table above, where the stream shows colours."""
    return f"\033[{_STYLES[style]}m{text}\033[0m" if is_colourful(stream) else text


def printable(text: str) -> str:
    """The text without control and direction characters: a file's content must not move the cursor or reorder a line."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def print_json(value: Any) -> None:
    """JSON for people and pipes. What moves a cursor or reorders a line is escaped: JSON leaves C1 controls and direction marks as they are."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    print("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))


def shown_path(file: str) -> str:
    """A path as short as it can be from here."""
    try:
        return str(Path(file).relative_to(Path.cwd()))
    except (ValueError, OSError):
        return file


def shown_line(file: str, number: int, column: int = 0) -> tuple[str, int]:
    """One line of a file for a person, and how many cells before the column; the line is empty when it cannot be had, and -1 means no cell.

    Values that may be secret are replaced by `***`. Of a long line the part around the column is shown.
    """
    if number < 1:
        return "", -1
    try:
        lines = Path(file).read_bytes().split(b"\n")
    except OSError:
        return "", -1
    if number > len(lines):
        return "", -1
    raw = lines[number - 1].decode("utf-8", "replace")
    line = _plain_text(raw.rstrip())
    if assigned := _ASSIGNED.match(line):
        value = line[assigned.end() :]
        hidden = _SECRET_KEY.search(assigned[0]) and ("@" in value or not _is_plain(value))
        if hidden or looks_secret(value) or _USER_INFO.search(value):
            line = f"{assigned[0]}***"
    elif looks_secret(line) or _USER_INFO.search(line):  # within a multi-line value there is no key to show
        return "", -1
    before = _plain_text(raw[: column - 1]) if column else ""
    start = max(0, len(before) - SOURCE_LINE_MAX // 2) if len(line) > SOURCE_LINE_MAX else 0
    mark = "..." if start else ""
    cells = cell_len(mark + before[start:]) if column and line.startswith(before.rstrip()) else -1
    part = line[start : start + SOURCE_LINE_MAX]
    return mark + part + ("..." if start + SOURCE_LINE_MAX < len(line) else ""), cells


def _plain_text(text: str) -> str:
    return printable(text.replace("\t", "    "))


def _is_plain(value: str) -> bool:
    """A reference, a number, a switch or a URL without user name: shown even below a key whose name sounds secret."""
    return bool(_REFERENCE.fullmatch(value) or re.fullmatch(r"""[0-9.]+\s*(?:#.*)?|true|false|"https?://[^?#@"]*"\s*(?:#.*)?""", value))


def print_problems(problems: Iterable[Problem], stream: TextIO | None = None, *, style: str = "red") -> None:
    """Each problem with place, line, code and what to write instead."""
    stream = stream or sys.stderr
    for problem in problems:
        place = problem.moved(shown_path(problem.file)).place if problem.file else problem.place
        key = f"{printable(problem.key)}: " if problem.key else ""
        code = styled(f"[{problem.code}]", "dim", stream)
        head = f"{styled(place, 'bold', stream)}: " if place else ""
        print(f"{head}{key}{styled(printable(problem.message), style, stream)}  {code}", file=stream)
        line, cells = shown_line(problem.file, problem.line, problem.column)
        if line:
            print(f"  {styled(f'{problem.line:>4} |', 'dim', stream)} {line}", file=stream)
        if line and cells >= 0:
            print(f"  {styled('     |', 'dim', stream)} {' ' * cells}{styled('^', style, stream)}", file=stream)
        if problem.remedy:
            print(f"       {styled('=', 'dim', stream)} {printable(problem.remedy)}", file=stream)


def problem_json(problem: Problem) -> dict[str, Any]:
    """A problem as a JSON object, for editors and pipelines."""
    return {
        "code": problem.code,
        "message": problem.message,
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "key": problem.key,
        "remedy": problem.remedy,
    }


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table in columns as wide as their content; the last one is not padded. On a terminal that is narrower, long cells go on in further lines."""
    table = [list(headings), *([printable(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(row[i]) for row in table) for i in range(len(headings))]
    if sys.stdout.isatty():
        widths = _narrowed(widths, shutil.get_terminal_size().columns - len(GAP) * (len(widths) - 1))
    for number, row in enumerate(table):
        for cells in zip_longest(*(_folded(cell, width) for cell, width in zip(row, widths, strict=True)), fillvalue=""):
            text = GAP.join(cell + " " * (width - cell_len(cell)) for cell, width in zip(cells, widths, strict=True)).rstrip()
            print(styled(text, "bold", sys.stdout) if number == 0 else text)


def _narrowed(widths: list[int], room: int) -> list[int]:
    """The widths with the widest taken down until all fit, or until nothing may be narrower."""
    found = list(widths)
    while sum(found) > room and max(found) > COLUMN_MIN:
        found[found.index(max(found))] -= 1
    return found


def _folded(cell: str, width: int) -> list[str]:
    """The cell in lines, broken behind a space or a sign that joins names, and within a name only where that does not help."""
    lines = [""]
    for part in _PART.findall(cell):
        if cell_len((lines[-1] + part).rstrip()) > width:
            lines.append("")
        *whole, last = chop_cells(lines.pop() + part, width)
        lines += [*whole, last]
    return [line.strip() for line in lines if line.strip()] or [""]


def print_ticks(parts: Iterable[tuple[bool | None, str, str]]) -> None:
    """(passed, name, detail) per line; None means it was not looked at."""
    for passed, name, detail in parts:
        mark, style = {True: ("ok", "green"), False: ("FAILED", "red"), None: ("-", "yellow")}[passed]
        print(f"  {styled(f'{mark:<6}', style, sys.stdout)}  {name:<12} {detail}")


def plural(count: int, noun: str) -> str:
    """`1 rule`, `2 rules`, `3 policies`."""
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1]}ies" if noun.endswith("y") else f"{count:,} {noun}s"
