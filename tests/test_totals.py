"""Several workers' metrics as one gateway's: counts are added, gauges are not, and nothing goes back when a worker ends."""

from gateway.metrics import LogHead, Metrics
from gateway.totals import Totals


def metrics(calls: int = 0, *, in_flight: int = 0, size: int = 0, state: str = "ok", breaker: str = "closed") -> Metrics:
    found = Metrics()
    found.watch(
        breakers=lambda: {"notes": breaker},
        log=lambda: LogHead(state, "gw.example/test", size, bytes([size % 256]) * 32),
        in_flight=lambda: in_flight,
    )
    for _ in range(calls):
        found.call("notes", "read_note", "allow", "ok")
        found.took(0.0, [0.001, 0.002], 0.004)
    return found


def text(found: Metrics) -> str:
    return found.text().decode()


def value(totals: Totals, sample: str) -> float:
    (line,) = [line for line in totals.text().splitlines() if line.rpartition(" ")[0] == sample]
    return float(line.rpartition(" ")[2])


def lines(shown: str) -> list[tuple[str, float | str]]:
    """Comment lines as they stand, samples with the number that they mean."""
    return [(line, "") if line.startswith("#") else (line.rpartition(" ")[0], float(line.rpartition(" ")[2])) for line in shown.splitlines()]


CALLS = 'portreeve_calls_total{decision="allow",operation="read_note",outcome="ok",tool="notes"}'


def test_one_workers_text_comes_out_as_it_went_in():
    totals = Totals()
    shown = text(metrics(3, in_flight=2, size=7))
    totals.saw(0, shown)
    assert lines(totals.text()) == lines(shown)


def test_counters_and_histograms_are_added():
    totals = Totals()
    totals.saw(0, text(metrics(3)))
    totals.saw(1, text(metrics(4)))
    assert value(totals, CALLS) == 7
    assert value(totals, 'portreeve_step_seconds_count{step="total"}') == 7
    assert value(totals, 'portreeve_step_seconds_bucket{le="0.005",step="total"}') == 7
    assert value(totals, "portreeve_workers") == 2


def test_the_log_is_one_and_its_gauges_come_from_the_worker_that_knows_most_of_it():
    totals = Totals()
    totals.saw(0, text(metrics(size=900, state="full")))
    totals.saw(1, text(metrics(size=899, state="ok")))
    assert value(totals, 'portreeve_log_size{origin="gw.example/test"}') == 900
    assert [line for line in lines(totals.text()) if "portreeve_log_root{" in line[0]] == [
        line for line in lines(text(metrics(size=900))) if "portreeve_log_root{" in line[0]
    ], "size and root are of one moment"
    assert value(totals, 'portreeve_log_state{state="full"}') == 1
    assert value(totals, 'portreeve_log_state{state="ok"}') == 0


def test_calls_in_flight_are_added_and_a_breaker_open_anywhere_is_open():
    totals = Totals()
    totals.saw(0, text(metrics(in_flight=2)))
    totals.saw(1, text(metrics(in_flight=3, breaker="open")))
    assert value(totals, "portreeve_calls_in_flight") == 5
    assert value(totals, 'portreeve_breaker_state{state="open",tool="notes"}') == 1


def test_what_a_dead_worker_had_counted_stays_and_its_successor_begins_behind_it():
    totals = Totals()
    for worker in (0, 1):
        totals.saw(worker, text(metrics(5, in_flight=1)))
    totals.retire(0)
    assert value(totals, CALLS) == 10
    assert value(totals, "portreeve_calls_in_flight") == 1
    assert value(totals, "portreeve_workers") == 1
    totals.saw(0, text(metrics()))
    assert value(totals, CALLS) == 10
    totals.saw(0, text(metrics(2)))
    assert value(totals, CALLS) == 12
    totals.retire(0)
    totals.retire(0)
    assert value(totals, CALLS) == 12
    assert value(totals, 'portreeve_step_seconds_sum{step="total"}') == 12 * 0.004


def test_what_only_the_supervisor_can_count_is_added():
    totals = Totals()
    totals.saw(0, text(metrics()))
    totals.add("portreeve_worker_restarts_total", "portreeve_worker_restarts_total")
    totals.add("portreeve_worker_restarts_total", "portreeve_worker_restarts_total")
    assert value(totals, "portreeve_worker_restarts_total") == 2


def test_a_label_may_hold_spaces_and_braces():
    totals = Totals()
    shown = Metrics()
    shown.call("a tool", 'GET /x/{id} "q"', "allow", "ok")
    totals.saw(0, text(shown))
    totals.saw(1, text(shown))
    assert next(line for line in totals.text().splitlines() if line.startswith("portreeve_calls_total{")).endswith(" 2.0")
