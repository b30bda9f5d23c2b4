"""`portreeve log replay`: every recorded decision made again, from the log alone."""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path

import typer

from gateway.authorize import ReplayError, recompute
from gateway.canonical import Json, dumps
from gateway.cli.log_place import INCOMPLETE, TAMPERED, AsJson, Folder, LogFolder, place_of, reading
from gateway.cli.output import plural, print_json, printable, styled
from gateway.cli.progress import progress as show_progress
from gateway.record import WITHHELD, LogReader, ObjectBroken, ObjectMissing, Record, Why, Withheld

DIFFERENCES_SHOWN = 10
OBJECTS_MAX = 1_024


def replay_in(folder: Path, unseal: Path | None = None) -> Callable[[Record], str | None]:
    """What `portreeve log verify --level replay` asks of each call, in whichever process it looks. `unseal`: the folder of keys, if at hand."""
    reader = LogReader(folder, unseal)
    stored = lru_cache(maxsize=OBJECTS_MAX)(reader.object)

    def replay_one(record: Record) -> str | None:
        authz = reader.decision(record)
        if isinstance(authz, Withheld) and authz.why == "lost":
            raise ObjectMissing(str(authz))
        if authz is None or isinstance(authz, Withheld):
            return None
        found = _decide_again(authz, stored) or {}
        if "missing" in found:
            raise ObjectMissing(found["missing"])
        again = found["again"].get("decision") if "again" in found else found.get("error")
        return f"{authz.get('decision')} was recorded, now {again}" if found else ""

    return replay_one


def replay(folder: Folder = Path(), log: LogFolder = None, as_json: AsJson = False) -> None:
    """Decide every recorded call again, from the log alone, and compare byte for byte.

    Sealed inputs are opened with the deployment's keys. Decisions whose inputs are erased, or sealed where no key is at hand, are counted and not
    guessed. Exit codes: 0 all that could be made again are the same, 1 a decision differs, 3 what a decision rests on is missing.
    """
    where = place_of(folder, log, None, needs_key=False)
    reader = where.reader()
    stored = lru_cache(maxsize=OBJECTS_MAX)(reader.object)
    same, differing, missing, differences = 0, 0, 0, list[dict[str, Json]]()
    withheld = Counter[Why]()
    with reading(), show_progress("replaying", None) as progress:
        for record in reader.records():
            if record.n % 256 == 0:
                progress(record.n)
            authz = reader.decision(record)
            if authz is None:
                continue
            if isinstance(authz, Withheld):
                withheld[authz.why] += 1
                continue
            found = _decide_again(authz, stored)
            if found is None:
                same += 1
                continue
            missing += "missing" in found
            differing += "missing" not in found
            if len(differences) < DIFFERENCES_SHOWN:
                differences.append({"n": record.n, **found})
    if as_json:
        counts = {"same": same, "differ": differing, "missing": missing}
        print_json({"decisions": sum(counts.values()) + withheld.total(), **counts, "withheld": dict(withheld), "differences": differences})
    else:
        _print_replay(same, differing, missing, differences)
        for why, count in withheld.items():
            print(f"    {plural(count, 'decision')} not made again: {WITHHELD[why]}")
    raise typer.Exit(TAMPERED if differing else INCOMPLETE if missing or withheld["lost"] else 0)


def _decide_again(authz: Mapping[str, Json], stored: Callable[[str], bytes]) -> dict[str, Json] | None:
    """None when the decision comes out the same, else what is different."""
    recorded = {name: authz.get(name) for name in ("decision", "reasons", "errors", "obl")}
    try:
        again = recompute(authz, stored)
    except (ObjectMissing, ObjectBroken) as error:
        return {"missing": str(error)}
    except ReplayError as error:
        return {"recorded": recorded, "error": str(error)}
    return None if dumps(again) == dumps(recorded) else {"recorded": recorded, "again": dict(again)}


def _print_replay(same: int, differing: int, missing: int, differences: list[dict[str, Json]]) -> None:
    total = same + differing + missing
    verdict = styled("ok", "green", sys.stdout) if same == total else styled("DIFFERENT", "red", sys.stdout)
    print(f"{verdict}  {plural(total, 'decision')} recomputed: {same} identical, {differing} different, {missing} without their inputs")
    for found in differences:
        print(f"  record {found['n']}")
        for name in ("recorded", "again", "error", "missing"):
            if name in found:
                text = found[name] if isinstance(found[name], str) else json.dumps(found[name], ensure_ascii=False)
                print(f"    {name:<9} {printable(text)}")
