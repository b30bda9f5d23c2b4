"""Loads a policies folder against the contracts, tools and identities it is about, or says everything that is wrong with it."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from gateway.authorize.annotations import check as check_annotations
from gateway.authorize.annotations import is_expired
from gateway.authorize.compile import compile_policies
from gateway.authorize.drift import with_contracts
from gateway.authorize.engine import ENGINE, Uid
from gateway.authorize.library import SHADOW_ERROR, Library, Seat, ancestors, parents_of
from gateway.authorize.lint import WARNINGS
from gateway.authorize.lint import check as check_meaning
from gateway.authorize.plans import Plan, all_operations, plan
from gateway.authorize.policy import Key, Policy, keys_of
from gateway.authorize.schema import SchemaSource, agent_entities, generate, tool_entities
from gateway.authorize.splitting import Piece, as_text, scan_declared, split
from gateway.call import Blob, Operation
from gateway.canonical import Json, dumps
from gateway.config.model import ToolSettings
from gateway.errors import Problem, Problems
from gateway.identities import Identities

POLICIES_MAX = 20_000
SEATS_MAX = 2_048
HOT_MAX = 512
WARM_S = 5.0
DECLARED = "schema.cedarschema"
CASES = "cases"
DEPLOYMENT = "gateway.toml"


@dataclass(frozen=True, slots=True)
class Place:
    """A seat with what a decision needs besides: the operation's plan, and principal, action, resource and entities as they are recorded."""

    plan: Plan
    names: tuple[str, str, str]
    seat: Seat
    entities: Blob


class Bundle:
    """Policies in force: parsed, validated, tested. Does not change, but for caches of what it has parsed.

    `warnings` are findings that do not stop a load. `projected`: policies are shown the part of the context that they read, validated by the
    schema cut in the same way; the record always holds the whole context, and `recompute` evaluates the whole.
    """

    engine = ENGINE

    def __init__(
        self, policies: Blob, library: Library, plans: Mapping[str, Plan], entities: Mapping[Uid, list[Json]], *, projected: bool = True
    ) -> None:
        self.policies = policies
        self.library = library
        self.schema = library.source.blob
        self.plans = plans
        self.projected = projected
        self.warnings: tuple[Problem, ...] = ()
        self.has_shadow = any(policy.shadow for policy in library.policies)
        self._entities = entities
        self._place = lru_cache(maxsize=SEATS_MAX)(self._make_place)
        self._hot: dict[tuple[str, str], None] = {}

    @property
    def agents(self) -> frozenset[str]:
        return frozenset(uid.id for uid in self._entities if uid.type == "Agent")

    @property
    def digest(self) -> str:
        return self.policies.digest

    @property
    def policy_count(self) -> int:
        return len(self.library.policies)

    @property
    def shadows(self) -> dict[str, str]:
        """The shadow policies by @id, each with what it would turn a decision into; besides them the name for those that could not be evaluated."""
        would = {"permit": "allow", "forbid": "deny"}
        found = {policy.id: would[policy.effect] for policy in self.library.policies if policy.shadow}
        return {**found, SHADOW_ERROR: "error"} if found else {}

    def expired(self, today: dt.date) -> tuple[str, ...]:
        """The policies past their `@expires` day, by @id."""
        return tuple(policy.id for policy in self.library.policies if is_expired(policy, today))

    def seat(self, agent: str, action: str) -> Place | None:
        """Where this agent's calls of this action are decided. None when either is unknown."""
        return self._place(agent, action)

    @property
    def hot(self) -> tuple[tuple[str, str], ...]:
        """Agents and actions for which this bundle has parsed policies, the newest last."""
        return tuple(self._hot)

    def warm(self, pairs: Iterable[tuple[str, str]]) -> None:
        """Parse what decisions for these agents and actions need. Ends early when it takes longer than WARM_S."""
        until = time.monotonic() + WARM_S
        for agent, action in pairs:
            if time.monotonic() > until:
                return
            self.seat(agent, action)

    def near(self, agent: str, action: str) -> tuple[Policy, ...]:
        """The policies whose scope this agent's calls of this action satisfy: what decides them, but for conditions."""
        principal, plan = Uid("Agent", agent), self.plans.get(action)
        if plan is None or principal not in self._entities:
            return ()
        return self.library.near(principal, plan.action, plan.resource, dumps([*self._entities[principal], *self._entities[plan.resource]]))

    def keys(self, uid: Uid) -> tuple[Key, ...]:
        """Every scope that this agent or tool satisfies."""
        return keys_of(uid, ancestors(uid, parents_of(self._entities.get(uid, []))))

    def _make_place(self, agent: str, action: str) -> Place | None:
        principal, plan = Uid("Agent", agent), self.plans.get(action)
        if plan is None or principal not in self._entities:
            return None
        self._hot[agent, action] = None
        if len(self._hot) > HOT_MAX:
            del self._hot[next(iter(self._hot))]
        entities = Blob.of(dumps([*self._entities[principal], *self._entities[plan.resource]]))
        seat = self.library.seat(principal, plan.action, plan.resource, entities.data, projected=self.projected)
        return Place(plan, (str(principal), str(plan.action), str(plan.resource)), seat, entities)


