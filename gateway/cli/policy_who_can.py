"""`portreeve policy who-can`: which agent may call what, and on what conditions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from gateway.authorize.bundle import Bundle
from gateway.authorize.cases import ask, case_of
from gateway.authorize.listing import Listed, Remaining, outlook
from gateway.call import Deny
from gateway.canonical import Json, JsonError, loads
from gateway.cli.completion import agents
from gateway.cli.output import plural, print_json, print_table, printable
from gateway.cli.policy_completion import operations
from gateway.cli.policy_deployment import AsJson, Deployment, Folder
from gateway.cli.progress import progress
from gateway.errors import Problem

COLUMNS_MAX = 6
"""Agents beside one another; with more, every pair has a row."""

Words = Annotated[str, typer.Argument(metavar="[OPERATION]", autocompletion=operations, help="Only operations that have this in their name.")]
OfAgent = Annotated[str, typer.Option("--agent", metavar="AGENT", autocompletion=agents, help="Only this agent.")]
Arguments = Annotated[str, typer.Option("--arguments", metavar="JSON", help="Decide the call with these arguments, instead of any call.")]


@dataclass(frozen=True, slots=True)
class Cell:
    """What one agent may hope for of one operation. `conditions` say on what it depends."""

    agent: str
    operation: str
    answer: str
    conditions: tuple[Remaining, ...] = ()
    reasons: tuple[str, ...] = ()
    approval: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        return f"hold ({', '.join(self.approval)})" if self.answer == "hold" and self.approval else self.answer


def who_can(operation: Words = "", *, folder: Folder = Path(), agent: OfAgent = "", arguments: Arguments = "", as_json: AsJson = False) -> None:
    """Show for each operation which agents may call it: allow, deny, hold for approval, or if, with the conditions of the policies.

    Without --arguments the answer is about all calls, whatever arguments and token they have: allow and deny are certain, the rest is "if".
    With --arguments it is about one call at noon UTC of 2026-01-01, made directly by the agent, for no user.

    Example: portreeve policy who-can tickets/create_refund --arguments '{"ticket_id": "T-1", "amount": 20, "currency": "EUR", "reason": "late"}'
    """
    deployment = Deployment.read(folder)
    bundle = deployment.bundle()
    actions = sorted(action for action in bundle.plans if operation in action)
    actions = [operation] if operation in actions else actions
    names = [name for name in sorted(bundle.agents) if agent in {"", name}]
    for wanted, found, known in ((operation, actions, bundle.plans), (agent, names, bundle.agents)):
        if not found:
            raise Problem("nothing_to_ask", f"there is no {wanted}", remedy=f"name one of: {', '.join(sorted(known))}")
    given = _object(arguments) if arguments else None
    cells: list[Cell] = []
    with progress("asking policies", len(actions) * len(names)) as show:
        for action in actions:
            for name in names:
                cells.append(_any_call(bundle, name, action) if given is None else _one_call(deployment, bundle, (name, action), given))
                show(len(cells))
    if as_json:
        print_json({"ok": True, "agents": names, "operations": actions, "answers": [_json(cell) for cell in cells]})
    else:
        _print(cells, names, actions)


def _object(text: str) -> dict[str, Json]:
    try:
        value = loads(text.encode())
    except (JsonError, UnicodeEncodeError) as error:
        raise typer.BadParameter(f"--arguments: {error}") from error
    if not isinstance(value, dict):
        raise typer.BadParameter("--arguments takes one JSON object")
    return value


def _any_call(bundle: Bundle, agent: str, action: str) -> Cell:
    found: Listed | None = outlook(bundle, agent, action)
    if found is None:
        return Cell(agent, action, "deny")
    answer = {"allow": "allow", "approval": "hold", "depends": "if"}[found.answer]
    return Cell(agent, action, answer, found.remaining, approval=found.approval)


def _one_call(deployment: Deployment, bundle: Bundle, who: tuple[str, str], arguments: Mapping[str, Json]) -> Cell:
    agent, action = who
    tool, _, name = action.partition("/")
    verdict = ask(bundle, case_of({"agent": agent, "tool": tool, "operation": name, "arguments": dict(arguments)}))
    assert not isinstance(verdict, str)
    refused = deployment.violation(bundle.plans[action].operation, arguments)
    if refused:
        return Cell(agent, action, "refused", reasons=(f"by the contract: {refused}",))
    if isinstance(verdict, Deny):
        return Cell(agent, action, "deny", reasons=verdict.basis.reasons or (verdict.basis.errors or ("no permit applies",)))
    return Cell(agent, action, verdict.basis.verdict, reasons=verdict.basis.reasons, approval=_groups(verdict.basis.obligations))


def _groups(obligations: tuple[tuple[str, str], ...]) -> tuple[str, ...]:
    return tuple(value for name, value in obligations if name == "require_approval")


def _print(cells: list[Cell], names: list[str], actions: list[str]) -> None:
    numbers = {conditions: number for number, conditions in enumerate(dict.fromkeys(cell.conditions for cell in cells if cell.conditions), 1)}
    shown = {(cell.agent, cell.operation): f"{cell.text} [{numbers[cell.conditions]}]" if cell.conditions else cell.text for cell in cells}
    if len(names) <= COLUMNS_MAX:
        print_table(("operation", *names), [(action, *(shown[name, action] for name in names)) for action in actions])
    else:
        rows = [(cell.operation, cell.agent, shown[cell.agent, cell.operation]) for cell in cells if cell.answer != "deny"]
        print_table(("operation", "agent", "answer"), rows)
    for conditions, number in numbers.items():
        print(f"\n[{number}]")
        for one in sorted(conditions, key=lambda one: (one.effect != "permit", one.policy)):
            print(f"    {printable(_line(one))}")
    if any(cell.reasons for cell in cells):
        print()
        print_table(
            ("operation", "agent", "answer", "because of"), [(c.operation, c.agent, c.text, ", ".join(c.reasons)) for c in cells if c.reasons]
        )
    denied = sum(cell.answer == "deny" for cell in cells)
    print(f"\n{plural(len(cells), 'pair')} of agent and operation, {denied} denied")


def _line(one: Remaining) -> str:
    """One policy's conditions as a sentence: what a permit needs, or what a forbid stops."""
    asked = [f"not ({text})" if word == "unless" else text for word, _, text in (condition.partition(" ") for condition in one.conditions)]
    word = "if" if one.effect == "permit" else "never if"
    held = f", after approval by {one.approval}" if one.approval else ""
    says = f": {one.says}" if one.says else ""
    return f"{word} {' and '.join(asked) or 'it is called'}{held}   ({one.policy}{says})"


def _json(cell: Cell) -> dict[str, object]:
    conditions = [
        {"policy": one.policy, "effect": one.effect, "says": one.says, "conditions": one.conditions, "approval": one.approval}
        for one in cell.conditions
    ]
    return {
        "agent": cell.agent,
        "operation": cell.operation,
        "answer": cell.answer,
        "approval": cell.approval,
        "depends_on": conditions,
        "reasons": cell.reasons,
    }
