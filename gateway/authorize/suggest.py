"""Writes the least permits that cover what agents were seen to do: one operation each, its arguments bounded by what they were."""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from gateway.authorize.bounds import Values, argument_bounds, fact_bounds, member, present, quoted
from gateway.authorize.plans import Plan
from gateway.canonical import Json
from gateway.logmode import parts_of

_NOT_IN_ID = re.compile(r"[^a-z0-9._-]+")


@dataclass(slots=True)
class Usage:
    """The allowed calls of one operation by one agent. Times in microseconds; `newest` is a decision number."""

    calls: int = 0
    first: int = 0
    last: int = 0
    newest: int = 0
    values: dict[tuple[str, ...], Values] = field(default_factory=lambda: defaultdict(Values))

    def add(self, context: Mapping[str, Json], *, n: int, t: int, hidden: Collection[str] = ()) -> None:
        """Take a call in. `hidden` are pointers to what the log hides of the decision: of those arguments nothing will be told."""
        secret = {_argument(parts[2]) for pointer in hidden if (parts := parts_of(pointer))[0] == "ctx"}
        self.calls += 1
        self.first = self.first or t
        self.last, self.newest = t, n
        for part in ("input", "raw"):
            for name, value in context.get(part, {}).items():
                self._take((part, name), value, secret)
        for name, fact in context.get("facts", {}).items():
            for kind, value in fact.items():
                self._take(("facts", name, kind), value, secret)

    def _take(self, path: tuple[str, ...], value: Json, secret: Collection[str]) -> None:
        if _argument(path[1]) in secret:
            self.values[path].hide()
        else:
            self.values[path].add(value)


def _argument(name: str) -> str:
    """The argument that a member of the context is about: a fact about a part of one is named by a pointer."""
    return parts_of(name)[0] if name.startswith("/") else name


@dataclass(frozen=True, slots=True)
class _Use:
    action: str
    usage: Usage
    unbounded: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Suggestion:
    """One permit. `unbounded` are arguments on which it says nothing, because what was seen does not show a bound."""

    id: str
    agent: str
    owner: str
    tool: str
    actions: tuple[str, ...]
    conditions: tuple[str, ...]
    unbounded: tuple[str, ...]
    calls: int
    first: int
    last: int
    newest: int

    @property
    def text(self) -> str:
        """The policy with a comment on what it rests on."""
        days = " to ".join(dict.fromkeys((_day(self.first), _day(self.last))))
        comment = [f"// {_allowed(self.calls)}, {days}; the newest is decision {self.newest}."]
        comment += [f"// Not bounded by what was seen: {', '.join(self.unbounded)}."] if self.unbounded else []
        actions = [f"Action::{quoted(action)}" for action in self.actions]
        scope = f"action == {actions[0]}" if len(actions) == 1 else f"action in [\n        {f',{chr(10)}        '.join(actions)}\n    ]"
        head = [
            f"@id({quoted(self.id)})",
            f"@owner({quoted(self.owner)})",
            f"@description({quoted(f'Suggested from {_allowed(self.calls)} of {days}')})",
            "permit (",
            f"    principal == Agent::{quoted(self.agent)},",
            f"    {scope},",
            f"    resource == Tool::{quoted(self.tool)}",
        ]
        when = [")", "when {", " &&\n".join(f"    {condition}" for condition in self.conditions), "};"] if self.conditions else [");"]
        return "\n".join([*comment, *head, *when])


