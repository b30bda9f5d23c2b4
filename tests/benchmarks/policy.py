"""What a decision costs: microseconds of `decide` by number of policies and of agents, and decisions replayed a second.

Run as `python -m tests.benchmarks.policy`. Ten policies can apply to the measured call (fewer where the bundle is smaller); the others are about
other operations and agents. `strict` shows policies the whole context; `projected` what they read; both validate what they show, and every call has
another amount, so that nothing is remembered. `engine` is the part of it that Cedar's own call takes; `remembered` is the same call again. Figures
are CPU time, the median of rounds that all sizes take in turn: a decision does no input or output, and what else runs on the machine should hurt
all sizes alike. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gateway.authorize import Bundle, decide, load_bundle, recompute
from gateway.authorize.plans import surroundings
from gateway.canonical import loads
from gateway.loading import settle
from gateway.record.bodies import authz_body
from tests.authorize.world import NOW_US, TOOLS, Facts, agent, identities, identity, invocation, operation

OPERATIONS = 50
APPLY = 10
SIZES = (1, 10, 100, 1_000, 10_000)
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


WHO = identity("agent-0", scopes=("refunds:write",), run="run-1")


@dataclass(slots=True)
class Measured:
    """One size with its bundle shown whole and cut, and what its rounds took in microseconds."""

    policies: int
    agents: int
    load_s: float
    strict: Bundle
    projected: Bundle
    rounds: dict[str, list[float]] = field(default_factory=dict)

    def us(self, name: str) -> float:
        return round(statistics.median(self.rounds[name]), 1)


def world(agents: int):
    operations = [operation(f"op{n}", REFUND, list(REFUND), "write", method="POST") for n in range(OPERATIONS)]
    people = [agent(f"agent-{n}", [f"g{n % 98}", f"own-{n}"], env="prod") for n in range(agents)]
    return operations, identities(people)


def load(policy_count: int, agents: int) -> Measured:
    operations, people = world(agents)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "bench.cedar").write_text(policies(policy_count))
        began = time.perf_counter()
        bundle = load_bundle(Path(folder), operations, TOOLS, people)
        seconds = time.perf_counter() - began
    whole = Bundle(bundle.policies, bundle.library, bundle.plans, bundle._entities, projected=False)
    return Measured(policy_count, agents, round(seconds, 2), whole, bundle)


def calls_of(bundle: Bundle, count: int):
    base = invocation("tickets/op0", operations=[bundle.plans["tickets/op0"].operation])
    arguments = {"ticket_id": "T-1", "amount": 0, "currency": "EUR", "reason": "arrived broken"}
    return [replace(base, arguments=arguments | {"amount": n % 8_000 + round(n // 8_000 / 100, 2)}) for n in range(count)]


def us_each(call: Callable[[int], object], numbers: range) -> float:
    began = time.process_time()
    for n in numbers:
        call(n)
    return (time.process_time() - began) / len(numbers) * 1e6


def take_round(size: Measured, made: list, numbers: range) -> None:
    """One round of every kind of measurement for one size. No kind is asked what another has asked before."""

    def engine(bundle: Bundle) -> Callable[[int], object]:
        place = bundle.seat("agent-0", "tickets/op0")
        question = place.seat.enforced
        texts = {n: question.view.text(surroundings(made[n], WHO, FACTS) | place.plan.typed(made[n].arguments)) for n in numbers}
        return lambda n: question.answer(texts[n])

    def decided(bundle: Bundle) -> Callable[[int], object]:
        return lambda n: decide(bundle, made[n], WHO, FACTS)

    kinds = {
        "strict": decided(size.strict),
        "strict_engine": engine(size.strict),
        "projected": decided(size.projected),
        "projected_engine": engine(size.projected),
        "remembered": lambda _: decide(size.projected, made[0], WHO, FACTS),
    }
    for name, call in kinds.items():
        size.rounds.setdefault(name, []).append(us_each(call, numbers))


def replayed_per_s(bundle: Bundle, calls: int, *, whole: bool) -> int:
    verdicts = [decide(bundle, call, WHO, FACTS) for call in calls_of(bundle, calls)]
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
    rounds, calls = (5, 50) if quick else (25, 100)
    counts = SIZES[:-1] if quick else SIZES
    sizes = [load(count, 1) for count in counts] + [load(10, count) for count in counts[1:]]
    settle()
    made = calls_of(sizes[0].strict, (rounds + 1) * calls)
    for turn in range(rounds + 1):
        for size in sizes:
            take_round(size, made, range(turn * calls, (turn + 1) * calls))
            if turn == 0:
                size.rounds.clear()  # the first round parses
    columns = ("strict", "strict_engine", "projected", "projected_engine", "remembered")
    print(f"{'policies':>9} {'agents':>7}" + "".join(f"{name.replace('_engine', ' engine'):>17}" for name in columns) + f"{'load s':>8}")
    for size in sizes:
        print(f"{size.policies:>9,} {size.agents:>7,}" + "".join(f"{size.us(name):>17}" for name in columns) + f"{size.load_s:>8}")
    report(sizes, 200 if quick else 3_000)


def report(sizes: list[Measured], replays: int) -> None:
    by_policies = {size.policies: size for size in sizes if size.agents == 1}
    by_agents = {size.agents: size for size in sizes if size.policies == APPLY}
    last = max(by_policies)

    def ratio(of: dict[int, Measured], small: int, name: str) -> float:
        return round(of[last].us(name) / of[small].us(name), 2)

    strict, projected = (ratio(by_policies, APPLY, name) for name in ("strict", "projected"))
    print(f"{last:,} policies take {strict} (strict) and {projected} (projected) times as long as {APPLY}")
    whole, cut = (replayed_per_s(by_policies[APPLY].projected, replays, whole=whole) for whole in (True, False))
    print(f"replayed: {whole:,} decisions a second with the whole context, {cut:,} projected\n")
    found = {f"{name}_us": {str(n): size.us(name) for n, size in by_policies.items()} for name in ("strict", "projected", "remembered")}
    found |= {f"{name}_us": size.us(name) for size in (by_policies[APPLY],) for name in ("strict_engine", "projected_engine")}
    found |= {f"{name}_by_agents_us": {str(n): size.us(name) for n, size in sorted(by_agents.items())} for name in ("strict", "projected")}
    ratios = {"strict_ratio": strict, "projected_ratio": projected}
    print(json.dumps({"bench": "policy", **found, **ratios, "replay_per_s": whole, "replay_projected_per_s": cut}))


if __name__ == "__main__":
    main()
