"""Admission and counters: within the limits, and forgetting on time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.call import Identity
from gateway.config.model import Limits
from gateway.errors import Refusal
from gateway.gather import Gatherer
from gateway.halting import Halting
from gateway.stores.ended import Ended
from gateway.stores.halts import Halt, HaltBoard
from gateway.stores.revocations import MemoryRevocations

SECOND = 1_000_000


def who(name="a"):
    return Identity(agent=name, issuer="i", subject=f"agent:{name}", token_id="t", key_id="k", audience="x", expires_at=0)


class Clock:
    def __init__(self):
        self.us = 1_000 * SECOND

    def __call__(self):
        return self.us


def gatherer(clock, **limits):
    return Gatherer(Limits(**limits), Halting(Ended(HaltBoard(), MemoryRevocations())), now_us=clock)


def test_facts_tell_the_calls_before_this_one():
    g = gatherer(Clock())
    assert (g.enter(who(), "tool").calls_last_minute, g.enter(who(), "tool").calls_in_flight) == (0, 1)
    assert g.enter(who("b"), "tool").calls_last_minute == 0
    assert g.in_flight == 3


def test_a_minute_later_the_calls_are_forgotten():
    clock = Clock()
    g = gatherer(clock)
    for _ in range(3):
        g.enter(who(), "tool")
        g.leave(who())
    clock.us += 59 * SECOND
    assert g.enter(who(), "tool").calls_last_minute == 3
    clock.us += SECOND
    assert g.enter(who(), "tool").calls_last_minute == 1


def test_the_call_past_the_rate_is_refused_with_the_seconds_to_wait_and_does_not_count():
    clock = Clock()
    g = gatherer(clock, calls_per_minute_per_agent=2)
    g.enter(who(), "tool")
    clock.us += 10 * SECOND
    g.enter(who(), "tool")
    with pytest.raises(Refusal) as caught:
        g.enter(who(), "tool")
    assert (caught.value.code, caught.value.retry_after_s) == ("rate_limited", 50)
    assert g.in_flight == 2
    clock.us += 50 * SECOND
    assert g.enter(who(), "tool").calls_last_minute == 1


def test_one_agent_cannot_take_every_place():
    g = gatherer(Clock(), in_flight_per_agent_max=1)
    g.enter(who("greedy"), "tool")
    with pytest.raises(Refusal) as caught:
        g.enter(who("greedy"), "tool")
    assert caught.value.code == "rate_limited"
    assert g.enter(who("modest"), "tool")


def test_a_full_gateway_refuses_and_a_call_that_leaves_makes_room():
    g = gatherer(Clock(), in_flight_max=1)
    g.enter(who("a"), "tool")
    with pytest.raises(Refusal) as caught:
        g.enter(who("b"), "tool")
    assert caught.value.code == "overloaded"
    g.leave(who("a"))
    assert g.enter(who("b"), "tool")


def test_a_clock_that_goes_back_forgets_nothing():
    clock = Clock()
    g = gatherer(clock)
    g.enter(who(), "tool")
    clock.us -= 3600 * SECOND
    assert g.enter(who(), "tool").calls_last_minute == 1


@given(st.lists(st.integers(0, 90), max_size=40))
def test_the_count_equals_a_plain_list_of_whole_seconds(pauses):
    clock = Clock()
    g = gatherer(clock)
    seconds = []
    for pause in pauses:
        clock.us += pause * SECOND
        now = clock.us // SECOND
        assert g.enter(who(), "tool").calls_last_minute == sum(now - s < 60 for s in seconds)
        g.leave(who())
        seconds.append(now)


def test_a_look_tells_what_a_call_would_be_told_and_counts_nothing():
    clock = Clock()
    calls = gatherer(clock)
    assert calls.look(who("a"), "tool") == calls.look(who("a"), "tool")
    calls.enter(who(), "tool")
    for _ in range(2):
        mine, other = calls.look(who("a"), "tool"), calls.look(who("b"), "tool")
        assert (mine.calls_last_minute, mine.calls_in_flight, other.calls_last_minute) == (1, 1, 0)
    clock.us += 60 * SECOND
    assert (calls.look(who("a"), "tool").calls_last_minute, calls.look(who("a"), "tool").calls_in_flight) == (0, 1)


def test_what_is_halted_is_a_fact():
    board = HaltBoard()
    g = Gatherer(Limits(), Halting(Ended(board, MemoryRevocations())))
    board.halts = {("tool", "mail"): Halt("tool", "mail", 0, "why", "uid:0")}
    assert (g.enter(who(), "mail").halted, g.look(who(), "mail").halted, g.look(who("b"), "mail").halted) == (("tool mail",),) * 3
    assert g.enter(who(), "files").halted == ()
