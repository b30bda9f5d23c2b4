"""How records of the decision log look to a person: a line, a verification report, and the story of one decision.

Whatever comes from the log is shown without control characters: an agent's argument must not move the cursor of who reads it.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from gateway.authorize.splitting import split
from gateway.canonical import Json, JsonError, loads_trusted
from gateway.cli.output import plural, printable, styled
from gateway.errors import Problem
from gateway.record import Record, Report, Withheld

VALUE_CHARACTERS_MAX = 200
NAMES = {"allow": ("ALLOWED", "green"), "deny": ("DENIED", "red"), "hold": ("HELD", "yellow"), "error": ("DENIED", "red")}
_ID = re.compile(r'@id\(\s*"((?:[^"\\]|\\.)*)"\s*\)')


def moment(t: int) -> str:
    """Microseconds since the epoch as UTC."""
    try:
        return datetime.fromtimestamp(t / 1_000_000, UTC).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3] + "Z"
    except (ValueError, OverflowError, OSError):
        return str(t)


def summary_line(record: Record) -> str:
    """One record in one line."""
    style = {"call": "bold", "recover": "yellow", "refusals": "yellow"}.get(record.kind, "dim")
    kind = styled(f"{record.kind:<11}", style, sys.stdout)
    return f"{record.n:>8}  {moment(record.t)}  {kind}  {printable(_summary(record))}"


def _summary(record: Record) -> str:
    body = record.body
    match record.kind:
        case "call":
            who, what = _mapping(body.get("who")), _mapping(body.get("what"))
            verdict = _mapping(body.get("authz")).get("decision") or "refused"
            code = f" [{body['code']}]" if body.get("code") else ""
            operation = f"{what.get('tool', '')}/{what.get('op', '')}".strip("/")
            return f"{verdict:<7} {who.get('agent', '?')}  {operation}  {what.get('method', '')} {what.get('path', '')}{code}"
        case "result":
            code = f" [{body['code']}]" if body.get("code") else ""
            return f"{body.get('status', '?'):<7} of {body.get('call')}  HTTP {body.get('http') or '-'}  {body.get('ms', '?')} ms{code}"
        case "refusals":
            return f"{body.get('total')} refused: " + ", ".join(f"{count} {reason}" for reason, count in list(_mapping(body.get("by")).items())[:3])
        case "shadow":
            reasons = ", ".join(map(str, body.get("reasons") or ())) or "default"
            return f"{body.get('decision', '?'):<7} of {body.get('call')} by the candidate, because of {reasons}"
        case "token":
            code = f" [{body['code']}]" if body.get("code") else ""
            return f"{body.get('grant', '?')}  {body.get('agent') or '?'}  {body.get('sub') or ''}  {body.get('jti') or ''}{code}"
        case "recover":
            return f"outcome unknown: {body.get('calls')}; torn: {len(body.get('torn') or [])}"
        case _:
            return ", ".join(f"{k}={v}" for k, v in body.items() if isinstance(v, str | int))[:VALUE_CHARACTERS_MAX]


def print_report(report: Report, folder: Path, pin: Path | None) -> None:
    verdicts = {0: ("ok", "green"), 1: ("TAMPERED", "red"), 3: ("INCOMPLETE", "yellow"), 4: ("NOT PROVEN", "red")}
    name, style = verdicts.get(report.exit_code, ("FAILED", "red"))
    print(f"{styled(name, style, sys.stdout)}  {printable(report.message)}")
    for label, text in _report_rows(report, folder, pin):
        print(f"  {styled(f'{label:<10}', 'dim', sys.stdout)} {printable(text)}")


def _report_rows(report: Report, folder: Path, pin: Path | None) -> list[tuple[str, str]]:
    seen = report.size - report.since
    rate = f", {seen / report.elapsed_s:,.0f} records/s" if seen >= 10_000 and report.elapsed_s else ""
    rows = [("log", f"{report.origin}  ({folder})"), ("looked at", f"{seen:,} records in {plural(report.segments, 'segment')}")]
    if report.since:
        rows.append(("before", f"records 0 to {report.since - 1:,} by their root alone, as it was signed"))
    if report.level != "chain":
        rows.append(("signed", f"{report.signed:,} records, by {plural(report.checkpoints, 'checkpoint')}"))
    if report.ok:
        rows += _report_end(report)
    if report.level in {"full", "replay"}:
        rows.append(("objects", f"{report.objects} named and whole"))
    if report.level == "replay":
        rows.append(("replayed", f"{plural(report.decisions, 'decision')}, each as it was recorded"))
    if report.first_bad is not None:
        rows.append(("first bad", f"record {report.first_bad}" + (f", {report.segment}" if report.segment else "") + _at(report.offset)))
    if report.root:
        rows.append(("root", report.root))
    if pin is not None and report.ok:
        rows.append(("pinned in", str(pin)))
    return [*rows, ("level", f"{report.level}, {report.elapsed_s:.2f} s{rate}")]


def _report_end(report: Report) -> list[tuple[str, str]]:
    """How fresh the log is, and how much of its end is under no signature."""
    rows = [("newest", moment(report.newest_t))] if report.newest_t is not None else []
    if report.checkpoint_age_s is not None:
        rows.append(("signed at", f"{report.checkpoint_age_s:,.0f} s ago, by the time of the checkpoint's file"))
    if report.unsigned:
        rows.append(("unsigned", f"the last {report.unsigned} are under no checkpoint yet"))
    return rows


def _at(offset: int | None) -> str:
    return f" at byte {offset}" if offset is not None else ""


@dataclass(frozen=True, slots=True)
class PolicyText:
    """One policy that decided, as it was in force. `text` is empty when the bundle has no policy of that name."""

    id: str
    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Story:
    """One decision with what led to it and what came of it. `authz` is in clear where it can be had; `withheld` says why it is not."""

    call: Record
    authz: Mapping[str, Json]
    withheld: str
    outcome: Record | None
    policies: tuple[PolicyText, ...]

    def as_json(self) -> dict[str, Json]:
        outcome = {"n": self.outcome.n, "t": self.outcome.t, "k": self.outcome.kind, **self.outcome.body} if self.outcome else None
        policies = [{"id": p.id, "file": p.file, "line": p.line, "text": p.text} for p in self.policies]
        body = {**self.call.body, **({"authz": self.authz} if self.authz else {}), **({"withheld": self.withheld} if self.withheld else {})}
        return {"n": self.call.n, "t": self.call.t, "leaf": self.call.leaf, **body, "outcome": outcome, "policy_texts": policies}

    def print(self) -> None:
        body, authz = self.call.body, self.authz
        who, what = _mapping(body.get("who")), _mapping(body.get("what"))
        word, style = NAMES.get(str(authz.get("decision")), ("REFUSED", "red"))
        if body.get("code") and word == "ALLOWED":
            word, style = "REFUSED", "red"
        head = f"{who.get('agent')} calling {what.get('tool')}/{what.get('op') or '?'}"
        print(f"\n{styled(word, style, sys.stdout)}  {styled(printable(head), 'bold', sys.stdout)}   decision {self.call.n}, {moment(self.call.t)}\n")
        _row("who", _who(who))
        _row("what", f"{what.get('method')} {what.get('path')}   ({what.get('effect') or 'unmapped'}, by {what.get('door')} from {what.get('peer')})")
        _rows("withheld", [self.withheld] if self.withheld else [])
        context = _mapping(authz.get("ctx"))
        _rows("arguments", _leaves(context.get("input"), ""))
        _rows("context", _leaves({k: v for k, v in context.items() if k != "input"}, ""))
        reasons = ", ".join(map(str, authz.get("reasons") or ())) or ("no policy allows it" if authz else "policy was not asked")
        _row("decided", f"{authz.get('decision', 'refused')}: {reasons}" + (f"   [{body['code']}]" if body.get("code") else ""))
        _rows("errors", [str(e) for e in authz.get("errors") or ()])
        _rows("demands", [" = ".join(map(str, pair)) for pair in authz.get("obl") or ()])
        for policy in self.policies:
            print(f"\n  {styled(printable(f'{policy.file}:{policy.line}' if policy.text else f'{policy.id}: not in the bundle'), 'dim', sys.stdout)}")
            for line in policy.text.split("\n"):
                print(f"    {printable(line.expandtabs(4))}")
        print()
        _rows("outcome", self._outcome())
        _row("leaf", self.call.leaf)

    def _outcome(self) -> list[str]:
        if self.outcome is None:
            allowed = _mapping(self.call.body.get("authz")).get("decision") == "allow" and not self.call.body.get("code")
            return ["not recorded yet" if allowed else "nothing was sent"]
        body = self.outcome.body
        if self.outcome.kind == "recover":
            return [f"unknown: the gateway stopped before it could tell (record {self.outcome.n})"]
        code = f" [{body['code']}]" if body.get("code") else ""
        lines = [
            f"{body.get('status')}{code}, HTTP {body.get('http') or '-'}, {body.get('bytes', 0)} bytes, {body.get('ms')} ms (record {self.outcome.n})"
        ]
        lines += [f"try: {t.get('u')} {t.get('s')} in {t.get('ms')} ms" for t in body.get("tries") or () if isinstance(t, Mapping)]
        credential = _mapping(body.get("cred") or self.call.body.get("cred"))
        shown = f", certificate {credential['cert']}" if credential.get("cert") else ""
        return lines + ([f"credential {credential.get('name')} ({credential.get('kind')}, {credential.get('fp')}{shown})"] if credential else [])


def decision_story(call: Record, decision: Mapping[str, Json] | Withheld | None, outcome: Record | None, stored: Callable[[str], bytes]) -> Story:
    """Gather what one decision rests on. Raises what `stored` raises for the bundle of its policies."""
    authz = decision.authz if isinstance(decision, Withheld) else decision or {}
    withheld = str(decision) if isinstance(decision, Withheld) else ""
    wanted = [str(reason) for reason in authz.get("reasons") or ()]
    found = _texts(stored(authz["policies"])) if wanted and isinstance(authz.get("policies"), str) else {}
    return Story(call, authz, withheld, outcome, tuple(found.get(name, PolicyText(name, "", 0, "")) for name in wanted))


def _texts(bundle: bytes) -> dict[str, PolicyText]:
    """Every policy of a stored bundle, {"files": [[name, text], ...]}, by its @id."""
    found: dict[str, PolicyText] = {}
    try:
        for file, text in loads_trusted(bundle)["files"]:
            for piece in split(file, text):
                if name := _ID.search(piece.text):
                    found[name[1]] = PolicyText(name[1], file, piece.line, piece.text)
    except (JsonError, Problem, KeyError, TypeError, ValueError):
        return found
    return found


def _who(who: Mapping[str, Json]) -> str:
    user = f" for user {who['user']}" if who.get("user") else ""
    actors = " delegated by " + ", by ".join(map(str, who["act"])) if who.get("act") else ""
    run = f", run {who['run']}" if who.get("run") else ""
    return f"{who.get('agent')}{user}{actors}{run}   (token {who.get('jti')} of {who.get('iss')})"


def _leaves(value: Json, path: str) -> list[str]:
    """A JSON value as `path = value` lines; Cedar's extension values by their argument."""
    if isinstance(value, Mapping) and set(value) == {"__extn"}:
        value = _mapping(value["__extn"]).get("arg")
    if isinstance(value, Mapping) and value:
        return [line for name, inner in value.items() for line in _leaves(inner, f"{path}.{name}" if path else str(name))]
    text = json.dumps(value, ensure_ascii=False)
    shown = text if len(text) <= VALUE_CHARACTERS_MAX else text[:VALUE_CHARACTERS_MAX] + "..."
    return [f"{path} = {shown}"] if path else []


def _rows(label: str, lines: list[str]) -> None:
    for at, line in enumerate(lines):
        _row(label if at == 0 else "", line)


def _row(label: str, text: str) -> None:
    print(f"  {styled(f'{label:<10}', 'dim', sys.stdout)} {printable(text)}")


def _mapping(value: Json) -> Mapping[str, Json]:
    return value if isinstance(value, Mapping) else {}
