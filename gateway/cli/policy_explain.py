"""`portreeve policy explain`: why a call was decided as it was, condition by condition, and what would change the answer."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize import untyped
from gateway.authorize.cases import ask, case_of, read_json
from gateway.authorize.engine import Uid
from gateway.authorize.explain import Change, Explanation, Step, explain_basis, explain_record
from gateway.authorize.replay import ReplayError
from gateway.authorize.trial import Near, Seen
from gateway.canonical import Json, JsonError, dumps, loads
from gateway.cli.completion import agents
from gateway.cli.output import print_json, print_table, printable, styled
from gateway.cli.policy_completion import operations
from gateway.cli.policy_deployment import AsJson, Deployment, Folder
from gateway.cli.policy_log import Decisions, log_faults
from gateway.errors import Problem
from gateway.record import Withheld

CHANGES_SHOWN = 10

_WORDS = {"allow": ("ALLOWED", "green"), "deny": ("DENIED", "red"), "hold": ("HELD", "yellow"), "error": ("DENIED", "red")}
_OUTCOMES = {"allow": "To be allowed", "deny": "To be denied", "hold": "To be held for approval"}

Number = Annotated[int | None, typer.Argument(metavar="[N]", min=0, help="The number in `portreeve-decision: ORIGIN#N;LEAF`.")]
Agent = Annotated[str, typer.Option("--agent", metavar="AGENT", autocompletion=agents, help="Who calls.")]
OperationName = Annotated[
    str, typer.Option("--operation", metavar="TOOL/OPERATION", autocompletion=operations, help="What is called, such as tickets/create_refund.")
]
Arguments = Annotated[str, typer.Option("--arguments", metavar="JSON", help="The arguments, one JSON object.")]
User = Annotated[str, typer.Option("--user", metavar="USER", help="The user for whom the agent acts.")]
CallFile = Annotated[Path | None, typer.Option("--call", metavar="FILE", help="A file with one JSON object like `call` of a case.")]


@dataclass(frozen=True, slots=True)
class _Told:
    """An explanation with where it comes from. `refused`: what the contract or the gateway said besides policy; empty for nothing."""

    title: str
    explanation: Explanation
    refused: str


def explain(
    number: Number = None,
    *,
    folder: Folder = Path(),
    agent: Agent = "",
    operation: OperationName = "",
    arguments: Arguments = "{}",
    user: User = "",
    call: CallFile = None,
    as_json: AsJson = False,
) -> None:
    """Explain a decision: every policy near the call, each of its conditions, and what would change the answer.

    For a decision of the log by its number, with the policies that were in force then; or for a call that you describe, with the policies of
    this folder. Like a case, a described call happens at noon UTC of 2026-01-01 unless its file says otherwise.

    Example: portreeve policy explain 6

    Example: portreeve policy explain --agent support-bot --operation tickets/get_ticket --arguments '{"ticket_id": "T-1"}'
    """
    described = bool(agent or operation)
    if (number is not None) + described + (call is not None) != 1:
        raise typer.BadParameter("give one of: a decision's number, --agent with --operation, or --call FILE")
    if number is not None:
        told = _logged(folder, number)
    elif call is not None:
        described_call = read_json(call, "call_malformed", "write one JSON object like `call` of a case")[1]
        told = _described(folder, described_call, str(call))
    else:
        told = _described(folder, _spelled(agent, operation, arguments, user), "")
    if as_json:
        print_json(_json(told))
    else:
        _print(told)


def _spelled(agent: str, operation: str, arguments: str, user: str) -> Json:
    tool, slash, name = operation.partition("/")
    if not agent or not slash:
        raise typer.BadParameter("--agent and --operation TOOL/OPERATION go together")
    try:
        value = loads(arguments.encode())
    except (JsonError, UnicodeEncodeError) as error:
        raise typer.BadParameter(f"--arguments: {error}") from error
    return {"agent": agent, "tool": tool, "operation": name, "arguments": value, **({"user": user} if user else {})}


def _described(folder: Path, call: Json, file: str) -> _Told:
    case = case_of(call, file)
    deployment = Deployment.read(folder)
    bundle = deployment.bundle()
    verdict = ask(bundle, case)
    if isinstance(verdict, str):
        raise Problem("call_unknown", verdict, file=file, remedy="see `portreeve policy schema` and identities/agents")
    operation = bundle.plans[f"{case.call['tool']}/{case.call['operation']}"].operation
    violation = deployment.violation(operation, case.call["arguments"])
    refused = f"the contract refuses it before policy is asked: {violation}" if violation else ""
    return _Told("this call", explain_basis(bundle, verdict.basis), refused)


def _logged(folder: Path, number: int) -> _Told:
    decisions = Decisions(folder)
    reader = decisions.reader
    with log_faults(decisions.folder, f"decision {number}"):
        record = reader.find(number)
        if record.kind == "result" and isinstance(record.body.get("call"), int):
            record = reader.find(record.body["call"])
        authz = reader.decision(record)
        if authz is None:
            what = "was refused before policy was asked" if record.kind == "call" else f"is no call but a {record.kind}"
            raise Problem("log_no_decision", f"record {number} {what}", remedy=f"portreeve log show {number}")
        if isinstance(authz, Withheld):
            raise Problem("log_withheld", f"decision {number} cannot be explained: {authz}", remedy=f"portreeve log show {number}")
        try:
            found = explain_record(authz, reader.object)
        except ReplayError as error:
            raise Problem("log_unreadable", f"decision {number}: {error}", remedy="see `portreeve log verify`") from error
    code = record.body.get("code")
    after = f"policy allowed it, and the gateway refused it: {code}" if code and found.judgement.verdict == "allow" else ""
    return _Told(f"decision {record.n}", found, after)


def _print(told: _Told) -> None:
    found = told.explanation
    word, style = _WORDS[found.judgement.verdict]
    agent, operation, _ = (Uid.parse(uid).id for uid in found.who)
    print(f"\n{styled(word, style, sys.stdout)}  {styled(printable(f'{agent} calling {operation}'), 'bold', sys.stdout)}   {told.title}")
    reasons = ", ".join(found.judgement.reasons) or "no permit applies"
    asked = untyped.arguments(found.context)
    with_ = f"arguments: {dumps(asked).decode()}" if asked else ""
    for line in (f"because of: {reasons}" if found.near else "", with_, *found.judgement.errors, found.message, told.refused):
        if line:
            print(f"  {printable(line)}")
    if found.near:
        print()
        print_table(("policy", "effect", "came to", "seen", "where", "condition"), [row for near in found.near for row in _rows(near)])
    for change in found.changes[:CHANGES_SHOWN]:
        print(f"\n{_OUTCOMES[change.to]}{'' if change.is_single else ', all of this'}:")
        for step in change.steps:
            print("\n".join(f"  {printable(line)}" for line in _step_lines(step)))
    if len(found.changes) > CHANGES_SHOWN:
        print(f"\n  and {len(found.changes) - CHANGES_SHOWN} other ways, of more conditions; --json has them all")
    if found.notes:
        print()
    for note in found.notes:
        print(f"  {printable(note)}")


def _rows(near: Near) -> list[tuple[str, ...]]:
    policy = near.policy
    head = (policy.id, f"{policy.effect}{' (shadow)' if policy.shadow else ''}", near.state)
    file = Path(policy.piece.file).name
    rows = [(_outcome(seen), f"{file}:{seen.condition.line}", str(seen.condition)) for seen in near.seen] or [
        ("-", f"{file}:{policy.piece.line}", "no condition")
    ]
    return [(*(head if at == 0 else ("", "", "")), *row) for at, row in enumerate(rows)]


def _outcome(seen: Seen) -> str:
    return f"{seen.outcome}{'' if seen.reached else ' (not reached)'}"


def _step_lines(step: Step) -> list[str]:
    """A step in words: which texts must come out true or false. An `unless` holds where its text is false."""
    if step.want == "not apply":
        many = " one of" if len(step.conditions) > 1 else ""
        head = f"{step.policy} must not apply:{many}"
    else:
        head = f"{step.policy} must apply:{'' if step.is_single else ' all of'}"
    lines = []
    for seen in step.conditions:
        truth = (seen.condition.kind == "when") == (step.want == "apply")
        lines.append(f"  {seen.condition.text}  must be {'true' if truth else 'false'}")
    return [head, *lines]


def _json(told: _Told) -> dict[str, object]:
    found = told.explanation
    return {
        "ok": True,
        "what": told.title,
        **{name: Uid.parse(uid).id for name, uid in zip(("agent", "operation", "tool"), found.who, strict=True)},
        "decision": found.judgement.verdict,
        "reasons": found.judgement.reasons,
        "errors": found.judgement.errors,
        "obligations": found.judgement.obligations,
        "message": found.message,
        "refused": told.refused,
        "arguments": untyped.arguments(found.context),
        "context": found.context,
        "policies": [_near_json(near) for near in found.near],
        "changes": [_change_json(change) for change in found.changes],
        "notes": found.notes,
    }


def _near_json(near: Near) -> dict[str, object]:
    policy = near.policy
    return {
        "id": policy.id,
        "effect": policy.effect,
        "shadow": policy.shadow,
        "state": near.state,
        "file": policy.piece.file,
        "line": policy.piece.line,
        "conditions": [{**_condition_json(s), "outcome": s.outcome, "reached": s.reached, "error": s.error} for s in near.seen],
    }


def _condition_json(seen: Seen) -> dict[str, object]:
    return {"kind": seen.condition.kind, "text": seen.condition.text, "line": seen.condition.line}


def _change_json(change: Change) -> dict[str, object]:
    steps = [{"policy": step.policy, "want": step.want, "conditions": [_condition_json(s) for s in step.conditions]} for step in change.steps]
    return {"to": change.to, "single": change.is_single, "steps": steps}
