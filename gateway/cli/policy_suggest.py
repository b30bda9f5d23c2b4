"""`portreeve policy suggest`: the least permits for what agents did, from the log, and the permits that nobody used."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import DECLARED, Bundle
from gateway.authorize.policy import Policy
from gateway.authorize.rerun import Rerun, Unfit
from gateway.authorize.suggest import Suggestion, Usage, suggest
from gateway.canonical import Json
from gateway.cli.output import plural, print_json, printable, shown_path, styled
from gateway.cli.policy_deployment import AsJson, Deployment, Folder
from gateway.cli.policy_log import Decision, Decisions, OfAgent, Since
from gateway.errors import Problem
from gateway.logmode import REDACTED

HEADING = """\
// Suggested by `portreeve policy suggest` from {decisions} of the decision log: what was done and allowed, and little more.
// Numbers are rounded to two digits, upwards for the largest. Read it, widen what is too narrow, and take away the wider permits that it replaces:
// as long as they stand, these change nothing.
"""

_TAKEN = {"covered": "covered", "denied": "not allowed", "denied_today": "not allowed today", "unfit": "unfit"}
"""What comes of a decision, with the words for it."""

Write = Annotated[Path | None, typer.Option("--write", metavar="FILE", help="Write the permits to a new file instead of printing them.")]


@dataclass(slots=True)
class Observed:
    """What the log holds. `used` are the permits behind what today's policies allow or hold, of every agent."""

    usage: dict[tuple[str, str], Usage] = field(default_factory=lambda: defaultdict(Usage))
    used: set[str] = field(default_factory=set)
    taken: Counter[str] = field(default_factory=Counter)
    end: int = 0

    def add(self, decision: Decision, rerun: Rerun, *, wanted: bool) -> None:
        """Count a decision. Only what was allowed then and is allowed today is suggested: a suggestion never opens what was closed meanwhile."""
        self.end = decision.record.n
        found = rerun.decide(decision.authz)
        if isinstance(found, Unfit):
            self.taken["unfit"] += wanted
            return
        if found.verdict in {"allow", "hold"}:
            self.used.update(found.reasons)
        if not wanted:
            return
        then = decision.authz["decision"]
        if then == found.verdict == "allow":
            self.taken["covered"] += 1
            hidden = decision.record.body["authz"].get(REDACTED, ())
            self.usage[decision.agent, decision.action].add(decision.authz["ctx"], n=decision.record.n, t=decision.record.t, hidden=hidden)
        else:
            self.taken["denied" if then != "allow" else "denied_today"] += 1


def suggest_permits(folder: Folder = Path(), *, agent: OfAgent = "", since: Since = "", write: Write = None, as_json: AsJson = False) -> None:
    """Suggest the least permits that cover what each agent did and was allowed to do, with bounds on the arguments taken from what was seen.

    What was denied or held is never suggested, nor what today's policies deny. The permits are compiled against this deployment, and every call that
    they come from is decided by them again, before anything is printed. Permits that no decision needed are listed besides.

    Example: portreeve policy suggest --agent support-bot --since 30d --write suggested.cedar
    """
    if write is not None and write.exists():
        raise Problem("file_exists", "there is a file of this name", file=str(write), remedy="name a new file: nothing is overwritten")
    deployment = Deployment.read(folder)
    bundle = deployment.bundle()
    decisions = Decisions(folder, since=since)
    observed = Observed()
    rerun = Rerun(bundle, decisions.stored)
    for decision in decisions.read("reading the log"):
        observed.add(decision, rerun, wanted=not agent or decision.agent == agent)
    owners = {found.id: found.owner for found in deployment.identities.agents.values()}
    suggestions = suggest(observed.usage, bundle.plans, owners, bundle.library.by_id)
    text = HEADING.format(decisions=plural(observed.taken["covered"], "allowed decision")) + "\n" + "\n\n".join(s.text for s in suggestions) + "\n"
    if suggestions:
        _prove(deployment, text, decisions, observed, rerun)
    unused = _unused(bundle, observed)
    if write is not None and suggestions:
        write.write_text(text, encoding="utf-8")
    if as_json:
        print_json(_json(suggestions, unused, observed, text, write))
    else:
        _print(text if suggestions else "", write, unused, observed)


def _prove(deployment: Deployment, text: str, decisions: Decisions, observed: Observed, rerun: Rerun) -> None:
    """Compile the permits by themselves, and see that they allow every call that they were made from. Raises Problems, or Problem."""
    with tempfile.TemporaryDirectory() as name:
        alone = Path(name)
        (alone / "suggested.cedar").write_text(text, encoding="utf-8")
        declared = deployment.settings.policies / DECLARED
        if declared.exists():
            shutil.copyfile(declared, alone / DECLARED)
        bundle = Deployment.read(deployment.settings.folder, alone).bundle()
    after = Rerun(bundle, decisions.stored)
    for decision in _covered(decisions, observed, rerun):
        found = after.decide(decision.authz)
        if isinstance(found, Unfit) or found.verdict != "allow":
            message = f"the permits do not cover decision {decision.record.n}, which they were made from"
            raise Problem("suggestion_incomplete", message, remedy="please report this with the record (`portreeve log show`)")


def _covered(decisions: Decisions, observed: Observed, rerun: Rerun) -> Iterator[Decision]:
    for decision in decisions.read("proving"):
        if decision.record.n > observed.end:
            return  # the log has grown meanwhile
        if (decision.agent, decision.action) in observed.usage and decision.authz["decision"] == "allow":
            found = rerun.decide(decision.authz)
            if not isinstance(found, Unfit) and found.verdict == "allow":
                yield decision


def _unused(bundle: Bundle, observed: Observed) -> list[Policy]:
    """The permits that no decision of the time rests on."""
    permits = [policy for policy in bundle.library.policies if policy.effect == "permit" and not policy.shadow]
    return [policy for policy in permits if policy.id not in observed.used]


def _print(text: str, write: Path | None, unused: list[Policy], observed: Observed) -> None:
    if text and write is None:
        print(text)
    elif text:
        print(f"Wrote {shown_path(str(write))}; `portreeve policy check` reads it once it stands below the policies folder")
    counts = ", ".join(f"{observed.taken[kind]:,} {told}" for kind, told in _TAKEN.items() if observed.taken[kind]) or "no decisions"
    said = sys.stderr  # standard output is Cedar, to be redirected
    print(f"{'' if text else 'nothing to suggest; '}decisions: {counts}", file=said)
    if unused and observed.taken.total():
        print(styled("Permits that no decision of this time needed, candidates for removal:", "yellow", said), file=said)
        for policy in unused:
            print(f"  {printable(policy.id)}  {shown_path(policy.piece.file)}:{policy.piece.line}", file=said)


def _json(suggestions: list[Suggestion], unused: list[Policy], observed: Observed, text: str, write: Path | None) -> Mapping[str, Json]:
    permits = [
        {
            "id": found.id,
            "agent": found.agent,
            "tool": found.tool,
            "operations": found.actions,
            "conditions": found.conditions,
            "unbounded": found.unbounded,
            "count": found.calls,
            "newest": found.newest,
        }
        for found in suggestions
    ]
    return {
        "ok": True,
        "suggestions": permits,
        "unused": [
            {"id": policy.id, "effect": policy.effect, "shadow": policy.shadow, "file": policy.piece.file, "line": policy.piece.line}
            for policy in unused
        ],
        "decisions": {kind: observed.taken[kind] for kind in _TAKEN},
        "text": text if suggestions else "",
        "written": [str(write)] if write is not None and suggestions else [],
    }
