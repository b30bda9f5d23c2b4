"""Holds the evaluator and the slicer to Cedar's own integration tests: JSON cases with policies, entities, a schema, requests and answers.

The format is that of the repository cedar-policy/cedar-integration-tests. Every request is asked twice, of all policies and of the slice for
it; both MUST give the answer that the case expects.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gateway.authorize.engine import EngineError, Evaluation, Rules, Uid, evaluate, parse_entities, parse_schema, policy_json, validate
from gateway.authorize.library import ancestors
from gateway.authorize.policy import Key, Policy, keys_of
from gateway.authorize.slices import Index
from gateway.authorize.splitting import split
from gateway.canonical import Json, JsonError, dumps, loads_trusted
from gateway.errors import Problem

_NAME = re.compile(r"`(policy\d+)`")
_NOTHING = Evaluation("deny", (), ())
_FORMAT = "take the cases from cedar-policy/cedar-integration-tests as they are"

MakeIndex = Callable[[Sequence[Policy]], Index]


@dataclass(frozen=True, slots=True)
class Case:
    """One file of requests with what they are asked against. Policies are named by position: policy0, policy1."""

    file: str
    policies: tuple[Policy, ...]
    entities: bytes
    schema: Any
    should_validate: bool | None
    requests: tuple[Mapping[str, Json], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a case: how much was compared, and each disagreement as a sentence. None: everything agrees.

    `cut` counts the requests whose slice left policies out.
    """

    file: str
    requests: int
    cut: int
    validations: int
    disagreements: tuple[str, ...]


def case_files(folder: Path) -> list[Path]:
    """The JSON files below the folder that may be cases, in order; or the one file that it is."""
    return [folder] if folder.is_file() else sorted(path for path in folder.rglob("*.json") if not path.name.endswith("entities.json"))


def read_case(path: Path, folder: Path) -> Case | None:
    """Read one case; None for JSON that is something else. Its paths are relative to `folder` or a folder above it. Raises Problem."""
    found = _json(path)
    if not isinstance(found, dict) or not {"policies", "entities", "schema", "requests"} <= found.keys():
        return None
    requests = found["requests"]
    if not isinstance(requests, list) or not all(_is_request(request) for request in requests):
        raise _problem(path, "a request without principal, action, resource, context or decision")
    texts = {name: _beside(path, folder, found[name]) for name in ("policies", "entities", "schema")}
    try:
        pieces = split(str(path), texts["policies"])
        policies = tuple(
            replace(Policy.of(piece, policy_json(piece.text)), id=f"policy{number}", annotations={}) for number, piece in enumerate(pieces)
        )
        schema = parse_schema("{}", declared=texts["schema"])
    except EngineError as error:
        raise _problem(path, f"cannot be read: {error}") from error
    return Case(str(path), policies, texts["entities"].encode(), schema, found.get("shouldValidate"), tuple(requests))


def run_case(case: Case, *, make_index: MakeIndex = Index) -> Outcome:
    """Validate and ask everything that the case holds."""
    wrong: list[str] = []
    cut = 0
    try:
        asked = _Asked(case, make_index)
        for number, request in enumerate(case.requests):
            wrong += [f"request {number}: {fault}" for fault in asked.compare(request)]
        cut = asked.cut
    except (EngineError, JsonError) as error:
        wrong.append(f"the engine refused it: {error}")
    if case.should_validate is not None:
        valid = not validate([policy.piece.text for policy in case.policies], case.schema)
        if valid != case.should_validate:
            wrong.append(f"validation: expected {_passes(case.should_validate)}, it {_passes(valid)}")
    return Outcome(case.file, len(case.requests), cut, int(case.should_validate is not None), tuple(wrong))


