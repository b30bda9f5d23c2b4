"""Reads the decisions of a deployment's log for the policy commands: since when, of whom, at most how many."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.engine import Uid
from gateway.canonical import Json
from gateway.cli.log_place import place_of, reading
from gateway.cli.progress import progress
from gateway.cli.when import moment_us
from gateway.record import LogReader, Record, Withheld

OBJECTS_MAX = 1_024
STEP = 256
"""Records between two movements of the progress bar."""

Since = Annotated[str, typer.Option("--since", metavar="WHEN", help="Only what was decided since then: 7d, 12h, 30m, or 2026-01-31 (UTC).")]
OfAgent = Annotated[str, typer.Option("--agent", metavar="AGENT", help="Only decisions about this agent.")]
Limit = Annotated[int, typer.Option("--limit", metavar="N", min=0, help="Only the newest N decisions; 0 is all.")]


@dataclass(frozen=True, slots=True)
class Decision:
    """One decision of the log. `names` are agent, action and tool. Where its inputs are withheld, `authz` says so, and nothing decides it again."""

    record: Record
    authz: Mapping[str, Json]
    agent: str
    action: str
    tool: str


class Decisions:
    """The decisions of a deployment's log that a command is about."""

    def __init__(self, folder: Path, *, since: str = "", agent: str = "", limit: int = 0) -> None:
        self.reader: LogReader = place_of(folder, None, None, needs_key=False).reader()
        self.stored: Callable[[str], bytes] = lru_cache(maxsize=OBJECTS_MAX)(self.reader.object)
        self._since_us = moment_us(since)
        self._agent = agent
        self._limit = limit

    def read(self, what: str) -> Iterator[Decision]:
        """Each decision in order, under a progress bar. Damage ends the command as `portreeve log` would."""
        for record in self.records(what):
            found = self.decision(record)
            if found is not None:
                yield found

    def records(self, what: str) -> Iterator[Record]:
        """Every record from the first decision of interest on, of whatever kind."""
        with reading():
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
