"""Finds policies that are valid and yet cannot mean what their author meant: names that exist nowhere, scopes too wide, letters that look alike."""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import pairwise

from gateway.authorize.annotations import annotation_offset, is_expired
from gateway.authorize.engine import Uid
from gateway.authorize.pinpoint_syntax import effect_of
from gateway.authorize.plans import Plan
from gateway.authorize.policy import Key, Path, Policy, keys_of
from gateway.authorize.schema import SchemaSource
from gateway.authorize.spelling import closest
from gateway.authorize.syntax import tokens
from gateway.canonical import Json
from gateway.config.model import ToolSettings
from gateway.errors import Problem
from gateway.identities import Identities
from gateway.logmode import REDACT, parts_of, rules_of

WARNINGS = frozenset({"permit_without_scope", "unknown_agent", "unknown_agent_group", "policy_expired", "mixed_scripts"})
"""Findings that do not stop a load. An agent or group that no longer exists is one: removing an agent must never be what blocks a reload."""

SCOPES_MAX = 4_096

_SCRIPTS = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "FULLWIDTH"})
_TWINS = frozenset(
    "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456\u0458\u0455\u04bb\u0501\u051b\u051d"  # Cyrillic a e o p c y x i j s h d q w
    "\u0410\u0412\u0415\u041a\u041c\u041d\u041e\u0420\u0421\u0422\u0423\u0425\u0406\u0408\u0405"  # and A B E K M H O P C T Y X I J S
    "\u03bf\u03bd\u03b1\u03c1\u0391\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7"  # Greek
)
"""Letters of other alphabets that look like Latin ones."""
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_WORD = re.compile(r"\w+")


def check(
    policies: Iterable[Policy],
    source: SchemaSource,
    *,
    plans: Mapping[str, Plan],
    tools: Sequence[ToolSettings],
    identities: Identities,
    today: dt.date | None,
) -> list[Problem]:
    """All findings, errors and warnings; `WARNINGS` says which is which."""
    known = {
        "Tool": {tool.name for tool in tools},
        "ToolGroup": {group for tool in tools for group in tool.groups},
        "Agent": set(identities.agents),
        "AgentGroup": {group for agent in identities.agents.values() for group in agent.groups},
    }
    found: list[Problem] = []
    about = _Subjects(plans, source)
    for policy in policies:
        found += _arguments(policy, about)
        found += _redactions(policy, about)
        found += _names(policy, known)
        found += _scripts(policy)
        found += _scope(policy, plans, tools)
        if policy.effect == "permit" and policy.actions == (None,) and policy.resource is None:
            message = "this permit is for every action on every tool"
            offset = effect_of(tokens(policy.piece.text))
            found.append(_problem(policy, "permit_without_scope", message, offset, "name an action or a resource in its scope"))
        if today and is_expired(policy, today):
            message = f"@expires({policy.annotations['expires']}) has passed, and the policy still applies"
            found.append(_problem(policy, "policy_expired", message, annotation_offset(policy, "expires"), "renew it or remove it"))
    return found


class _Subjects:
    """What the policies of one scope of actions are about: looked up once for all of them, since thousands may share it."""

    def __init__(self, plans: Mapping[str, Plan], source: SchemaSource) -> None:
        self.common: Mapping[str, Json] = source.generated[""]["commonTypes"]
        self._source = source
        self._by_key: dict[Key, list[Plan]] = {}
        for plan in plans.values():
            for key in keys_of(plan.action, plan.groups):
                self._by_key.setdefault(key, []).append(plan)
        self.plans = lru_cache(maxsize=SCOPES_MAX)(self._plans)
        self.contexts = lru_cache(maxsize=SCOPES_MAX)(self._contexts)

    def _plans(self, actions: tuple[Key, ...]) -> tuple[Plan, ...]:
        """The operations that such a scope can be about."""
        found = {plan.action: plan for key in actions for plan in self._by_key.get(key, ())}
        return tuple(found.values())

    def _contexts(self, actions: tuple[Key, ...]) -> tuple[Mapping[str, Json], ...]:
        return tuple(self._source.context(plan.action) for plan in self.plans(actions))


def _scope(policy: Policy, plans: Mapping[str, Plan], tools: Sequence[ToolSettings]) -> list[Problem]:
    """Operations of one tool on another tool: the validator takes every tool for every operation."""
    named = [plans[key[2]] for key in policy.actions if key and key[1] == "Action" and key[2] in plans]
    if policy.resource is None or len(named) < len(policy.actions):
        return []
    groups = {tool.name: tuple(Uid("ToolGroup", group) for group in tool.groups) for tool in tools}
    if any(policy.resource in keys_of(plan.resource, groups.get(plan.resource.id, ())) for plan in named):
        return []
    message = f"{policy.resource[2] or policy.resource[1]} has no such operation, so this policy can never apply"
    remedy = f"the operations of this scope are those of {', '.join(sorted({plan.resource.id for plan in named}))}"
    return [_problem(policy, "policy_never_applies", message, _name_offset(policy, policy.resource[2]), remedy)]


