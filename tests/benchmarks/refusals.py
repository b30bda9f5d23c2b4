"""`make bench-refusals`: how long the slowest refusal of an attack token takes, over every table of attacks in the tests.

Each token is refused `--rounds` times; its figure is the median of the processor time in microseconds, and the worst single refusal
stands beside it. An attack that is not refused ends the program. The last line is one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import thread_time

from gateway.errors import Refusal
from gateway.proof import Proof
from tests.attacks import test_assertions, test_foreign_tokens, test_proofs, test_tokens
from tests.identify.forge import Bench, secret

SLOWEST_SHOWN = 5
AIM_US = 5_000


@dataclass(frozen=True, slots=True)
class Row:
    """One attack, and how long it took to refuse it, in microseconds."""

    name: str
    median_us: float
    worst_us: float


def attacks(bench: Bench) -> Iterator[tuple[str, Callable[[], object | Awaitable[object]]]]:
    """Every attack by name, with what must refuse it. Tokens are made beforehand: forging is not measured."""
    verifier = bench.verifier()
    for name, (make, _) in test_tokens.ATTACKS.items():
        text = make(bench)
        yield f"own: {name}", lambda text=text: verifier.verify(secret(text))
    keys = test_foreign_tokens.THEM.keys()
    for name, (make_foreign, _) in test_foreign_tokens.ATTACKS.items():
        text = make_foreign()
        yield f"foreign: {name}", lambda text=text: test_foreign_tokens.THEM.prove(text, keys=keys)
    for name, (make_assertion, _) in test_assertions.ASSERTIONS.items():
        text = make_assertion()
        yield f"assertion: {name}", lambda text=text: test_assertions.prove(text)
    for name, (make_proof, _) in test_proofs.PROOFS.items():
        proof = Proof(secret(make_proof()), "GET", test_proofs.URL)
        yield f"proof: {name}", lambda proof=proof: test_proofs.fresh().check(proof, test_proofs.TOKEN)


async def timed(name: str, attack: Callable[[], object | Awaitable[object]], rounds: int) -> Row:
    took = []
    for _ in range(rounds):
        began = thread_time()
        try:
            answer = attack()
            if isinstance(answer, Awaitable):
                await answer
        except Refusal:
            took.append((thread_time() - began) * 1_000_000)
        else:
            raise SystemExit(f"not refused: {name}")
    return Row(name, statistics.median(took), max(took))


async def measure(rounds: int) -> list[Row]:
    with tempfile.TemporaryDirectory(prefix="portreeve-bench-") as folder:
        bench = Bench(Path(folder) / "keys")
        return [await timed(name, attack, rounds) for name, attack in attacks(bench)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    rows = sorted(asyncio.run(measure(parser.parse_args().rounds)), key=lambda row: row.median_us, reverse=True)
    worst = max(rows, key=lambda row: row.worst_us)
    print(f"{len(rows)} attacks, all refused; the aim is {AIM_US} us each. The slowest, by median:")
    for row in rows[:SLOWEST_SHOWN]:
        print(f"{row.median_us:>10.0f} us   worst {row.worst_us:>8.0f} us   {row.name}")
    print(f"the worst single refusal: {worst.worst_us:.0f} us   {worst.name}")
    figures = {
        "attacks": len(rows),
        "slowest_us": round(rows[0].median_us),
        "worst_us": round(worst.worst_us),
        "median_us": round(statistics.median(r.median_us for r in rows)),
    }
    print(json.dumps({"bench": "refusals", **figures}))


if __name__ == "__main__":
    main()
