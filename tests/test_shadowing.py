"""The candidate is asked behind the reply: in small slices, within a bound, and its faults harm nothing."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from gateway.authorize.engine import EngineError
from gateway.config.load import load
from gateway.config.model import LogSettings
from gateway.errors import Problem
from gateway.metrics import Metrics
from gateway.record import NoteSigner, open_log
from gateway.shadowing import QUEUE_MAX, Candidate, Shadowing, load_candidate
from tests.authorize.world import PERMIT_ALL, REFUND_OF, ask, quick
from tests.journeys.place import write_place

LIMIT = """@id("limit") forbid (principal, action == Action::"tickets/create_refund", resource)
when { context.input.amount.greaterThan(decimal("50.00")) };
"""


@pytest.fixture
async def log(tmp_path):
    opened = await open_log(
        LogSettings(tmp_path / "log", "shadow.test/log", reserve_bytes=4096, low_water_bytes=0), NoteSigner.open(tmp_path / "keys")
    )
    yield opened
    await opened.close()


def shadow_records(tmp_path):
    lines = b"".join(f.read_bytes() for f in sorted((tmp_path / "log" / "log").glob("*.jsonl"))).split(b"\n")
    return [r for r in map(json.loads, filter(None, lines)) if r["k"] == "shadow"]


def count(metrics, name):
    found = [line for line in metrics.text().decode().splitlines() if line.startswith(f"portreeve_policy_candidate_{name}")]
    return float(found[0].rsplit(" ", 1)[1]) if found else 0.0


def basis(amount, text=PERMIT_ALL):
    return ask(quick(text), "tickets/create_refund", REFUND_OF | {"amount": amount}).basis


async def test_only_flips_are_recorded_with_the_number_of_the_call_and_the_candidates_digest(log, tmp_path):
    metrics, bundle = Metrics(), quick(PERMIT_ALL + LIMIT)
    shadowing = Shadowing(log, metrics)
    for n, amount in enumerate((10, 60, 20)):
        shadowing.add(Candidate(bundle), basis(amount), n)
    async with asyncio.timeout(10):
        while count(metrics, "evaluations_total") < 3:
            await asyncio.sleep(0.005)
    await log.close()
    (record,) = shadow_records(tmp_path)
    members = {name: record[name] for name in ("call", "candidate", "decision", "reasons", "errors")}
    assert members == {"call": 1, "candidate": bundle.digest, "decision": "deny", "reasons": ["limit"], "errors": []}
    assert 'portreeve_policy_candidate_flips_total{from="allow",to="deny"} 1.0' in metrics.text().decode()


async def test_nothing_is_evaluated_before_the_caller_goes_on(log):
    metrics = Metrics()
    shadowing = Shadowing(log, metrics)
    shadowing.add(Candidate(quick(PERMIT_ALL)), basis(1), 0)
    await asyncio.sleep(0)
    assert count(metrics, "evaluations_total") == 0
    shadowing.close()
    assert count(metrics, "evaluations_total") == 1


async def test_more_than_the_queue_holds_is_counted_and_never_waited_for(log):
    metrics, candidate, seen = Metrics(), Candidate(quick(PERMIT_ALL)), basis(1)
    shadowing = Shadowing(log, metrics)
    for n in range(QUEUE_MAX + 5):
        shadowing.add(candidate, seen, n)
    assert count(metrics, "dropped_total") == 5
    shadowing.close()
    assert count(metrics, "evaluations_total") == QUEUE_MAX


async def test_without_a_candidate_that_loads_or_a_decision_there_is_nothing_to_do(log):
    metrics = Metrics()
    shadowing = Shadowing(log, metrics)
    halted = ask(quick(PERMIT_ALL), "tickets/create_refund", REFUND_OF | {"amount": 0.00001}).basis
    for candidate, found in (
        (None, basis(1)),
        (Candidate(None, (Problem("broken", "broken"),)), basis(1)),
        (Candidate(quick("")), None),
        (Candidate(quick("")), halted),
    ):
        shadowing.add(candidate, found, 0)
    shadowing.close()
    assert count(metrics, "evaluations_total") == count(metrics, "dropped_total") == 0


class Broken:
    """A bundle whose engine fails, or fails in a way that nobody expects, on its first evaluation."""

    digest = "sha256:0"

    def __init__(self, error):
        self.error = error

    def seat(self, agent, action):
        raise self.error


async def test_a_candidate_that_cannot_be_asked_is_counted(log):
    metrics = Metrics()
    shadowing = Shadowing(log, metrics)
    shadowing.add(Candidate(Broken(EngineError("no"))), basis(1), 0)
    shadowing.close()
    assert (count(metrics, "dropped_total"), count(metrics, "evaluations_total")) == (1, 0)


async def test_an_evaluation_that_breaks_does_not_end_the_work(log):
    metrics, said = Metrics(), []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context["exception"]))
    shadowing = Shadowing(log, metrics)
    shadowing.add(Candidate(Broken(RuntimeError("a surprise"))), basis(1), 0)
    shadowing.add(Candidate(quick(PERMIT_ALL)), basis(1), 1)
    async with asyncio.timeout(10):
        while count(metrics, "evaluations_total") < 1:
            await asyncio.sleep(0.005)
    assert [str(error) for error in said] == ["a surprise"]


async def test_a_flip_that_the_log_does_not_take_is_counted_as_dropped(log):
    metrics = Metrics()
    shadowing = Shadowing(log, metrics)
    await log.close()
    shadowing.add(Candidate(quick(PERMIT_ALL + LIMIT)), basis(60), 0)
    shadowing.close()
    await asyncio.sleep(0)
    assert count(metrics, "dropped_total") == 1


class Unforeseen:
    """Contracts that fail while a candidate is loaded, in a way that loading does not foresee."""

    def __init__(self, error):
        self.error = error

    def operations(self):
        raise self.error


@pytest.mark.parametrize("error", [OSError("the disk"), ValueError("a name"), RecursionError("too deep")], ids=lambda error: type(error).__name__)
def test_a_candidate_that_breaks_its_loading_is_a_problem_and_not_an_error(tmp_path, error):
    write_place(tmp_path, 1)
    settings = replace(load(tmp_path), candidate=tmp_path / "policies")
    found = load_candidate(settings, Unforeseen(error), None)
    assert found.bundle is None
    assert [problem.code for problem in found.problems] == ["candidate_broken"]
    assert load_candidate(replace(settings, candidate=None), Unforeseen(error), None) is None
