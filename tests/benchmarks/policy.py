"""What a decision costs: microseconds of `decide` by number of policies and agents, and decisions replayed a second.

Run as `python -m tests.benchmarks.policy`. Ten policies can apply to the measured call (fewer where the bundle is smaller); the others are about
other operations and agents. `strict` shows policies the whole context; `projected` what they read, every call with another amount, so that
nothing is remembered; `remembered` is the same call again. Figures are CPU time, the median of rounds: a decision does no input or output, so what
else runs on the machine should not count. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from gateway.authorize import decide, load_bundle, recompute
from gateway.canonical import loads
from gateway.record.bodies import authz_body
from tests.authorize.world import NOW_US, TOOLS, Facts, agent, identities, identity, invocation, operation

OPERATIONS = 50
APPLY = 10
REFUND = {"ticket_id": {"type": "string"}, "amount": {"type": "number"}, "currency": {"enum": ["EUR", "USD"]}, "reason": {"type": "string"}}
FACTS = Facts(NOW_US)


def policies(count: int) -> str:
    """`count` policies, of which at most APPLY are about the call that is measured."""
    mine = [
        '@id("allow") permit (principal in AgentGroup::"g0", action == Action::"tickets/op0", resource == Tool::"tickets") when { context.input.amount.lessThan(decimal("9000.0")) };',
        *(
            f'@id("limit-{n}") forbid (principal in AgentGroup::"g0", action == Action::"tickets/op0", resource) when {{ context.input.amount.greaterThan(decimal("{9000 + n}.0")) && context.input.currency == "EUR" }};'
            for n in range(1, APPLY)
        ),
    ]
    others = (
        f'@id("other-{n}") permit (principal in AgentGroup::"g{n % 97 + 1}", action == Action::"tickets/op{n % (OPERATIONS - 1) + 1}", resource == Tool::"tickets") when {{ context.input.amount.lessThan(decimal("{n}.0")) || context.input.reason like "*{n}*" }};'
        for n in range(count - min(count, APPLY))
    )
    return "\n".join([*mine[: min(count, APPLY)], *others])


def world(agents: int):
    operations = [operation(f"op{n}", REFUND, list(REFUND), "write", method="POST") for n in range(OPERATIONS)]
    people = [agent(f"agent-{n}", [f"g{n % 98}"], env="prod") for n in range(max(agents, 98))]
    return operations, identities(people)


def median_us(call, rounds: int, calls: int) -> float:
    call(0)
    figures = []
    for turn in range(rounds):
        began = time.process_time()
        for n in range(turn * calls, (turn + 1) * calls):
            call(n)
        figures.append((time.process_time() - began) / calls * 1e6)
    return round(statistics.median(figures), 1)


def bundle_of(count: int, agents: int, *, projected: bool):
    operations, people = world(agents)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench.cedar").write_text(policies(count))
        began = time.perf_counter()
        return load_bundle(Path(folder), operations, TOOLS, people, projected=projected), time.perf_counter() - began


def calls_of(bundle, count: int):
    base = invocation("tickets/op0", operations=[bundle.plans["tickets/op0"].operation])
    arguments = {"ticket_id": "T-1", "amount": 0, "currency": "EUR", "reason": "arrived broken"}
    return [replace(base, arguments=arguments | {"amount": n % 8_000 + round(n % 100 / 100, 2)}) for n in range(count)]


def measure(count: int, agents: int, rounds: int, calls: int) -> dict[str, float]:
    who = identity("agent-0", scopes=("refunds:write",), run="run-1")
    found = {}
    for name, projected in (("strict", False), ("projected", True)):
        bundle, seconds = bundle_of(count, agents, projected=projected)
        made = calls_of(bundle, rounds * calls)
        found["load_s"] = round(seconds, 2)
        found[name] = median_us(lambda n, b=bundle, m=made: decide(b, m[n], who, FACTS), rounds, calls)
        if projected:
            found["remembered"] = median_us(lambda _, b=bundle, m=made: decide(b, m[0], who, FACTS), rounds, calls)
    return found


def replayed_per_s(count: int, calls: int, *, whole: bool) -> float:
    bundle, _ = bundle_of(count, 1, projected=True)
    who = identity("agent-0")
    verdicts = [decide(bundle, call, who, FACTS) for call in calls_of(bundle, calls)]
    blobs = {b.digest: b.data for v in verdicts[:1] for b in (v.basis.policies, v.basis.schema, v.basis.entities)}
    records = [loads(json.dumps({**authz_body(v.basis), "ctx": loads(v.basis.context)}).encode()) for v in verdicts]
    recompute(records[0], blobs.__getitem__, whole=whole)
    began = time.process_time()
    same = all(recompute(r, blobs.__getitem__, whole=whole)["decision"] == r["decision"] for r in records)
    seconds = time.process_time() - began
    if not same:
        raise SystemExit("a replayed decision differs")
    return round(calls / seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds and sizes, to see that it works")
    quick = parser.parse_args().quick
    rounds, calls = (3, 50) if quick else (15, 200)
    sizes = [(1, 1), (10, 1), (1_000, 1)] if quick else [(1, 1), (10, 1), (100, 1), (1_000, 1), (10_000, 1), (10, 1_000), (10, 10_000)]
    print(f"{'policies':>9} {'agents':>7} {'strict us':>10} {'projected us':>13} {'remembered us':>14} {'load s':>7}")
    strict, projected, remembered = {}, {}, {}
    for count, agents in sizes:
        found = measure(count, agents, rounds, calls)
        print(f"{count:>9,} {agents:>7,} {found['strict']:>10} {found['projected']:>13} {found['remembered']:>14} {found['load_s']:>7}", flush=True)
        if agents == 1:
            key = str(count)
            strict[key], projected[key], remembered[key] = found["strict"], found["projected"], found["remembered"]
    replayed = replayed_per_s(10, 200 if quick else 3_000, whole=True)
    print(
        f"replayed: {replayed:,.0f} decisions a second with the whole context, {replayed_per_s(10, 200 if quick else 3_000, whole=False):,.0f} projected\n"
    )
    print(json.dumps({"bench": "policy", "strict_us": strict, "projected_us": projected, "remembered_us": remembered, "replay_per_s": replayed}))


if __name__ == "__main__":
    main()
