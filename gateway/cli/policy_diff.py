"""`portreeve policy diff`: what two sets of policies say otherwise, and calls that they decide otherwise."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import Bundle
from gateway.authorize.cases import Case, read_cases
from gateway.authorize.differences import Difference, differences
from gateway.authorize.policy import Policy
from gateway.authorize.search import CALLS_MAX, Found, Turned, calls_of, pairs, search
from gateway.canonical import dumps
from gateway.cli.output import plural, print_json, print_table, printable, styled
from gateway.cli.policy_deployment import AsJson, Deployment, Folder
from gateway.cli.policy_replay import FailOn
from gateway.cli.progress import progress
from gateway.errors import Problem

AGENTS_SHOWN = 3
ARCHIVE_TIMEOUT_S = 60

Old = Annotated[Path | None, typer.Argument(metavar="[OLD]", help="The policies folder to compare with.")]
New = Annotated[Path | None, typer.Argument(metavar="[NEW]", help="The policies folder that replaces it; the deployment's own if left out.")]
Revision = Annotated[str, typer.Option("--rev", metavar="REV", help="Compare with the policies of this git revision, instead of OLD.")]
Calls = Annotated[int, typer.Option("--calls", min=1, max=1_000_000, help="How many calls to try for one kind of agent and one operation.")]


def diff(
    old: Old = None,
    new: New = None,
    *,
    rev: Revision = "",
    folder: Folder = Path(),
    calls: Calls = CALLS_MAX,
    fail_on: FailOn = "none",
    as_json: AsJson = False,
) -> None:
    """Show what changed between two policies folders: policies by @id, and calls that are decided otherwise, with the smallest example of each kind.

    Both are read with the contracts and identities of today. Calls are tried at the boundaries of what policies compare, and those of the cases.
    The search is bounded: what it does not find may exist. Pairs of agent and operation with the same policies on both sides are certain.

    Example: portreeve policy diff --rev HEAD~1 --fail-on widening
    """
    if (old is None) == (not rev):
        raise typer.BadParameter("give one of: OLD, or --rev REV")
    after = Deployment.read(folder, new)
    with _older(after, old, rev) as place:
        before = Deployment.read(folder, place)
        one, other = before.bundle(), after.bundle()
        cases = [*read_cases(before.settings.policies), *read_cases(after.settings.policies)]
        changed = differences(one.library.by_id, other.library.by_id)
        found = _search(after, (one, other), calls, cases)
    directions = {turned.flip.direction for turned in found.turned}
    failed = fail_on != "none" and bool(directions if fail_on == "any" else fail_on in directions)
    if as_json:
        print_json({"ok": not failed, "policies": [_difference_json(d, place if rev else None) for d in changed], **_found_json(found)})
    else:
        _print(changed, found)
    if failed:
        raise typer.Exit(1)


@contextmanager
def _older(deployment: Deployment, old: Path | None, rev: str) -> Iterator[Path]:
    """The folder to compare with; that of a revision is there for as long as it is needed."""
    if old is not None:
        yield old
        return
    with tempfile.TemporaryDirectory(prefix="portreeve-diff-") as made:
        _check_out(deployment.settings.policies, rev, Path(made))
        yield Path(made)


def _check_out(policies: Path, rev: str, into: Path) -> None:
    git = shutil.which("git")
    remedy = "name a revision of the repository that the policies stand in, such as HEAD~1"
    if git is None or rev.startswith("-"):
        raise Problem("no_revision", "git is not installed" if git is None else f"{rev} is no revision", remedy=remedy)
    command = [git, "-C", str(policies), "archive", "--format=tar", rev, "."]
    done = subprocess.run(command, capture_output=True, timeout=ARCHIVE_TIMEOUT_S, check=False)  # noqa: S603 - git, with a revision that is no option
    if done.returncode:
        why = done.stderr.decode("utf-8", "replace").strip().rpartition("\n")[2]
        raise Problem("no_revision", f"git cannot give the policies of {rev}: {why}", file=str(policies), remedy=remedy)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(into, filter="data")


def _search(deployment: Deployment, bundles: tuple[Bundle, Bundle], calls: int, cases: Sequence[Case]) -> Found:
    before, after = bundles
    wanted, same = pairs(before, after, deployment.identities.agents)
    found = Found(same=same)
    with progress("trying calls", len(wanted)) as show:
        for done, pair in enumerate(wanted, 1):
            one = search(before, after, pair, calls_of(before, pair, cases, calls), deployment.violation)
            found.turned += one.turned
            found.blind += one.blind
            found.calls += one.calls
            found.searched += one.searched
            show(done)
    return found


def _print(changed: Sequence[Difference], found: Found) -> None:
    if changed:
        print_table(("", "policy", "where", "what"), [(d.kind, d.id, _where(d), "; ".join(d.what)) for d in changed])
    else:
        print("No policy says anything else.")
    for direction, style in (("widening", "red"), ("narrowing", "yellow"), ("other", "dim")):
        turned = sorted((t for t in found.turned if t.flip.direction == direction), key=lambda t: (t.pair.action, t.pair.agents))
        if turned:
            print(f"\n{styled(direction, style, sys.stdout)}")
            print_table(("operation", "agents", "was", "becomes", "because of", "calls", "the smallest"), map(_row, turned))
    print()
    for pair in found.blind:
        print(f"{printable(pair.action)}: no call is known that the contract takes, so nothing was tried; add a case")
    if found.searched or not found.same:
        print(f"Tried {plural(found.calls, 'call')} of {plural(found.searched, 'pair')} of agent and operation. {_certain(found.same)}".rstrip())
    else:
        print(f"No call can be decided otherwise: for all {plural(found.same, 'pair')} of agent and operation the same policies apply on both sides.")
    if found.searched:
        print("The search is bounded: what it did not find may exist. See also what it would have changed: portreeve policy replay --candidate DIR")


def _certain(same: int) -> str:
    return f"{plural(same, 'pair')} cannot change: the same policies apply there on both sides." if same else ""


def _where(difference: Difference) -> str:
    places = [_place(policy) for policy in (difference.before, difference.after) if policy is not None]
    return " -> ".join(dict.fromkeys(places))


def _place(policy: Policy) -> str:
    return f"{Path(policy.piece.file).name}:{policy.piece.line}"


def _row(turned: Turned) -> tuple[str, ...]:
    agents = turned.pair.agents
    more = f" and {len(agents) - AGENTS_SHOWN} more" if len(agents) > AGENTS_SHOWN else ""
    example = {name: value for name, value in turned.example.items() if name not in {"agent", "tool", "operation"}}
    shown = example["arguments"] if example.keys() == {"arguments"} else example
    flip = turned.flip
    return (
        turned.pair.action,
        ", ".join(agents[:AGENTS_SHOWN]) + more,
        flip.before,
        flip.after,
        ", ".join(flip.policies) or "no permit applies",
        str(turned.count),
        dumps(shown).decode(),
    )


def _difference_json(difference: Difference, made: Path | None) -> dict[str, object]:
    """`made` is the folder of a revision, which is gone by now: what stood there is named as it is in the policies folder."""
    sides = {
        name: None if policy is None else {"file": _file(policy, made), "line": policy.piece.line, "text": policy.piece.text}
        for name, policy in (("before", difference.before), ("after", difference.after))
    }
    return {"kind": difference.kind, "id": difference.id, "what": difference.what, **sides}


def _file(policy: Policy, made: Path | None) -> str:
    file = Path(policy.piece.file)
    return str(file.relative_to(made) if made is not None and file.is_relative_to(made) else file)


def _found_json(found: Found) -> dict[str, object]:
    turned = [
        {
            "direction": t.flip.direction,
            "before": t.flip.before,
            "after": t.flip.after,
            "operation": t.pair.action,
            "agents": t.pair.agents,
            "policies": t.flip.policies,
            "count": t.count,
            "call": t.example,
        }
        for t in found.turned
    ]
    blind = [{"operation": pair.action, "agents": pair.agents} for pair in found.blind]
    searched = {"calls": found.calls, "pairs": found.searched, "certainly_same": found.same, "not_tried": blind, "complete": not found.searched}
    return {"flips": turned, "searched": searched}
