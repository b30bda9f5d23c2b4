"""Reads the decisions of a deployment's log for the policy commands: since when, of whom, at most how many."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.engine import Uid
from gateway.canonical import Json
from gateway.cli.completion import agents
from gateway.cli.log_place import place_of
from gateway.cli.progress import progress
from gateway.cli.when import moment_us
from gateway.errors import Problem
from gateway.logmode import REDACTED
from gateway.record import BadNote, BrokenLine, LogReader, ObjectBroken, ObjectMissing, Record, Withheld

OBJECTS_MAX = 1_024
STEP = 256
"""Records between two movements of the progress bar."""

Since = Annotated[str, typer.Option("--since", metavar="WHEN", help="Only what was decided since then: 7d, 12h, 30m, or 2026-01-31 (UTC).")]
OfAgent = Annotated[str, typer.Option("--agent", metavar="AGENT", autocompletion=agents, help="Only decisions about this agent.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Only the newest N decisions; 0 is all.")]


@contextlib.contextmanager
def log_faults(folder: Path, what: str = "") -> Iterator[None]:
    """Raise what may be wrong with a log as a Problem. `what` is being read."""
    head = f"{what}: " if what else ""
    try:
        yield
    except (BadNote, BrokenLine) as error:
        raise _unreadable(folder, f"{head}{error}") from error
    except (ObjectMissing, ObjectBroken) as error:
        raise _unreadable(folder, f"{head}the log does not hold whole what a record names: {error}") from error


def _unreadable(folder: Path, message: str) -> Problem:
    return Problem("log_unreadable", message, file=str(folder), remedy="see `portreeve log verify`")


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of the log. `names` are agent, action and tool. Where its inputs are withheld, `authz` says so, and nothing decides it again."""

    record: Record
    authz: Mapping[str, Json]
    agent: str
    action: str
    tool: str

    @property
    def is_withheld(self) -> bool:
        return REDACTED in self.authz


class Decisions:
    """The decisions of a deployment's log that a command is about."""

    def __init__(self, folder: Path, *, since: str = "", agent: str = "", limit: int = 0) -> None:
        where = place_of(folder, None, None, needs_key=False)
        self.folder = where.folder
        with log_faults(self.folder):
            self.reader: LogReader = where.reader()
        self.stored: Callable[[str], bytes] = lru_cache(maxsize=OBJECTS_MAX)(self._object)
        self._since_us = moment_us(since)
        self._agent = agent
        self._limit = limit

    def read(self, what: str) -> Iterator[Decision]:
        """Each decision in order, under a progress bar. Raises Problem for a damaged log."""
        for record in self.records(what):
            found = self.decision(record)
            if found is not None:
                yield found

    def records(self, what: str) -> Iterator[Record]:
        """Every record from the first decision of interest on, of whatever kind."""
        with log_faults(self.folder):
            start = self._start()
            newest = self.reader.newest(1)
            end = newest[0].n + 1 if newest else start
            with progress(what, end - start) as show:
                for record in self.reader.records(start):
                    if record.n % STEP == 0:
                        show(record.n - start)
                    if record.t >= self._since_us:
                        yield record

    def decision(self, record: Record) -> Decision | None:
        """What a record decided; None where it is no decision, or not about the agent that was asked for."""
        found = self.reader.decision(record)
        if found is None:
            return None
        authz = found.authz if isinstance(found, Withheld) else found
        agent, action, tool = (_id(authz.get(name)) for name in "par")
        return Decision(record, authz, agent, action, tool) if agent == self._agent or not self._agent else None

    def find(self, number: int) -> Decision | None:
        """What the record of this number decided. Raises Problem."""
        with log_faults(self.folder):
            return self.decision(self.reader.find(number))

    def _object(self, digest: str) -> bytes:
        with log_faults(self.folder):
            return self.reader.object(digest)

    def _start(self) -> int:
        """The first record to look at: segments are tried from the newest back, so a long log is not read whole for its last day."""
        missing = self._limit
        end: int | None = None
        for first, _ in reversed(self.reader.folder.segment_list()):
            if missing:
                here = islice(self.reader.records(first), None if end is None else end - first)
                numbers = [record.n for record in here if record.t >= self._since_us and self.decision(record) is not None]
                if len(numbers) >= missing:
                    return numbers[-missing]
                missing -= len(numbers)
            oldest = next(self.reader.records(first), None)
            if oldest is not None and oldest.t < self._since_us:
                return first
            end = first
        return 0


def _id(text: Json) -> str:
    try:
        return Uid.parse(text).id
    except (ValueError, AttributeError):
        return ""
