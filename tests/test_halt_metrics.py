"""The halts in force are shown by kind, and what was stopped is counted."""

from __future__ import annotations

from gateway.halt_metrics import CODES
from gateway.metrics import Metrics
from gateway.stores.halts import Halt, HaltBoard


def shown(metrics: Metrics) -> dict[str, float]:
    lines = [line for line in metrics.text().decode().splitlines() if line.startswith("portreeve_halts{")]
    return {line.partition('"')[2].partition('"')[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_halts_are_shown_by_kind_and_without_names():
    metrics, board = Metrics(), HaltBoard()
    metrics.halts.board = board
    assert shown(metrics) == dict.fromkeys(("all", "agent", "tool", "run", "user"), 0.0)
    board.halts = {(kind, name): Halt(kind, name, 0, "w", "b") for kind, name in (("agent", "bot-1"), ("agent", "bot-2"), ("user", "anna"))}
    assert shown(metrics) == {"all": 0, "agent": 2, "tool": 0, "run": 0, "user": 1}
    assert b"bot-1" not in metrics.text()


def test_the_broken_glass_is_a_halt_of_all():
    metrics = Metrics()
    metrics.halts.board = HaltBoard(glass_broken=True)
    assert shown(metrics)["all"] == 1
    metrics.halts.board.halts = {("all", ""): Halt("all", "", 0, "w", "b")}
    assert shown(metrics)["all"] == 1


def test_every_reason_to_stop_a_call_has_a_series_from_the_start():
    metrics = Metrics()
    metrics.halts.stopped("halted")
    text = metrics.text().decode()
    assert 'portreeve_calls_stopped_total{code="halted"} 1.0' in text
    assert all(f'portreeve_calls_stopped_total{{code="{code}"}}' in text for code in CODES)
