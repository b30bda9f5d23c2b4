"""`portreeve policy coverage`: which policies and conditions the cases, or the decision log, have seen come out both ways."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from math import floor
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.cases import ask, read_cases
from gateway.authorize.conditions import Condition
from gateway.authorize.coverage import Coverage, Covered, Taken, Tally, percent
from gateway.canonical import Json
from gateway.cli.output import plural, print_json, print_table, styled
from gateway.cli.policy_deployment import AsJson, Deployment, Folder, Instead
from gateway.cli.policy_log import Decisions
from gateway.errors import Problem

NEVER = "NEVER"

_TAKEN: Mapping[Taken, str] = {
    "asked": "decided by policy",
    "stopped": "stopped before policy",
    "unfit": "left out: they do not fit today's contracts",
    "withheld": "left out: their inputs are sealed or erased",
}

FromLog = Annotated[bool, typer.Option("--log", help="Count the decisions of the log, too, by the policies of today.")]
FailUnder = Annotated[float, typer.Option("--fail-under", metavar="PERCENT", min=0, max=100, help="Exit with 1 when less was seen.")]
Missing = Annotated[bool, typer.Option("--missing", help="Show only what never came out one way.")]


def coverage(
    *,
    folder: Folder = Path(),
    candidate: Instead = None,
    from_log: FromLog = False,
    fail_under: FailUnder = 0.0,
    missing: Missing = False,
    as_json: AsJson = False,
) -> None:
    """Show how often each policy applied and each condition held, over the cases. What never came out one way is not tested.

    A condition counts where the call came as far as it: its policy's scope matches, and all conditions before it held. Exits with 1 below
    --fail-under; a folder without policies has nothing to cover, which no --fail-under but 0 takes for enough.

    Example: portreeve policy coverage --missing --fail-under 100
    """
    deployment = Deployment.read(folder, candidate)
    bundle = deployment.bundle()
    found = Coverage(bundle)
    for case in read_cases(deployment.settings.policies):
        verdict = ask(bundle, case)
        if isinstance(verdict, str):
            raise Problem("case_failed", f"{case.name}: {verdict}", file=case.file, line=case.line, remedy="see `portreeve policy test`")
        found.add_basis(verdict.basis)
    if from_log:
        _add_log(deployment, found)
    report = found.report()
    share = percent(report)
    passed = (share or 0.0) >= fail_under
    if as_json:
        policies = [_covered_json(covered) for covered in report]
        print_json(
            {
                "ok": passed,
                "percent": share,
                "fail_under": fail_under,
                "decisions": {kind: found.taken[kind] for kind in _TAKEN},
                "policies": policies,
            }
        )
    else:
        _print(report, found, missing=missing)
        word = styled("ok", "green", sys.stdout) if passed else styled("TOO LOW", "red", sys.stdout)
        told = "there is no policy, so nothing to cover" if share is None else f"{floor(share * 10) / 10:.1f} % of all outcomes seen"
        print(f"{word}  {told}" + (f", {fail_under:g} % wanted" if fail_under else ""))
    if not passed:
        raise typer.Exit(1)


def _add_log(deployment: Deployment, found: Coverage) -> None:
    """Every decision of the log. One whose entities the log no longer holds ends the command: a silent gap would look like a tested rule."""
    decisions = Decisions(deployment.settings.folder)
    for decision in decisions.read("reading the log"):
        authz = decision.authz
        if decision.is_withheld:
            found.taken["withheld"] += 1
        else:
            found.add((authz["p"], authz["a"], authz["r"]), authz["ctx"], decisions.stored(authz["ents"]))


def _print(report: tuple[Covered, ...], found: Coverage, *, missing: bool) -> None:
    rows = [row for covered in report for row in _rows(covered, missing=missing)]
    if rows:
        print_table(("policy", "effect", "true", "false", "where", "condition"), rows)
        print()
    print(", ".join(f"{plural(count, 'decision')} {_TAKEN[kind]}" for kind, count in found.taken.items()) or "no decisions")


def _rows(covered: Covered, *, missing: bool) -> list[tuple[str, ...]]:
    policy = covered.policy
    file = Path(policy.piece.file).name
    effect = f"{policy.effect}{' (shadow)' if policy.shadow else ''}"
    rows = [(covered.applied, policy.piece.line, "applies"), *((tally, c.line, str(c)) for c, tally in covered.conditions)]
    shown = [row for row in rows if row[0].seen < 2 or not missing]
    return [
        (*((policy.id, effect) if at == 0 else ("", "")), str(tally.true or NEVER), str(tally.false or NEVER), f"{file}:{line}", text)
        for at, (tally, line, text) in enumerate(shown)
    ]


def _covered_json(covered: Covered) -> dict[str, Json]:
    policy = covered.policy
    return {
        "id": policy.id,
        "effect": policy.effect,
        "shadow": policy.shadow,
        "file": policy.piece.file,
        "line": policy.piece.line,
        "applied": _tally_json(covered.applied),
        "conditions": [_condition_json(condition, tally) for condition, tally in covered.conditions],
    }


def _condition_json(condition: Condition, tally: Tally) -> dict[str, Json]:
    return {"kind": condition.kind, "text": condition.text, "line": condition.line, **_tally_json(tally)}


def _tally_json(tally: Tally) -> dict[str, Json]:
    return {"true": tally.true, "false": tally.false}
