"""One TOML file of a deployment: its table, its bytes, and the line of each key.

Faults are raised as Problem with file and line; they never quote a value, since the value may be a secret that somebody wrote there.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.config.lines import Key, first_duplicate, places
from gateway.errors import Problem

FILE_BYTES_MAX = 1024 * 1024

_WHERE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file. `file` is the path as problems show it."""

    path: Path
    raw: bytes = field(repr=False)
    table: Mapping[str, Any] = field(repr=False)
    lines: Mapping[Key, int] = field(repr=False)

    @property
    def file(self) -> str:
        return str(self.path)

    def line(self, key: Key) -> int:
        """The line of a key, or of the nearest table around it; 0 when the file has neither."""
        while key and key not in self.lines:
            key = key[:-1]
        return self.lines.get(key, 0)

    def problem(self, code: str, message: str, key: Key, remedy: str) -> Problem:
        return Problem(code, message, file=self.file, line=self.line(key), key=".".join(key), remedy=remedy)


def read_source(path: Path) -> Source:
    """Read and parse one file. Raises Problem."""
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        raise Problem("unreadable_file", f"cannot be read: {reason}", file=str(path), remedy="check that it exists and its permissions") from error
    if len(raw) > FILE_BYTES_MAX:
        remedy = 'split it with include = ["tools/*.toml"]'
        raise Problem("file_too_large", f"is larger than {FILE_BYTES_MAX} bytes", file=str(path), remedy=remedy)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise Problem("not_utf8", "is not UTF-8 text", file=str(path), line=line, remedy="save the file as UTF-8") from error
    return Source(path, raw, _parse(path, text), places(text))


def _parse(path: Path, text: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise Problem("toml_syntax", "is nested too deeply", file=str(path), remedy="write fewer brackets within brackets") from error
    except ValueError as error:
        if twice := first_duplicate(text):
            first, second = twice
            remedy = f"keep one of the two; the first stands on line {first.line}"
            raise Problem("duplicate_key", "is written twice", file=str(path), line=second.line, key=".".join(second.key), remedy=remedy) from None
        message = str(error)
        where = _WHERE.search(message)
        line = int(where[1]) if where and where[1] else text.rstrip().count("\n") + 1 if where else 0
        remedy = 'write it as TOML: key = "text", key = 12, key = true, key = ["a", "b"], [table]'
        raise Problem("toml_syntax", f"is not TOML: {_WHERE.sub('', message).lower()}", file=str(path), line=line, remedy=remedy) from None
