"""Runs the cases of a policies folder: calls with the decision that the author expects. A bundle whose cases fail does not load."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway.authorize.bundle import CASES, Bundle
from gateway.authorize.decide import decide
from gateway.authorize.splitting import as_text
from gateway.call import Deny, Facts, Hold, Identity, Invocation, Permit, ToolCall, Verdict
from gateway.canonical import Json, JsonError, loads
from gateway.errors import Problem

NOW = "2026-01-01T12:00:00Z"
"""When a case happens unless it says otherwise: cases must not change their answer with the day."""

MEMBERS_MAX = 200_000

_CALL = {
    "agent": str,
    "tool": str,
    "operation": str,
    "arguments": dict,
    "user": str,
    "actors": list,
    "scopes": list,
    "run": str,
    "pop": bool,
    "method": str,
    "path": str,
    "door": str,
    "now": str,
    "calls_last_minute": int,
    "calls_in_flight": int,
}
_EXPECT = {"decision": str, "reasons": list, "code": str, "message": str}
_NEEDED = ("agent", "tool", "operation", "arguments")


@dataclass(frozen=True, slots=True)
class Case:
    """One case. `line` is where its name stands in `file`."""

    file: str
    line: int
    name: str
    call: Mapping[str, Json]
    expect: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a case: `wrong` is empty when it was as expected."""

    case: Case
    decision: str
    reasons: tuple[str, ...]
    code: str
    wrong: str = ""

    @property
    def problem(self) -> Problem:
        return Problem(
            "case_failed",
            f"{self.case.name}: {self.wrong}",
            file=self.case.file,
            line=self.case.line,
            remedy="correct the policy, or what is expected",
        )


class _NoBody:
    """A case's arguments are given, so there is no body to read."""

    length = 0

    def chunks(self) -> AsyncIterator[bytes]:
        raise AssertionError("a case has no body")


def read_cases(folder: Path) -> list[Case]:
    """Every case in `cases/*.json`, in order. Raises Problem for a file that is not in the form described in policies/README.md."""
    found: list[Case] = []
    for path in sorted((folder / CASES).glob("*.json")):
        name = str(path)
        text, document = read_json(path, "case_malformed", "write one JSON object with a list `cases`")
        if not isinstance(document, dict) or document.keys() != {"cases"} or not isinstance(document["cases"], list):
            raise Problem("case_malformed", "the file is not an object with the one member `cases`", file=name, remedy='write {"cases": [...]}')
        for number, entry in enumerate(document["cases"], 1):
            found.append(_case(entry, number, name, text))
    return found


def read_json(path: Path, code: str, remedy: str) -> tuple[str, Json]:
    """A file's text, and what it holds as strict JSON. Raises Problem with the place where it stops being that."""
    try:
        data = path.read_bytes()
        return as_text(str(path), data, code), loads(data, members_max=MEMBERS_MAX)
    except OSError as error:
        raise Problem(code, error.strerror or "cannot be read", file=str(path), remedy=remedy) from error
    except JsonError as error:
        raise Problem(code, str(error), file=str(path), line=error.line, column=error.column, remedy=remedy) from error


def case_of(call: Json, file: str = "") -> Case:
    """A call by itself, described like that of a case. Raises Problem."""
    return _case({"name": "", "call": call, "expect": {"decision": "allow"}}, 0, file, "")


