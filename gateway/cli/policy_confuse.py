"""`portreeve policy confuse`: can an agent turn a forbid off by spoiling its arguments?"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.cases import read_cases
from gateway.authorize.confuse import Confusion, Escape, World, confuse
from gateway.cli.output import plural, print_json, print_problems, print_table, problem_json, styled
from gateway.cli.policy_completion import policies
from gateway.cli.policy_deployment import AsJson, Deployment, Folder, Instead
from gateway.cli.progress import progress
from gateway.errors import Problem

SHOWN_MAX = 60
_REMEDY = "let the forbid hold without it, let the contract require it, or add a case that expects this call to be allowed"

Names = Annotated[
    list[str] | None, typer.Argument(metavar="[WORD]...", autocompletion=policies, help="Only forbids that have one of these words in their name.")
]


def confuse_forbids(words: Names = None, folder: Folder = Path(), candidate: Instead = None, as_json: AsJson = False) -> None:
    """Spoil the arguments of calls that each forbid stops: missing, empty, wrong-typed, extra. Every such call must still be denied.

    The contract may deny it, or any policy. Exits with 1 when one gets through, or when no call is known that a forbid stops: add a case.
    A case that expects a call to be allowed accepts that the same argument, missing or empty, lets other calls of that agent through.

    Example: portreeve policy confuse refund
    """
    deployment = Deployment.read(folder, candidate)
    bundle = deployment.bundle()
    world = World.of(bundle, read_cases(deployment.settings.policies), deployment.violation)
    forbids = [policy for policy in bundle.library.policies if policy.effect == "forbid" and not policy.shadow]
    forbids = [policy for policy in forbids if not words or any(word in policy.id for word in words)]
    if words and not forbids:
        raise Problem("no_such_forbid", f"no forbid has {' or '.join(words)} in its name", remedy="see `portreeve policy list`")
    found: list[Confusion] = []
    with progress("spoiling calls", len(forbids)) as show:
        for done, policy in enumerate(forbids, 1):
            found.append(confuse(world, policy))
            show(done)
    problems = [problem for confusion in found for problem in _problems(confusion)]
    if as_json:
        print_json({"ok": not problems, "forbids": [_json(c) for c in found], "problems": [problem_json(p) for p in problems]})
    else:
        rows = [_row(confusion) for confusion in found]
        print_table(("", "forbid", "operations", "tried", "by contract", "by policy", "accepted", "got through"), rows)
        print()
        print_problems(problems)
        word = styled("FAILED", "red", sys.stdout) if problems else styled("ok", "green", sys.stdout)
        print(f"{word}  {plural(len(found), 'forbid')}, {plural(sum(c.tried for c in found), 'spoiled call')}, {plural(len(problems), 'problem')}")
    if problems:
        raise typer.Exit(1)


def _problems(found: Confusion) -> list[Problem]:
    piece = found.policy.piece
    if not found.stopped:
        message = "no call is known that this forbid stops, so it cannot be tried"
        return [Problem("forbid_not_tried", message, file=piece.file, line=piece.line, key=found.policy.id, remedy="add a case that it stops")]
    return [
        Problem("forbid_turned_off", _told(escape), file=piece.file, line=piece.line, key=found.policy.id, remedy=_REMEDY) for escape in found.open
    ]


def _told(escape: Escape) -> str:
    mutation = escape.mutation
    name = "/" + "/".join(mutation.path)
    value = json.dumps(mutation.value, ensure_ascii=False)
    shown = value if len(value) <= SHOWN_MAX else f"{value[:SHOWN_MAX]}..."
    what = f"without {name}" if mutation.kind == "missing" else f"with {name} = {shown} ({mutation.kind})"
    verb = "allowed" if escape.decision == "allow" else "held for approval"
    base = f"; the call of case {escape.base.name!r}" if escape.base.name else ""
    return f"{escape.action} by {escape.agent} is {verb} {what}, by {', '.join(escape.reasons)}{base}"


def _row(found: Confusion) -> tuple[str, ...]:
    accepted = len(found.escapes) - sum(not escape.accepted for escape in found.escapes)
    through = sum(not escape.accepted for escape in found.escapes)
    counts = (len(found.stopped), found.tried, found.by_contract, found.by_policy, accepted, through)
    return ("ok" if found.stopped and not through else "FAILED", found.policy.id, *map(str, counts))


def _json(found: Confusion) -> dict[str, object]:
    return {
        "id": found.policy.id,
        "effect": found.policy.effect,
        "shadow": found.policy.shadow,
        "file": found.policy.piece.file,
        "line": found.policy.piece.line,
        "stopped": found.stopped,
        "tried": found.tried,
        "by_contract": found.by_contract,
        "by_policy": found.by_policy,
        "escapes": [_escape_json(escape) for escape in found.escapes],
    }


def _escape_json(escape: Escape) -> dict[str, object]:
    return {
        "operation": escape.action,
        "agent": escape.agent,
        "case": escape.base.name,
        "kind": escape.mutation.kind,
        "path": escape.mutation.path,
        "arguments": escape.mutation.arguments,
        "decision": escape.decision,
        "reasons": escape.reasons,
        "accepted_by": escape.accepted,
    }
