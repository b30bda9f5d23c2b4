"""`portreeve policy shadow`: what policies that decide nothing yet would have decided, as the log has it."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path

from gateway.authorize.engine import policy_json
from gateway.authorize.judgement import STOP, Judgement
from gateway.authorize.policy import Policy
from gateway.authorize.rerun import flip, recorded
from gateway.authorize.splitting import split
from gateway.canonical import Json, loads_trusted
from gateway.cli.log_view import moment
from gateway.cli.output import plural, print_json, print_table
from gateway.cli.policy_deployment import AsJson, Folder
from gateway.cli.policy_log import Decision, Decisions, OfAgent, Since
from gateway.cli.when import moment_us
from gateway.record import Record

BUNDLES_MAX = 64
RECENT_MAX = 8_192
"""Decisions remembered for the `shadow` records that follow them. One further back is looked up."""
NAMES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Watched:
    """What was in shadow: a policy with `@mode("shadow")`, or a candidate by its digest (then `policy` is empty)."""

    policy: str
    candidate: str = ""


@dataclass(slots=True)
class Tally:
    """Decisions that would have come out otherwise in one way."""

    count: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    tools: Counter[str] = field(default_factory=Counter)
    newest: int = 0

    def add(self, decision: Decision) -> None:
        self.count += 1
        self.agents[decision.agent] += 1
        self.tools[decision.tool] += 1
        self.newest = decision.record.n


Way = tuple[str, str, tuple[str, ...]]
"""The verdict there was, the one there would have been, and the policies that make the difference."""


@dataclass(slots=True)
class Seen:
    """How many decisions something watched, since when, and which it would have turned."""

    since: int
    decisions: int = 0
    turned: dict[Way, Tally] = field(default_factory=dict)


class Shadows:
    """Collects from the records of a log, in order."""

    def __init__(self, decisions: Decisions, since: int) -> None:
        self.seen: dict[Watched, Seen] = {}
        self._decisions = decisions
        self._since = since
        self._candidates: dict[str, str] = {}
        self._recent: OrderedDict[int, Decision] = OrderedDict()
        self._in_shadow = lru_cache(maxsize=BUNDLES_MAX)(self._read_bundle)

    def add(self, record: Record) -> None:
        if record.kind == "policy.load":
            self._candidates[record.body["state"]] = record.body.get("candidate", "")
        elif record.t >= self._since:
            if record.kind == "shadow":
                self._turned_by_candidate(record)
            elif (decision := self._decisions.decision(record)) is not None and STOP not in decision.authz["ctx"]:
                self._decided(decision)

    def _decided(self, decision: Decision) -> None:
        self._recent[decision.record.n] = decision
        if len(self._recent) > RECENT_MAX:
            self._recent.popitem(last=False)
        candidate = self._candidates.get(decision.record.body.get("state", ""))
        if candidate:
            self._watching(Watched("", candidate), decision).decisions += 1
        before, turned = decision.authz["decision"], decision.authz["shadow"]
        in_shadow = self._in_shadow(decision.authz["policies"])
        failed = {name: "error" for name in turned if name not in in_shadow}  # the mark that a shadow policy could not be evaluated
        for name, after in {**in_shadow, **failed}.items():
            seen = self._watching(Watched(name), decision)
            seen.decisions += 1
            if name in turned:
                seen.turned.setdefault((before, after, (name,)), Tally()).add(decision)

    def _turned_by_candidate(self, record: Record) -> None:
        decision = self._recent.get(record.body["call"]) or self._decisions.find(record.body["call"])
        if decision is None:
            return  # of another agent than was asked for
        body = record.body
        changed = flip(recorded(decision.authz), Judgement(body["decision"], tuple(body["reasons"]), tuple(body["errors"])))
        if changed is not None:
            seen = self._watching(Watched("", body["candidate"]), decision)
            seen.turned.setdefault((changed.before, changed.after, changed.policies), Tally()).add(decision)

    def _watching(self, what: Watched, decision: Decision) -> Seen:
        return self.seen.setdefault(what, Seen(since=decision.record.t))

    def _read_bundle(self, digest: str) -> Mapping[str, str]:
        """The shadow policies of a bundle, each with the verdict that it would bring about."""
        files = loads_trusted(self._decisions.stored(digest))["files"]
        pieces = [piece for name, text in files for piece in split(name, text) if "shadow" in piece.text]
        policies = [Policy.of(piece, policy_json(piece.text)) for piece in pieces]
        return {policy.id: _verdict(policy) for policy in policies if policy.shadow}


def _verdict(policy: Policy) -> str:
    return "deny" if policy.effect == "forbid" else "hold" if "require_approval" in policy.annotations else "allow"


def shadow(folder: Folder = Path(), *, since: Since = "", agent: OfAgent = "", as_json: AsJson = False) -> None:
    """List what shadow policies and the candidate would have decided otherwise: how often, which way, for whom, with the newest decision.

    A policy is in shadow with @mode("shadow"); the candidate is the folder that [gateway] candidate names. `of` counts the decisions that were made
    while it watched, `since` when it began to.

    Example: portreeve policy shadow --since 7d
    """
    decisions = Decisions(folder, agent=agent)
    found = Shadows(decisions, moment_us(since))
    for record in decisions.records("reading the log"):
        found.add(record)
    if as_json:
        print_json({"ok": True, "shadows": [_json(what, seen) for what, seen in _ordered(found.seen)]})
        return
    if not found.seen:
        print("nothing was in shadow")
        return
    rows = [row for what, seen in _ordered(found.seen) for row in _rows(what, seen)]
    print_table(("in shadow", "turned", "of", "change", "policy", "agents", "tools", "newest", "since"), rows)
    turned = sum(tally.count for seen in found.seen.values() for tally in seen.turned.values())
    print(f"\n{plural(turned, 'decision')} would have come out otherwise; `portreeve policy explain NUMBER` tells how one came about")


def _ordered(seen: Mapping[Watched, Seen]) -> list[tuple[Watched, Seen]]:
    return sorted(seen.items(), key=lambda item: (item[0].policy, item[1].since))


def _rows(what: Watched, seen: Seen) -> Iterator[tuple[str, ...]]:
    name = what.policy or f"candidate {what.candidate.removeprefix('sha256:')[:12]}"
    of, since = f"{seen.decisions:,}", moment(seen.since)[:16]
    if not seen.turned:
        yield (name, "0", of, "-", "-", "-", "-", "-", since)
    for (before, after, policies), tally in sorted(seen.turned.items(), key=lambda item: -item[1].count):
        names = (_names(tally.agents), _names(tally.tools))
        yield (name, f"{tally.count:,}", of, f"{before} -> {after}", ", ".join(policies) or "-", *names, str(tally.newest), since)


def _names(counted: Counter[str]) -> str:
    more = len(counted) - NAMES_SHOWN
    shown = [name for name, _ in islice(counted.most_common(), NAMES_SHOWN)]
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _json(what: Watched, seen: Seen) -> dict[str, Json]:
    turned = [
        {
            "before": before,
            "after": after,
            "policies": policies,
            "count": tally.count,
            "agents": dict(tally.agents),
            "tools": dict(tally.tools),
            "newest": tally.newest,
        }
        for (before, after, policies), tally in seen.turned.items()
    ]
    return {
        "policy": what.policy,
        "candidate": what.candidate,
        "since": moment(seen.since),
        "watched": seen.decisions,
        "changed": sum(tally.count for tally in seen.turned.values()),
        "flips": turned,
    }
