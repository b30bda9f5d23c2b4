"""Which values of a recorded decision the log may not hold in clear, by the rules of contract and policy. Pure: `seals.py` does what this says.

An argument stands in more than one place of a record: in the typed `input`, as text in `raw`, in the `facts` derived from it, in the path of the
request, and perhaps in the text of an evaluation that failed over it. A rule for the argument is a rule for all of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

from gateway.canonical import Json
from gateway.logmode import REDACT, LogMode, LogRule, parts_of, rules_of, strictest

Place = tuple[str, ...]
"""Member names and item numbers from the top of `authz`."""

RULES_CACHED_MAX = 4_096
_NAMED = re.compile(r"\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one call. `default` is for arguments that none speaks of; a rule `plain` for an argument lifts it."""

    default: LogMode
    by_argument: Mapping[str, tuple[tuple[Place, LogMode], ...]]

    def whole(self, argument: str) -> LogMode:
        """The mode of an argument as a whole, which is at least as strict as that of any part of it."""
        stated = [mode for below, mode in self.by_argument.get(argument, ()) if not below]
        mode = strictest(stated) if stated else self.default
        return mode if mode == "plain" else strictest((mode, self.any(argument)))

    def any(self, argument: str) -> LogMode:
        """The strictest mode of the argument or any part of it, for what cannot be taken apart."""
        known = self.by_argument.get(argument)
        return strictest(mode for _, mode in known) if known else self.default

    def parts(self, argument: str) -> Iterator[tuple[Place, LogMode]]:
        for below, mode in self.by_argument.get(argument, ()):
            if below and mode != "plain":
                yield below, mode


def rules_for(contract: tuple[LogRule, ...], obligations: Iterable[tuple[str, str]], default: LogMode) -> Rules | None:
    """What holds for a call of this operation whose deciding policies demand this. None: everything may stand in clear."""
    demands = tuple(value for name, value in obligations if name == REDACT)
    return _rules(contract, demands, default) if contract or demands or default != "plain" else None


@lru_cache(maxsize=RULES_CACHED_MAX)
def _rules(contract: tuple[LogRule, ...], demands: tuple[str, ...], default: LogMode) -> Rules:
    found: dict[str, list[tuple[Place, LogMode]]] = {}
    for pointer, mode in (*contract, *(rule for text in demands for rule in rules_of(text))):
        argument, *below = parts_of(pointer)
        found.setdefault(argument, []).append((tuple(below), mode))
    return Rules(default, {argument: tuple(rules) for argument, rules in found.items()})


def path_mode(rules: Rules, template: str) -> LogMode:
    """How the path of a request may be held: as the strictest of the arguments in it. Without a template, nobody knows what is in it."""
    return strictest(map(rules.any, _NAMED.findall(template))) if template else rules.default


def shown_path(path: str, template: str, rules: Rules) -> str:
    """A path with the names of redacted arguments in place of their values."""
    if path_mode(rules, template) == "plain":
        return path
    parts, names = path.split("/"), template.split("/")
    if len(parts) != len(names):
        return template or "/{path}"
    hidden = [(found := _NAMED.fullmatch(name)) is not None and rules.any(found[1]) != "plain" for name in names]
    return "/".join(name if hide else part for part, name, hide in zip(parts, names, hidden, strict=True))


def places(context: Mapping[str, Json], errors: int, rules: Rules, template: str) -> dict[Place, LogMode]:
    """Every place of a decision that may not stand in clear, none below another. `context` is the typed one; `errors` is the number of its errors."""
    found: dict[Place, LogMode] = {}
    groups = {name: context[name] for name in ("input", "raw", "facts") if isinstance(context.get(name), dict)}
    for name, group in groups.items():
        for member, value in group.items():
            # A fact about a part of an argument has the pointer to it for a name.
            argument = parts_of(member)[0] if name == "facts" and member.startswith("/") and member not in groups["input"] else member
            found |= _of_argument(("ctx", name, member), value, argument, rules)
    request = path_mode(rules, template)
    if request != "plain" and "request" in context:
        found["ctx", "request", "path"] = request
    # The engine's errors quote operands ("integer overflow while adding ..."); those of the gateway's own stops quote nothing.
    if found and groups:
        worst = strictest(found.values())
        found |= {("errors", str(number)): worst for number in range(errors)}
    return found


def _of_argument(place: Place, value: Json, argument: str, rules: Rules) -> dict[Place, LogMode]:
    """One argument in one group. Only the typed input can be shown in part; text and facts are one with what they were made from."""
    mode = rules.whole(argument) if place[1] == "input" else rules.any(argument)
    if mode != "plain":
        return {place: mode}
    found: dict[Place, LogMode] = {}
    for below, stated in rules.parts(argument):
        for at in _reach(value, below):
            found[(*place, *at)] = strictest((stated, found.get((*place, *at), "plain")))
    return _outermost(found)


def _reach(value: Json, below: Place) -> Iterator[Place]:
    """The places that a pointer means in a value. Where the value is no such structure, all of it is meant; what is absent is nowhere."""
    if not below:
        yield ()
    elif isinstance(value, list) and below[0] == "-":
        for number, item in enumerate(value):
            yield from ((str(number), *rest) for rest in _reach(item, below[1:]))
    elif isinstance(value, dict) and "__extn" not in value:
        if below[0] in value:
            yield from ((below[0], *rest) for rest in _reach(value[below[0]], below[1:]))
    else:
        yield ()


def _outermost(found: Mapping[Place, LogMode]) -> dict[Place, LogMode]:
    """Without places below others, whose mode is then at least theirs."""
    kept: dict[Place, LogMode] = {}
    for place in sorted(found, key=len):
        above = next((place[:n] for n in range(len(place)) if place[:n] in kept), None)
        kept[above or place] = strictest((found[place], kept.get(above or place, "plain")))
    return kept
