"""The Cedar engine: the only file that knows cedarpy.

Handles are parsed once and reused. Calls go to the extension module itself: the package's wrapper parses and copies around it, which costs
half of a small decision (measured: 120 instead of 80 us). `tests/authorize/test_engine.py` holds the two to the same answers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Literal

from cedarpy import PolicySet, Schema
from cedarpy import _internal as native

from gateway.canonical import Json, JsonError, dumps, loads_trusted

ENGINE = f"cedarpy/{version('cedarpy')}"

SMALL = 100
"""Policies (or kB of schema) up to which the interpreter's lock is kept while parsing: taking it back can cost more than the parse."""

_POLICY = re.compile(r"`policy(\d+)`")


class EngineError(ValueError):
    """The engine refused a policy, a schema or an entity. The text is the engine's own."""


class TooDeepError(EngineError):
    """The policy's tree nests deeper than JSON is read or written here: each `&&`, `||` or `+` of a chain is a level of it."""

    def __init__(self) -> None:
        super().__init__("too many operators in one chain of && or ||, or of sums")


@dataclass(frozen=True, slots=True)
class Uid:
    """A Cedar entity id. Its text form is `Type::"id"`, the id as a JSON string: any character survives."""

    type: str
    id: str

    def __str__(self) -> str:
        return f"{self.type}::{dumps(self.id).decode()}"

    @classmethod
    def parse(cls, text: str) -> Uid:
        """Read the text form back. Raises ValueError."""
        kind, _, name = text.partition('::"')
        return cls(kind, str(loads_trusted(b'"' + name.encode())))

    @property
    def json(self) -> dict[str, str]:
        return {"type": self.type, "id": self.id}


@dataclass(frozen=True, slots=True)
class Evaluation:
    """One answer of the engine. `none`: it could not decide. `reasons` and `errors` are sorted; errors name policies by `@id`."""

    decision: Literal["allow", "deny", "none"]
    reasons: tuple[str, ...]
    errors: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Partial:
    """What is certain when a part of the context is not known. `open` are the policies that the rest decides, by `@id` and sorted.

    NEVER a decision: it says what a caller may hope for. `decision` is "open" where the rest decides, and where the engine gave no answer.
    """

    decision: Literal["allow", "deny", "open"]
    reasons: tuple[str, ...]
    open: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """Parsed policies with their names: the engine numbers policies by position, and `names` turns that back."""

    handle: Any
    names: tuple[str, ...]

    @classmethod
    def of(cls, texts: Sequence[str], names: Sequence[str]) -> Rules:
        try:
            handle = PolicySet.from_str("\n".join(texts), release_gil=len(texts) > SMALL)
        except ValueError as error:
            raise EngineError(str(error)) from error
        if len(handle) != len(names):
            raise EngineError(f"{len(names)} policies became {len(handle)}")
        return cls(handle, tuple(names))


def parse_schema(text: str, *, declared: str = "") -> Any:
    """A handle on a JSON schema; `declared` is Cedar schema text to join with it. Raises EngineError."""
    try:
        big = len(text) > SMALL * 1_000
        schema = Schema.from_json_str(text, release_gil=big)
        return Schema.from_str(f"{schema}\n{declared}", release_gil=big) if declared.strip() else schema
    except ValueError as error:
        raise EngineError(str(error)) from error


def parse_entities(data: bytes, schema: Any) -> Any:
    """A handle on entities. MUST be built with the schema: without one it has no action groups, and `action in` never matches."""
    try:
        return native.Entities.from_json_str(data.decode(), schema)
    except ValueError as error:
        raise EngineError(str(error)) from error


def policy_json(text: str) -> Mapping[str, Json]:
    """The one policy in `text` as JSON (Cedar's EST). Raises EngineError for a fault, a template, or anything but one policy; TooDeepError for one too deep."""
    try:
        written = native.policies_to_json_str(text)
    except ValueError as error:
        raise EngineError(str(error)) from error
    try:
        found = loads_trusted(written.encode())
    except JsonError as error:
        raise TooDeepError from error
    if found["templates"]:
        raise EngineError("templates (?principal, ?resource) are not supported")
    policies = list(found["staticPolicies"].values())
    if len(policies) != 1:
        raise EngineError("one policy was expected here")
    return dict(policies[0])


def format_text(text: str, width: int, indent: int) -> str:
    """Policies as Cedar's own formatter lays them out. Raises EngineError."""
    try:
        return str(native.format_policies(text, width, indent))
    except ValueError as error:
        raise EngineError(str(error)) from error


def validate(texts: Sequence[str], schema: Any) -> list[tuple[int, str]]:
    """Strict validation: (position of the policy, message) for each finding."""
    found = loads_trusted(native.validate_policies("\n".join(texts), schema, release_gil=True).encode())
    if found["validation_passed"]:
        return []
    findings = []
    for error in found["errors"]:
        name = error.get("policy_id", "")
        position = int(name[6:]) if name.startswith("policy") and name[6:].isdigit() else -1
        findings.append((position, re.sub(r"^for policy `policy\d+`, ", "", error["error"])))
    return findings


def evaluate(request: Mapping[str, Any], context: str, rules: Rules, entities: Any, schema: Any) -> Evaluation:
    """Ask the engine. `request` holds principal, action and resource as dicts; `context` is JSON text; with a schema the request is validated."""
    raw = native.is_authorized({**request, "context": context}, rules.handle, entities, schema, False)
    found = loads_trusted(raw.encode())
    diagnostics = found["diagnostics"]
    decision = found["decision"]
    if decision == "NoDecision":
        # The rest of the text quotes the context, in an order that changes.
        return Evaluation("none", (), tuple(sorted({e.split(":")[0] for e in diagnostics["errors"]})) or ("no decision",))
    names = rules.names
    errors = diagnostics["errors"]
    return Evaluation(
        "allow" if decision == "Allow" else "deny",
        tuple(sorted([names[int(p[6:])] for p in diagnostics["reason"]])),
        tuple(sorted([_POLICY.sub(lambda m: f"`{names[int(m[1])]}`", e, count=1) for e in errors])) if errors else (),
    )


def evaluate_partly(request: Mapping[str, Any], known: Mapping[str, Json], unknown: Iterable[str], rules: Rules, entities: Any) -> Partial:
    """Ask with some members of the context unknown. For listings only: the engine calls it experimental, and no schema checks the context.

    `known` MUST hold nothing but text, booleans, integers, lists and entities: without a schema nothing else keeps its type.
    """
    context = {**known, **{name: {"__extn": {"fn": "unknown", "arg": name}} for name in unknown}}
    asked: dict[str, str | None] = {name: str(Uid(**uid)) for name, uid in request.items()}
    asked["context"] = dumps(context).decode()
    found = loads_trusted(native.is_authorized_partial(asked, rules.handle, entities, None, False).encode())
    diagnostics = found["diagnostics"]
    names = {f"policy{position}": name for position, name in enumerate(rules.names)}
    if found["decision"] == "NoDecision":
        return Partial("open", (), tuple(sorted(rules.names)))
    allows = "open" if diagnostics["errors"] else "allow"  # a policy that fails makes a decision an error, whatever the others say
    decision = {"Allow": allows, "Deny": "deny"}.get(found["decision"], "open")
    reasons, unsure = (tuple(sorted(names[p] for p in diagnostics[key])) for key in ("reason", "nontrivial_residuals"))
    return Partial(decision, reasons, unsure)  # type: ignore[arg-type]