def _arguments(policy: Policy, about: _Subjects) -> list[Problem]:
    """Reads of the context that no action of the scope has: `has` of a misspelt name is valid Cedar and silently false."""
    contexts, common = about.contexts(policy.actions), about.common
    found = []
    missing: set[Path] = set()
    for path in sorted(policy.paths):
        if not path or not contexts or any(_has(context, path, common) for context in contexts):
            continue
        if any(path[:n] in missing for n in range(1, len(path))):
            continue
        missing.add(path)
        name = ".".join(("context", *path))
        siblings = sorted({sibling for context in contexts for sibling in _members(context, path[:-1], common)})
        remedy = closest(path[-1], siblings) or f"there is {', '.join(siblings[:12]) or 'nothing'}"
        message = f"{name} does not exist for any action of this policy"
        found.append(_problem(policy, "unknown_argument", message, _read_offset(policy, path[-1]), remedy))
    return found


def _redactions(policy: Policy, about: _Subjects) -> list[Problem]:
    """Pointers of `@redact` to what no operation of the scope takes: a misspelt one would hide nothing and look as if it did."""
    if REDACT not in policy.annotations:
        return []
    try:
        rules = rules_of(policy.annotations[REDACT])
    except ValueError:
        return []  # said already, as a malformed annotation
    known = {name for plan in about.plans(policy.actions) for name in _taken(plan)}
    found = []
    for pointer, _ in rules:
        name = parts_of(pointer)[0]
        if name not in known:
            remedy = closest(name, sorted(known)) or f"there is {', '.join(sorted(known)[:12]) or 'nothing'}"
            offset = max(0, policy.piece.text.find(f"@{REDACT}"))
            found.append(_problem(policy, "unknown_argument", f"@{REDACT}: no operation of this policy takes {name[:64]!r}", offset, remedy))
    return found


def _taken(plan: Plan) -> Iterable[str]:
    schema = plan.operation.input_schema
    return schema.get("properties", {}) if schema else ()


def _members(context: Mapping[str, Json], path: Path, common: Mapping[str, Json]) -> Mapping[str, Json]:
    kind = context
    for name in path:
        kind = kind.get("attributes", {}).get(name, {})
        kind = common.get(kind.get("type"), kind)
    found: Mapping[str, Json] = kind.get("attributes", {})
    return found


def _has(context: Mapping[str, Json], path: Path, common: Mapping[str, Json]) -> bool:
    """Whether the path can exist. Below anything but a record the validator knows best (an entity has attributes of its own)."""
    kind = context
    for name in path:
        if kind.get("type") != "Record":
            return True
        if name not in kind["attributes"]:
            return False
        kind = kind["attributes"][name]
        kind = common.get(kind["type"], kind)
    return True


def _names(policy: Policy, known: Mapping[str, set[str]]) -> list[Problem]:
    found = []
    for uid in sorted(policy.names, key=str):
        if uid.type in known and uid.id not in known[uid.type]:
            code = {"Tool": "unknown_tool", "ToolGroup": "unknown_tool_group", "Agent": "unknown_agent", "AgentGroup": "unknown_agent_group"}[
                uid.type
            ]
            where = "gateway.toml" if uid.type.startswith("Tool") else "identities/"
            remedy = closest(uid.id, sorted(known[uid.type])) or f"add it to {where}, or correct the name"
            message = f"{uid} does not exist, so nothing matches it"
            found.append(_problem(policy, code, message, _name_offset(policy, uid.id), remedy))
    return found


def _scripts(policy: Policy) -> list[Problem]:
    """A word of Latin letters and look-alikes: "admin" with a Cyrillic first letter is another name, and no reviewer sees it."""
    for text in _STRING.finditer(policy.piece.text):
        for word in _WORD.finditer(text[0]):
            letters = [letter for letter in word[0] if letter.isalpha()]
            scripts = {unicodedata.name(letter, "?").split()[0] for letter in letters} & _SCRIPTS
            twins = bool(letters) and not scripts & {"LATIN"} and all(letter in _TWINS for letter in letters)
            if len(scripts) > 1 or twins:
                does = "looks like Latin letters and is not" if twins else "mixes letters of different alphabets"
                message = f"{word[0]!a} {does}"
                return [_problem(policy, "mixed_scripts", message, text.start() + word.start(), "write it in one alphabet")]
    return []


def _read_offset(policy: Policy, name: str) -> int:
    """Where the conditions first read a member of this name: behind a point, a `has` or a bracket."""
    words = tokens(policy.piece.text)
    reads = (word for before, word in pairwise(words) if before.text in {".", "has", "["} and word.text in {name, f'"{name}"'})
    return next((word.start for word in reads), effect_of(words))


def _name_offset(policy: Policy, name: str) -> int:
    """Where an entity of this name stands, in scope or conditions."""
    words = tokens(policy.piece.text)
    names = (word for before, word in pairwise(words) if before.text == "::" and word.text == f'"{name}"')
    return next((word.start for word in names), effect_of(words))


def _problem(policy: Policy, code: str, message: str, offset: int, remedy: str) -> Problem:
    return policy.piece.problem(code, message, offset, key=policy.id, remedy=remedy)