def read_bundle(
    folder: Path,
    operations: Iterable[Operation],
    tools: Iterable[ToolSettings],
    identities: Identities,
    *,
    projected: bool = True,
    today: dt.date | None = None,
) -> Bundle:
    """Read, compile, validate and lint a policies folder. Raises Problems with all findings. `today` turns on the warning of expired policies.

    Sources are all `*.cedar` files below the folder but in `cases/` and in folders that are deployments of their own (they hold a gateway.toml),
    in the order of their names, and `schema.cedarschema`, whose types and
    actions are added to the generated ones. `load_bundle` runs the cases besides.
    """
    tools = list(tools)
    plans, source = describe(folder, operations, tools, identities)
    files = read(folder)
    policies, problems = build(folder, files, source)
    findings = check_meaning(policies, source, plans=plans, tools=tools, identities=identities, today=today)
    problems = [*_explained(problems, policies, findings), *check_annotations(policies), *(p for p in findings if p.code not in WARNINGS)]
    if problems:
        raise Problems(sorted(with_contracts(problems, policies, plans, tools), key=lambda p: (p.file, p.line, p.column)))
    entities: dict[Uid, list[Json]] = {Uid("Agent", a.id): agent_entities(a) for a in identities.agents.values()}
    for tool in tools:
        entities[Uid("Tool", tool.name)] = tool_entities(tool, [p for p in plans.values() if p.operation.tool == tool.name])
    bundle = Bundle(Blob.of(dumps({"files": files})), Library(policies, source), plans, entities, projected=projected)
    bundle.warnings = tuple(p for p in findings if p.code in WARNINGS)
    return bundle


def describe(
    folder: Path, operations: Iterable[Operation], tools: Iterable[ToolSettings], identities: Identities
) -> tuple[dict[str, Plan], SchemaSource]:
    """What policies can be about: the compiled operations, and the schema generated from them and joined with what is declared."""
    plans: dict[str, Plan] = {}
    problems: list[Problem] = []
    tools = list(tools)
    names = {tool.name for tool in tools}
    for operation in all_operations(operations, tools):
        try:
            plans[operation.action] = plan(operation)
        except Problem as problem:
            problems.append(problem)
        if operation.tool not in names:
            problems.append(Problem("operation_without_tool", f"{operation.action} belongs to no tool", remedy="declare the tool in gateway.toml"))
    if problems:
        raise Problems(problems)
    declared = folder / DECLARED
    try:
        text = read_text(declared) if declared.exists() else ""
        scan_declared(str(declared), text)
    except Problem as problem:
        raise Problems([problem]) from problem
    source = SchemaSource(generate(plans.values(), identities), text)
    return plans, source


