"""The breaker as a table of states: what each event does in each, with the clock in the test's hand."""

from __future__ import annotations

import pytest

from gateway.config.model import ToolSettings
from gateway.errors import Refusal
from gateway.forward.breaker import Breaker

TOOL = ToolSettings("t", "http://up.example")


def breaker(**more) -> tuple[Breaker, list[str]]:
    changes: list[str] = []
    tool = ToolSettings("t", "http://up.example", **more)
    return Breaker(tool, "up.example:80", lambda tool, host, state: changes.append(f"{tool} {host} {state}"), uniform=lambda low, high: 1.0), changes


def votes(subject: Breaker, now_s: float, **counts: int) -> None:
    for vote, count in counts.items():
        for _ in range(count):
            subject.leave(subject.enter(now_s), vote, now_s)


def refuses(subject: Breaker, now_s: float) -> int | None:
    with pytest.raises(Refusal) as caught:
        subject.enter(now_s)
    assert (caught.value.code, caught.value.outcome) == ("circuit_open", "refused")
    return caught.value.retry_after_s


def opened(now_s: float = 100.0, **more) -> Breaker:
    subject, _ = breaker(**more)
    votes(subject, now_s, failure=10)
    assert subject.state == "open"
    return subject


@pytest.mark.parametrize(
    ("successes", "failures", "state"),
    [(0, 9, "closed"), (0, 10, "open"), (5, 5, "open"), (6, 5, "closed"), (0, 0, "closed"), (100, 50, "closed"), (50, 50, "open")],
)
def test_it_opens_when_enough_calls_were_seen_and_half_of_them_failed(successes, failures, state):
    subject, _ = breaker()
    votes(subject, 100.0, success=successes, failure=failures)
    assert subject.state == state


def test_failures_older_than_the_window_are_forgotten():
    subject, _ = breaker()
    votes(subject, 100.0, failure=9)
    votes(subject, 131.0, failure=9)
    assert subject.state == "closed"
    votes(subject, 140.0, failure=1)
    assert subject.state == "open"


@pytest.mark.parametrize("step_s", [3.0, 26.0, 31.0, 1e6])
def test_the_window_slides_whatever_the_pause(step_s):
    subject, _ = breaker()
    votes(subject, 100.0, failure=9)
    votes(subject, 100.0 + step_s, failure=1)
    assert subject.state == ("open" if step_s < 30 else "closed")


def test_a_clock_that_steps_back_breaks_nothing():
    subject, _ = breaker()
    votes(subject, 1000.0, failure=5)
    votes(subject, 10.0, failure=5)
    assert subject.state == "open"


def test_an_open_breaker_refuses_and_says_for_how_long():
    subject = opened(100.0)
    assert refuses(subject, 100.0) == 10
    assert refuses(subject, 107.0) == 3


def test_after_its_time_it_lets_a_few_probes_through_and_refuses_the_rest():
    subject = opened(100.0)
    for _ in range(3):
        subject.enter(110.0)
    assert subject.state == "half_open"
    for _ in range(1000):
        assert refuses(subject, 110.0) == 1


def test_it_closes_when_all_probes_succeed_and_not_before():
    subject = opened(100.0)
    tickets = [subject.enter(110.0) for _ in range(3)]
    for ticket in tickets[:2]:
        subject.leave(ticket, "success", 110.5)
    assert subject.state == "half_open"
    refuses(subject, 110.5)
    subject.leave(tickets[2], "success", 111.0)
    assert subject.state == "closed"


def test_one_failed_probe_opens_it_again_for_twice_as_long_up_to_a_cap():
    subject, now_s = opened(100.0), 100.0
    for wait_s in (10, 20, 40, 80, 120, 120):
        assert refuses(subject, now_s) == wait_s
        now_s += wait_s
        subject.leave(subject.enter(now_s), "failure", now_s)
        assert subject.state == "open"


def test_a_recovery_makes_the_next_outage_short_again():
    subject = opened(100.0)
    subject.leave(subject.enter(110.0), "failure", 110.0)
    votes(subject, 130.0, success=3)
    assert subject.state == "closed"
    votes(subject, 131.0, failure=10)
    assert refuses(subject, 131.0) == 10


def test_a_client_who_leaves_gives_the_probe_back_without_a_vote():
    subject = opened(100.0)
    tickets = [subject.enter(110.0) for _ in range(3)]
    subject.leave(tickets[0], None, 110.0)
    subject.enter(110.0)
    assert subject.state == "half_open"
    refuses(subject, 110.0)


def test_no_vote_counts_as_no_call():
    subject, _ = breaker()
    for _ in range(100):
        subject.leave(subject.enter(100.0), None, 100.0)
    votes(subject, 100.0, failure=9)
    assert subject.state == "closed"


@pytest.mark.parametrize("vote", ["success", "failure", None])
def test_late_results_of_an_earlier_state_do_not_count(vote):
    subject, _ = breaker()
    late = [subject.enter(100.0) for _ in range(5)]
    votes(subject, 100.0, failure=10)
    assert subject.state == "open"
    for ticket in late[:2]:
        subject.leave(ticket, vote, 105.0)
    assert refuses(subject, 105.0) == 5
    probe = subject.enter(110.0)
    for ticket in late[2:]:
        subject.leave(ticket, vote, 111.0)
    assert subject.state == "half_open"
    subject.leave(probe, "failure", 112.0)
    assert subject.state == "open"


def test_a_stream_that_breaks_after_its_good_head_counts_against_the_upstream():
    subject, _ = breaker()
    tickets = [subject.enter(100.0) for _ in range(10)]
    for ticket in tickets:
        subject.leave(ticket, "success", 100.0)
    for ticket in tickets:
        subject.break_later(ticket, 100.0)
    assert subject.state == "open"


def test_a_probe_whose_stream_breaks_opens_it_again():
    subject = opened(100.0)
    probe = subject.enter(110.0)
    subject.leave(probe, "success", 110.0)
    subject.break_later(probe, 110.5)
    assert subject.state == "open"


def test_the_waiting_time_is_spread():
    drawn = []
    subject = Breaker(TOOL, "h", lambda *_: None, uniform=lambda low, high: drawn.append((low, high)) or high)
    votes(subject, 100.0, failure=10)
    assert drawn == [(0.8, 1.2)]
    assert refuses(subject, 100.0) == 12


def test_each_change_of_state_is_told_once():
    subject, changes = breaker()
    votes(subject, 100.0, failure=10)
    votes(subject, 110.0, success=3)
    assert changes == ["t up.example:80 open", "t up.example:80 half_open", "t up.example:80 closed"]
