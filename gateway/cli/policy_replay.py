"""`portreeve policy replay`: what a change of the policies would have changed, found by deciding the calls of the log again."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Annotated, Literal

import typer

from gateway.authorize.judgement import STOP
from gateway.authorize.rerun import Flip, Rerun, Unfit, flip, recorded
from gateway.canonical import Json
from gateway.cli.log_place import INCOMPLETE
from gateway.cli.output import plural, print_json, print_table, printable, styled
from gateway.cli.policy_deployment import AsJson, Deployment, Folder
from gateway.cli.policy_log import Decision, Decisions, Limit, OfAgent, Since

CHANGED = 1
UNFIT_SHOWN = 5

Gate = Literal["any", "widening", "narrowing", "none"]
Candidate = Annotated[Path, typer.Option("--candidate", metavar="DIR", help="The policies folder to try, such as policies-next.")]
FailOn = Annotated[Gate, typer.Option("--fail-on", help="Exit with 1 when a decision changes this way. widening: more is allowed than was.")]

_STYLES = {"widening": "red", "narrowing": "yellow", "other": "dim"}


@dataclass(frozen=True, slots=True)
class Group:
    """Decisions that change alike: the same two verdicts, for the same policies, agent and tool."""

    flip: Flip
    agent: str
    tool: str


@dataclass(slots=True)
class Changes:
    """What came of all decisions. `example` is the number of the newest one of each group."""

    taken: Counter[str] = field(default_factory=Counter)
    groups: Counter[Group] = field(default_factory=Counter)
    example: dict[Group, int] = field(default_factory=dict)
    unfit: Counter[str] = field(default_factory=Counter)
    unfit_example: dict[str, int] = field(default_factory=dict)
    elapsed_s: float = 0.0

    def add(self, decision: Decision, rerun: Rerun) -> None:
        found = rerun.decide(decision.authz)
        if isinstance(found, Unfit):
            self.taken["unfit"] += 1
            self.unfit[found.why] += 1
            self.unfit_example[found.why] = decision.record.n
            return
        changed = flip(recorded(decision.authz), found)
        if changed is None:
            self.taken["stopped" if STOP in decision.authz["ctx"] else "same"] += 1
            return
        self.taken["changed"] += 1
        group = Group(changed, decision.agent, decision.tool)
        self.groups[group] += 1
        self.example[group] = decision.record.n

    def directions(self) -> Mapping[str, int]:
        found: Counter[str] = Counter({"widening": 0, "narrowing": 0, "other": 0})
        for group, count in self.groups.items():
            found[group.flip.direction] += count
        return found

    def exit_code(self, gate: Gate) -> int:
        """1 for a change that the gate is for; 3 where there were decisions and none could be compared."""
        found = self.directions()
        if gate != "none" and (any(found.values()) if gate == "any" else found[gate]):
            return CHANGED
        return INCOMPLETE if self.taken["unfit"] and not (self.taken["same"] or self.taken["changed"]) else 0


def replay(
    candidate: Candidate,
    *,
    folder: Folder = Path(),
    since: Since = "",
    agent: OfAgent = "",
    limit: Limit = 0,
    fail_on: FailOn = "any",
    as_json: AsJson = False,
) -> None:
    """Decide the calls of the log again by another policies folder and show what comes out otherwise, with the newest decision of each kind.

    Contracts and identities are those of today; arguments and facts are the recorded ones. A decision that no longer fits today's contracts is
    counted as unfit and not guessed. Exit codes: 0 no change of the kind that --fail-on names, 1 there is one, 3 nothing could be compared.

    Example: portreeve policy replay --candidate policies-next --since 30d --fail-on widening
    """
    decisions = Decisions(folder, since=since, agent=agent, limit=limit)
    rerun = Rerun(Deployment.read(folder, candidate).bundle(), decisions.stored)
    changes = Changes()
    began = perf_counter()
    for decision in decisions.read("replaying"):
        changes.add(decision, rerun)
    changes.elapsed_s = perf_counter() - began
    code = changes.exit_code(fail_on)
    if as_json:
        print_json(_json(changes, fail_on, code))
    else:
        _print(changes, failed=code == CHANGED)
    raise typer.Exit(code)


def _print(changes: Changes, *, failed: bool) -> None:
    rows = [
        (str(count), f"{group.flip.before} -> {group.flip.after}", ", ".join(group.flip.policies) or "-", group.agent, group.tool, f"{number}")
        for group, count, number in _ordered(changes)
    ]
    if rows:
        print_table(("calls", "change", "policy", "agent", "tool", "newest"), rows)
        print()
    total = changes.taken.total()
    directions = changes.directions()
    how = ", ".join(styled(f"{count} {name}", _STYLES[name], sys.stdout) for name, count in directions.items() if count)
    mark = styled("CHANGED", "red", sys.stdout) if failed else styled("ok", "green", sys.stdout)
    changed = changes.taken["changed"]
    print(f"{mark}  {plural(total, 'decision')} decided again: {changed:,} changed{f' ({how})' if how else ''}, {changes.taken['same']:,} the same")
    if changes.taken["stopped"]:
        print(f"    {changes.taken['stopped']:,} stopped before policy")
    if changes.taken["unfit"]:
        print(styled(f"    {changes.taken['unfit']:,} unfit: they are no calls that today's contracts take", "yellow", sys.stdout))
        for why, count in changes.unfit.most_common(UNFIT_SHOWN):
            print(f"      {count:,} such as {changes.unfit_example[why]}: {printable(why)[:160]}")
    if rows:
        print("    `portreeve policy explain NUMBER` tells why a decision came out as it did")


def _ordered(changes: Changes) -> list[tuple[Group, int, int]]:
    """What widens first, then by number."""
    order = {"widening": 0, "narrowing": 1, "other": 2}
    found = sorted(changes.groups.items(), key=lambda item: (order[item[0].flip.direction], -item[1], str(item[0])))
    return [(group, count, changes.example[group]) for group, count in found]


def _json(changes: Changes, gate: Gate, code: int) -> dict[str, Json]:
    flips = [
        {
            "direction": group.flip.direction,
            "before": group.flip.before,
            "after": group.flip.after,
            "policies": group.flip.policies,
            "agent": group.agent,
            "tool": group.tool,
            "count": count,
            "newest": number,
        }
        for group, count, number in _ordered(changes)
    ]
    unfit = [{"why": why, "count": count, "newest": changes.unfit_example[why]} for why, count in changes.unfit.most_common()]
    return {
        "ok": code == 0,
        "fail_on": gate,
        "decisions": {kind: changes.taken[kind] for kind in ("same", "changed", "stopped", "unfit")},
        "directions": changes.directions(),
        "flips": flips,
        "unfit_because": unfit,
        "elapsed_s": round(changes.elapsed_s, 3),
    }
