"""`portreeve log replay`: every recorded decision made again, from the log alone."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize import ReplayError, recompute, recompute_partly
from gateway.canonical import Json, dumps
from gateway.cli.log_place import INCOMPLETE, TAMPERED, AsJson, Folder, LogFolder, place_of, reading
from gateway.cli.output import plural, print_json, printable, styled
from gateway.cli.progress import progress as show_progress
from gateway.record import WITHHELD, LogReader, ObjectBroken, ObjectMissing, Record, Why, Withheld

SHOWN = 10
OBJECTS_MAX = 1_024


Found = dict[str, Json]
"""What is different about a decision that was made again; empty where nothing is."""


@dataclass(slots=True)
class Tally:
    """What a replay has found so far. `partly` are those of the same that were made again without inputs which no policy that was asked looks at."""

    same: int = 0
    differ: int = 0
    missing: int = 0
    partly: Counter[Why] = field(default_factory=Counter)
    differences: list[dict[str, Json]] = field(default_factory=list)
    withheld: Counter[Why] = field(default_factory=Counter)
    named: list[tuple[int, Withheld]] = field(default_factory=list)

    def add(self, n: int, authz: Mapping[str, Json] | Withheld, found: Found | None, named_max: int) -> None:
        if found is None:
            assert isinstance(authz, Withheld)
            self.withheld[authz.why] += 1
            if len(self.named) < named_max:
                self.named.append((n, authz))
            return
        self.same += not found
        if not found and isinstance(authz, Withheld):
            self.partly[authz.why] += 1
        self.missing += "missing" in found
        self.differ += bool(found) and "missing" not in found
        if found and len(self.differences) < SHOWN:
            self.differences.append({"n": n, **found})

    @property
    def exit_code(self) -> int:
        return TAMPERED if self.differ else INCOMPLETE if self.missing or self.withheld["lost"] else 0

    def as_json(self) -> dict[str, Json]:
        counts = {"same": self.same, "differ": self.differ, "missing": self.missing}
        return {
            "decisions": sum(counts.values()) + self.withheld.total(),
            **counts,
            "same_partly": dict(self.partly),
            "withheld": dict(self.withheld),
            "withheld_inputs": [{"n": n, "why": authz.why, "places": dict(authz.places)} for n, authz in self.named],
            "differences": self.differences,
        }


def replay_in(folder: Path, unseal: Path | None = None) -> Callable[[Record], str | None]:
    """What `portreeve log verify --level replay` asks of each call, in whichever process it looks. `unseal`: the folder of keys, if at hand."""
    reader = LogReader(folder, unseal)
    stored = lru_cache(maxsize=OBJECTS_MAX)(reader.object)

    def replay_one(record: Record) -> str | None:
        authz = reader.decision(record)
        if authz is None:
            return None
        found = _decide_again(authz, stored)
        if found is None:
            assert isinstance(authz, Withheld)
            if authz.why == "lost":
                raise ObjectMissing(str(authz))
            return None
        if "missing" in found:
            raise ObjectMissing(found["missing"])
        again = found["again"].get("decision") if "again" in found else found.get("error")
        return f"{found['recorded'].get('decision')} was recorded, now {again}" if found else ""

    return replay_one


def replay(
    folder: Folder = Path(),
    log: LogFolder = None,
    *,
    withheld: Annotated[bool, typer.Option("--withheld", help=f"Name all decisions that are not made again, not only the first {SHOWN}.")] = False,
    as_json: AsJson = False,
) -> None:
    """Decide every recorded call again, from the log alone, and compare byte for byte.

    Sealed inputs are opened with the deployment's keys. A decision some of whose inputs are withheld (never kept, erased, or sealed where no key is at
    hand) is made again where no policy that it was put to looks at them; else it is named and counted, and never guessed. Exit codes: 0 all that
    could be made again are the same, 1 a decision differs, 3 what a decision rests on is missing.

    Example: portreeve log replay --json
    """
    where = place_of(folder, log, None, needs_key=False)
    reader = where.reader()
    stored = lru_cache(maxsize=OBJECTS_MAX)(reader.object)
    tally = Tally()
    with reading(), show_progress("replaying", None) as progress:
        for record in reader.records():
            if record.n % 256 == 0:
                progress(record.n)
            authz = reader.decision(record)
            if authz is not None:
                tally.add(record.n, authz, _decide_again(authz, stored), sys.maxsize if withheld else SHOWN)
    if as_json:
        print_json(tally.as_json())
    else:
        _print(tally)
    raise typer.Exit(tally.exit_code)


def _decide_again(authz: Mapping[str, Json] | Withheld, stored: Callable[[str], bytes]) -> Found | None:
    """None where it cannot be made again, because of what is withheld."""
    body = authz.authz if isinstance(authz, Withheld) else authz
    recorded = {name: body.get(name) for name in ("decision", "reasons", "errors", "obl")}
    if isinstance(authz, Withheld) and authz.why == "lost":  # that they are not there must be told, whatever the decision rests on
        return None
    try:
        again = recompute_partly(body, stored) if isinstance(authz, Withheld) else recompute(body, stored)
    except (ObjectMissing, ObjectBroken) as error:
        return {"missing": str(error)}
    except ReplayError as error:
        return {"recorded": recorded, "error": str(error)}
    if again is None:
        return None
    return {} if dumps(again) == dumps(recorded) else {"recorded": recorded, "again": dict(again)}


def _print(tally: Tally) -> None:
    total = tally.same + tally.differ + tally.missing
    verdict = styled("ok", "green", sys.stdout) if tally.same == total else styled("DIFFERENT", "red", sys.stdout)
    print(
        f"{verdict}  {plural(total, 'decision')} recomputed: {tally.same} identical, {tally.differ} different, {tally.missing} without their inputs"
    )
    for found in tally.differences:
        print(f"  record {found['n']}")
        for name in ("recorded", "again", "error", "missing"):
            if name in found:
                text = found[name] if isinstance(found[name], str) else json.dumps(found[name], ensure_ascii=False)
                print(f"    {name:<9} {printable(text)}")
    for why, count in tally.partly.items():
        print(f"    {count} of the identical ones made again without what no policy that was asked looks at: {WITHHELD[why]}")
    for n, authz in tally.named:
        print(f"  record {n} not made again: {printable(str(authz))}")
    if (more := tally.withheld.total() - len(tally.named)) > 0:
        print(f"  and {more} more (--withheld names them)")
    for why, count in tally.withheld.items():
        print(f"    {plural(count, 'decision')} not made again: {WITHHELD[why]}")