def suggest(
    observed: Mapping[tuple[str, str], Usage], plans: Mapping[str, Plan], owners: Mapping[str, str], taken: Iterable[str]
) -> list[Suggestion]:
    """A permit for each (agent, action) observed; those of one agent and tool that need no condition become one.

    `owners` are the owners of the registered agents: others get no suggestion. `taken` are the ids that exist.
    """
    ids = set(taken)
    found: list[Suggestion] = []
    free: dict[tuple[str, str], list[_Use]] = defaultdict(list)
    for (agent, action), usage in sorted(observed.items()):
        plan = plans.get(action)
        if plan is None or agent not in owners:
            continue
        conditions, unbounded = _conditions(plan, usage)
        if conditions:
            name = _id(f"{agent}-{plan.operation.tool}-{plan.operation.name}", ids)
            found.append(_suggestion(name, (agent, owners[agent], plan.operation.tool), [_Use(action, usage, unbounded)], conditions))
        else:
            free[agent, plan.operation.tool].append(_Use(action, usage, unbounded))
    for (agent, tool), uses in free.items():
        found.append(_suggestion(_id(f"{agent}-{tool}", ids), (agent, owners[agent], tool), uses, ()))
    return sorted(found, key=lambda suggestion: (suggestion.agent, suggestion.tool, suggestion.actions))


def _suggestion(name: str, whose: tuple[str, str, str], uses: list[_Use], conditions: tuple[str, ...]) -> Suggestion:
    agent, owner, tool = whose
    return Suggestion(
        id=name,
        agent=agent,
        owner=owner,
        tool=tool,
        actions=tuple(use.action for use in uses),
        conditions=conditions,
        unbounded=tuple(dict.fromkeys(argument for use in uses for argument in use.unbounded)),
        calls=sum(use.usage.calls for use in uses),
        first=min(use.usage.first for use in uses),
        last=max(use.usage.last for use in uses),
        newest=max(use.usage.newest for use in uses),
    )


def _conditions(plan: Plan, usage: Usage) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What bounds the arguments, and the arguments that nothing bounds."""
    conditions: list[str] = []
    unbounded: list[str] = []
    attributes = plan.context["attributes"]
    facts = attributes["facts"]["attributes"]
    typed = attributes["input"]["attributes"]
    for name, kind in typed.items():
        values = usage.values["input", name]
        share = _share(values, usage)
        if name in facts and (bounds := _fact(name, usage)):
            conditions += _guarded("context.facts", name, facts[name], bounds, share)
            continue
        bounds = argument_bounds(member("context.input", name), kind, values)
        conditions += _guarded("context.input", name, kind, bounds, share)
        if values.seen and not bounds:
            unbounded.append(name)
    for name, kind in attributes.get("raw", {"attributes": {}})["attributes"].items():
        values = usage.values["raw", name]
        conditions += _guarded("context.raw", name, kind, [], _share(values, usage))
        if values.seen and name not in typed:
            unbounded.append(name)
    return tuple(conditions), tuple(unbounded)


def _share(values: Values, usage: Usage) -> Literal["never", "sometimes", "always"]:
    return "never" if not values.seen else "always" if values.seen == usage.calls else "sometimes"


def _fact(name: str, usage: Usage) -> list[str]:
    members = {path[2]: values for path, values in usage.values.items() if path[:2] == ("facts", name)}
    return fact_bounds(member("context.facts", name), members) if members else []


def _guarded(expression: str, name: str, kind: Mapping[str, Json], bounds: list[str], share: str) -> list[str]:
    """The bounds of an argument that may be absent: not given where it never was, asked for first where it was."""
    has = present(expression, name)
    if kind.get("required", True):
        return bounds
    if share == "never":
        return [f"!({has})"]
    if not bounds:
        return []
    return [has, *bounds] if share == "always" else [f"(!({has}) || ({' && '.join(bounds)}))"]


def _id(text: str, taken: set[str]) -> str:
    """A free @id near the text."""
    stem = f"least-{_NOT_IN_ID.sub('-', text.lower())}"[:90].rstrip("-")
    name, number = stem, 1
    while name in taken:
        number += 1
        name = f"{stem}-{number}"
    taken.add(name)
    return name


def _day(t: int) -> str:
    return dt.datetime.fromtimestamp(t / 1_000_000, dt.UTC).strftime("%Y-%m-%d")


def _allowed(calls: int) -> str:
    return f"{calls:,} allowed call{'' if calls == 1 else 's'}"