def read(folder: Path) -> list[list[str]]:
    """The policy files as [name relative to the folder, text], in the order of their names. Raises Problems."""
    if not folder.is_dir():
        raise Problems(
            [Problem("policies_missing", "there is no such folder", file=str(folder), remedy="create it, or correct `policies` in gateway.toml")]
        )
    others = {path.parent.relative_to(folder) for path in folder.rglob(DEPLOYMENT)} - {Path()}
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.cedar"))
    if odd := [name for name in names if not name.as_posix().isprintable()]:  # the bundle and the log hold names as text
        raise Problems([Problem("policy_file_name", "a file's name is no printable text", file=ascii(str(name)), remedy="rename it") for name in odd])
    files: list[list[str]] = []
    problems: list[Problem] = _passed_over(folder)
    for name in names:
        if name.parts[0] != CASES and not any(part.startswith(".") for part in name.parts) and others.isdisjoint(name.parents):
            try:
                files.append([name.as_posix(), read_text(folder / name)])
            except Problem as problem:
                problems.append(problem)
    if problems:
        raise Problems(problems)
    return files


def _passed_over(folder: Path) -> list[Problem]:
    """What looks like a source and is none: a rule in it would silently do nothing."""
    found: list[Problem] = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] == CASES or any(part.startswith(".") for part in name.parts):
            continue
        if path.is_symlink() and path.is_dir():
            found.append(
                Problem("policy_folder_link", "links to folders are not followed", file=ascii(str(path))[1:-1], remedy="copy the folder here")
            )
        elif path.suffix != ".cedar" and path.suffix.lower() == ".cedar":
            found.append(Problem("policy_file_name", "policies end in .cedar, in lower case", file=ascii(str(path))[1:-1], remedy="rename it"))
    return found


def read_text(path: Path) -> str:
    """The text of a policy file, or of the declared schema. Raises Problem."""
    if path.exists() and not (path.is_file() or path.is_dir()):  # a pipe would be waited for
        raise Problem("policy_unreadable", "this is no plain file", file=str(path), remedy="put a plain file here")
    try:
        return as_text(str(path), path.read_bytes())
    except OSError as error:
        raise Problem("policy_unreadable", error.strerror or "cannot be read", file=str(path), remedy="make it readable") from error


def build(root: Path, files: Iterable[Sequence[str]], source: SchemaSource) -> tuple[list[Policy], list[Problem]]:
    """Split, parse and validate: the policies that can be parsed, and what is wrong. Raises Problems when the text cannot even be split."""
    pieces: list[Piece] = []
    problems: list[Problem] = []
    for name, text in files:
        try:
            pieces += split(str(root / name), text)
        except Problem as problem:
            problems.append(problem)
    if len(pieces) > POLICIES_MAX:
        problems.append(
            Problem("too_many_policies", f"more than {POLICIES_MAX} policies", remedy="use groups and sets instead of one policy per name")
        )
    if problems:
        raise Problems(problems)
    trees, problems = compile_policies(pieces, source, declared_in=str(root / DECLARED))
    return [Policy.of(piece, tree) for piece, tree in zip(pieces, trees, strict=True) if tree is not None], problems


def _explained(problems: Iterable[Problem], policies: Iterable[Policy], findings: Iterable[Problem]) -> list[Problem]:
    """Without what the compiler says of a misspelt name ("never applies", "does not exist") where the name is a finding of its own, with a hint."""
    misspelt: dict[str, set[str]] = {}
    for finding in findings:
        if finding.code == "unknown_argument":
            misspelt.setdefault(finding.key, set()).add(_subject(finding))
    pieces = [(policy.piece, misspelt[policy.id]) for policy in policies if policy.id in misspelt]

    def told(problem: Problem) -> bool:
        return any(piece.holds(problem) and (problem.code == "policy_never_applies" or _subject(problem) in names) for piece, names in pieces)

    return [problem for problem in problems if not told(problem)]


def _subject(problem: Problem) -> str:
    """The argument that does not exist, of a message that says so."""
    name, says, _ = problem.message.partition(" does not exist")
    return name if says else ""
