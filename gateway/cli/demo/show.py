"""How the demo looks: a table that grows line by line, for people on any width, or one JSON object for machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDTH_MAX = 140
WIDE = 100
WHO, ANSWER = 11, 24
COLOURS = {"allowed": "green", "refused": "yellow", "found": "cyan"}


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was tried: who, what, what came back, and why.

    `differed` says how it was not as expected; empty when it was. `more` is text that is shown below the line.
    """

    who: str
    tried: str
    answer: str
    why: str
    kind: Literal["allowed", "refused", "found"]
    differed: str = ""
    more: str = ""


class Screen:
    """Prints lines as they come. Without a terminal there is no colour and no control character.

    Below WIDE columns the reason gets a line of its own, so that paths and codes stay in one piece.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
        self._console = console
        self._quiet = quiet
        self._width = min(console.width, WIDTH_MAX)

    def title(self, text: str) -> None:
        if not self._quiet:
            self._console.print()
            self._console.print(Text(text, style="bold"))

    def head(self) -> None:
        self._row(*(Text(name, style="dim") for name in (" ", "who", "what it tried", "answer", "why")))

    def line(self, line: Line) -> None:
        style = "bold red" if line.differed else COLOURS[line.kind]
        mark = Text("x" if line.differed else "+", style=style)
        self._row(mark, Text(line.who), Text(line.tried), Text(line.answer, style=style), Text(line.why, style="dim"))
        for text in line.more.splitlines():
            self.say(f"    {text}", "dim")
        if line.differed:
            self.say(f"  NOT AS EXPECTED: {line.differed}", "bold red")

    def say(self, text: str, style: str = "") -> None:
        if not self._quiet:
            self._console.print(Text(text, style=style))

    def verbatim(self, text: str) -> None:
        """Print lines as they are, however wide: somebody will copy them."""
        if not self._quiet:
            self._console.print(Text(text), soft_wrap=True)

    def _row(self, mark: Text, who: Text, tried: Text, answer: Text, why: Text) -> None:
        """A grid of its own per line, with the same widths each time, so that lines can be printed before the rest is known."""
        if self._quiet:
            return
        left = self._width - 1 - WHO - ANSWER - 4
        if self._width >= WIDE:
            tried_width = left * 9 // 20
            self._console.print(grid((1, WHO, tried_width, ANSWER, left - tried_width), (mark, who, tried, answer, why)))
            return
        self._console.print(grid((1, WHO, left, ANSWER), (mark, who, tried, answer)))
        if why.plain:
            self._console.print(grid((1, WHO, self._width - 1 - WHO - 3), (Text(), Text(), why)))


def grid(widths: tuple[int, ...], cells: tuple[Text, ...]) -> Table:
    row = Table.grid(padding=(0, 1, 0, 0))
    for width in widths:
        row.add_column(width=width, overflow="fold")
    row.add_row(*cells)
    return row


def as_json(lines: list[Line], *, seconds: float, folder: str, processes: Mapping[str, int]) -> str:
    """Everything that was shown, for a machine. `ok` is whether every line came out as expected; `processes` are those that ran, by id."""
    steps = [{**asdict(line), "ok": not line.differed} for line in lines]
    found = {"ok": as_expected(lines), "seconds": round(seconds, 1), "folder": folder, "processes": dict(processes), "steps": steps}
    return json.dumps(found)


def as_expected(lines: list[Line]) -> bool:
    """Whether something was shown and all of it came out as it should."""
    return bool(lines) and not any(line.differed for line in lines)