def _case(entry: Json, number: int, file: str, text: str) -> Case:
    def wrong(message: str, line: int = 0) -> Problem:
        return Problem("case_malformed", f"case {number}: {message}" if number else message, file=file, line=line, remedy="see policies/README.md")

    if not isinstance(entry, dict) or entry.keys() != {"name", "call", "expect"} or not isinstance(entry["name"], str):
        raise wrong("a case has the members name, call and expect")
    offset = text.find(f'"{entry["name"]}"')
    line = text.count("\n", 0, offset) + 1 if offset >= 0 else 0
    for part, vocabulary in (("call", _CALL), ("expect", _EXPECT)):
        if not isinstance(entry[part], dict):
            raise wrong(f"{part} is not an object", line)
        for key, value in entry[part].items():
            if key not in vocabulary:
                raise wrong(f"{part}.{key} is not known; there is {', '.join(vocabulary)}", line)
            if not _is(value, vocabulary[key]):
                raise wrong(f"{part}.{key} has the wrong type", line)
    missing = [key for key in _NEEDED if key not in entry["call"]]
    if missing or "decision" not in entry["expect"]:
        raise wrong(f"{missing[0] if missing else 'decision'} is missing", line)
    if entry["expect"]["decision"] not in {"allow", "deny", "hold"}:
        raise wrong("decision is allow, deny or hold", line)
    return Case(file, line, entry["name"], entry["call"], entry["expect"])


def _is(value: Json, kind: type) -> bool:
    """Whether a member has its type; lists are lists of texts."""
    if isinstance(value, list):
        return kind is list and all(isinstance(item, str) for item in value)
    return type(value) is kind


def run_cases(bundle: Bundle, cases: list[Case]) -> Iterator[Finding]:
    """Decide every case."""
    for case in cases:
        verdict = ask(bundle, case)
        if isinstance(verdict, str):
            yield Finding(case, "", (), "", verdict)
            continue
        match verdict:
            case Permit(basis=basis):
                decision, code, message = "allow", "", ""
            case Hold(basis=basis, message=message):
                decision, code = "hold", "approval_required"
            case Deny(basis=basis, code=code, message=message):
                decision = "deny"
        yield Finding(
            case,
            decision,
            basis.reasons,
            code,
            _difference(case, {"decision": decision, "reasons": list(basis.reasons), "code": code, "message": message}),
        )


def ask(bundle: Bundle, case: Case) -> Verdict | str:
    """Decide the call of a case; a text where the bundle knows no such agent or operation."""
    call = case.call
    action = f"{call['tool']}/{call['operation']}"
    if action not in bundle.plans:
        return f"there is no operation {action}"
    if call["agent"] not in bundle.agents:
        return f"there is no agent {call['agent']}"
    return decide(bundle, _invocation(bundle, case), _identity(case), _facts(case))


def _difference(case: Case, got: Mapping[str, Json]) -> str:
    for key, value in case.expect.items():
        wanted = sorted(value) if key == "reasons" else value
        if got[key] != wanted:
            because = f" (by {', '.join(got['reasons']) or 'default'})" if key == "decision" else ""
            return f"{key} is {got[key]!r}{because}, expected {wanted!r}"
    return ""


def _invocation(bundle: Bundle, case: Case) -> Invocation:
    call = case.call
    operation = bundle.plans[f"{call['tool']}/{call['operation']}"].operation
    made = ToolCall(
        id="case",
        door=call.get("door", "http"),
        tool=call["tool"],
        method=call.get("method", operation.method),
        path=call.get("path", operation.template or "/"),
        query="",
        headers=(),
        token=None,
        body=_NoBody(),
        peer="",
    )
    return Invocation(made, operation, call["arguments"], "", None)


def _identity(case: Case) -> Identity:
    call = case.call
    return Identity(
        agent=call["agent"],
        issuer="case",
        subject=f"agent:{call['agent']}",
        token_id="case",  # noqa: S106 - no secret
        key_id="case",
        audience="case",
        expires_at=0,
        user=call.get("user"),
        actors=tuple(call.get("actors", ())),
        scopes=tuple(call.get("scopes", ())),
        proof_of_possession=call.get("pop", False),
        run=call.get("run"),
    )


def _facts(case: Case) -> Facts:
    call = case.call
    try:
        moment = dt.datetime.fromisoformat(call.get("now", NOW))
        moment = (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).astimezone(dt.UTC)
    except (ValueError, OverflowError) as error:
        raise Problem("case_malformed", f"{case.name}: now is no date-time", file=case.file, line=case.line, remedy=f'write "{NOW}"') from error
    return Facts(int(moment.timestamp()) * 1_000_000, call.get("calls_last_minute", 0), call.get("calls_in_flight", 0))