class _Asked:
    """A case ready to be asked: what is parsed once for all its requests."""

    def __init__(self, case: Case, make_index: MakeIndex) -> None:
        self.case = case
        self.index = make_index(case.policies)
        self.whole = Index(case.policies).whole().enforced
        self.entities = parse_entities(case.entities, case.schema)
        self.parents = _parents(loads_trusted(case.entities))
        self.cut = 0

    def compare(self, request: Mapping[str, Json]) -> Iterator[str]:
        principal, action, resource = (_uid(request[name]) for name in ("principal", "action", "resource"))
        chosen = self.index.slice(self._keys(principal), self._action_keys(action), self._keys(resource)).enforced
        self.cut += len(chosen.names if chosen else ()) < len(self.case.policies)
        asked = {"principal": principal.json, "action": action.json, "resource": resource.json}
        context = dumps(request["context"]).decode()
        schema = self.case.schema if request.get("validateRequest", True) else None
        whole, cut = (evaluate(asked, context, rules, self.entities, schema) if rules else _NOTHING for rules in (self.whole, chosen))
        yield from _differences(request, whole)
        if cut != whole:
            yield f"the slice answers {_said(cut)}, all policies {_said(whole)}"

    def _keys(self, uid: Uid) -> tuple[Key, ...]:
        return keys_of(uid, ancestors(uid, self.parents))

    def _action_keys(self, action: Uid) -> tuple[Key, ...]:
        """An action's groups stand in the schema, which only the engine can read: it is asked about each group that a policy names."""
        named = {Uid(key[1], key[2]) for policy in self.case.policies for key in policy.actions if key and key[0] == "in"}
        groups = tuple(group for group in sorted(named, key=str) if self._is_in(action, group))
        return keys_of(action, groups)

    def _is_in(self, action: Uid, group: Uid) -> bool:
        probe = Rules.of([f"permit(principal, action in {_literal(group)}, resource);"], ["probe"])
        anybody = {"type": "Probe", "id": ""}
        request = {"principal": anybody, "action": action.json, "resource": anybody}
        return evaluate(request, "{}", probe, self.entities, None).decision == "allow"


def _differences(request: Mapping[str, Json], found: Evaluation) -> Iterator[str]:
    expected = str(request["decision"]).lower()
    if found.decision != expected:
        yield f"expected {expected}, the engine says {_said(found)}"
    reasons = sorted(request.get("reason", ()))
    if list(found.reasons) != reasons:
        yield f"expected the reasons {reasons}, found {list(found.reasons)}"
    errors = sorted(request.get("errors", ()))
    names = sorted(match[1] if (match := _NAME.search(text)) else text for text in found.errors)
    if names != errors:
        yield f"expected errors of {errors}, found {names}"


def _said(found: Evaluation) -> str:
    return f"{found.decision} because of {list(found.reasons)}" + (f" with errors {list(found.errors)}" if found.errors else "")


def _passes(valid: bool) -> str:  # noqa: FBT001 - it puts a word for one
    return "passes" if valid else "fails"


def _is_request(request: Json) -> bool:
    return isinstance(request, dict) and all(isinstance(request.get(name), dict) for name in ("principal", "action", "resource", "context"))


def _uid(found: Mapping[str, Json]) -> Uid:
    inner = found.get("__entity", found)
    return Uid(inner["type"], inner["id"])


def _parents(entities: Sequence[Mapping[str, Json]]) -> dict[Uid, tuple[Uid, ...]]:
    return {_uid(entity["uid"]): tuple(_uid(parent) for parent in entity["parents"]) for entity in entities}


def _literal(uid: Uid) -> str:
    """An entity as policy text. Cedar's escapes are not those of JSON."""
    escaped = "".join(c if c.isascii() and c.isalnum() else "\\u{" + format(ord(c), "x") + "}" for c in uid.id)
    return f'{uid.type}::"{escaped}"'


def _json(path: Path) -> Json:
    try:
        return loads_trusted(path.read_bytes())
    except (JsonError, OSError) as error:
        raise _problem(path, f"cannot be read: {error}") from error


def _beside(path: Path, folder: Path, name: Json) -> str:
    """A file that a case names, below the root of the corpus: `folder` or one above it, or the case's own folder, whatever that is called now. A case
    cannot reach outside.
    """
    if not isinstance(name, str) or Path(name).is_absolute() or ".." in Path(name).parts:
        raise _problem(path, "names a file by something else than a path below the root of the corpus")
    here = folder.resolve()
    found = next((file for file in (*(root / name for root in (here, *here.parents)), path.parent / Path(name).name) if file.is_file()), None)
    if found is None:
        raise _problem(path, f"{name} is not there", "name the root of the cases: what a case is about is named from there")
    try:
        return found.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _problem(path, f"{name} cannot be read: {error}") from error


def _problem(path: Path, message: str, remedy: str = _FORMAT) -> Problem:
    return Problem("conformance_case", message, file=str(path), remedy=remedy)
