"""Where a log is and by which keys it is believed: the options that the `portreeve log` commands share, and their exit codes."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from gateway.cli.json_errors import Stopped
from gateway.cli.output import printable
from gateway.config.load import load
from gateway.errors import Problem
from gateway.record import PUBLIC_FILE, BadNote, BrokenLine, LogReader, NoteKey, ObjectBroken, ObjectMissing, parse_keys

TAMPERED, INCOMPLETE, KEY = 1, 3, 4
PROBLEMS = {TAMPERED: "log_tampered", INCOMPLETE: "log_incomplete", KEY: "log_key"}

Folder = Annotated[
    Path, typer.Option("--folder", "-C", metavar="DIR", envvar="PORTREEVE_FOLDER", help="Deployment folder: where gateway.toml stands.")
]
LogFolder = Annotated[Path | None, typer.Option("--log", metavar="DIR", help="The log's folder, when there is no deployment at hand.")]
LogFolderWithKey = Annotated[Path | None, typer.Option("--log", metavar="DIR", help="The log's folder, without its deployment. Needs --key.")]
KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="Verifier key lines, from a place that whoever writes the log cannot change.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Number = Annotated[int, typer.Argument(metavar="N", min=0, help="The number in `portreeve-decision: ORIGIN#N;LEAF`.")]


@dataclass(frozen=True, slots=True)
class Where:
    """A log and the keys to believe it by. `origin` is the name it must have, when a deployment says so; `unseal` is its folder of keys."""

    folder: Path
    keys: tuple[NoteKey, ...]
    origin: str | None
    unseal: Path | None = None

    def reader(self) -> LogReader:
        reader = LogReader(self.folder, self.unseal)
        if self.origin is not None and reader.origin != self.origin:
            raise Problem("log_origin", f"this is the log of {reader.origin}", file=str(self.folder), remedy=f"the deployment's is {self.origin}")
        return reader


def place_of(folder: Path, log: Path | None, key: Path | None, *, needs_key: bool) -> Where:
    if log is not None:
        if key is None and needs_key:
            raise typer.BadParameter("--log needs --key FILE: a key that lies beside the log proves nothing")
        return Where(log, keys_in(key) if key else (), None)
    settings = load(folder)
    if key is None and not needs_key:
        return Where(settings.log.folder, (), settings.log.origin, settings.keys)
    return Where(settings.log.folder, keys_in(key or settings.keys / PUBLIC_FILE), settings.log.origin, settings.keys)


def keys_in(path: Path) -> tuple[NoteKey, ...]:
    try:
        return parse_keys(path.read_text())
    except (OSError, UnicodeDecodeError, BadNote) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        stop(KEY, f"{path}: no verifier key: {reason}")


def stop(code: int, text: str) -> NoReturn:
    """End the command with what makes its exit code: on standard error and, for who asked for JSON, there."""
    print(f"portreeve: {printable(text)}", file=sys.stderr)
    raise Stopped(code, Problem(PROBLEMS[code], text))


@contextlib.contextmanager
def reading() -> Iterator[None]:
    """Turn what a reader may meet in a log into a line and an exit code."""
    try:
        yield
    except BadNote as error:
        stop(KEY, f"the newest checkpoint: {error}")
    except BrokenLine as error:
        stop(TAMPERED, f"the log is broken: {error}; see `portreeve log verify`")
    except (ObjectMissing, ObjectBroken) as error:
        stop(INCOMPLETE, f"a record names an object that the log does not hold whole: {error}")
