"""So many a minute of each name, and no name counts for another."""

from __future__ import annotations

from gateway.throttle import NAMES_MAX, Throttle
from tests.identify.forge import Clock


def test_a_name_may_so_often_and_then_again_as_time_goes():
    clock = Clock(0)
    throttle = Throttle(6, clock)
    for _ in range(6):
        assert not throttle.is_over("a")
        throttle.count("a")
    assert throttle.is_over("a") and not throttle.is_over("b") and throttle.wait_s() == 10
    clock.at = 9.9
    assert throttle.is_over("a")
    clock.at = 10
    assert not throttle.is_over("a")
    throttle.count("a")
    assert throttle.is_over("a")


def test_counting_beyond_the_limit_does_not_lock_out_for_longer():
    clock = Clock(0)
    throttle = Throttle(6, clock)
    for _ in range(600):
        throttle.count("a")
    clock.at = 10
    assert not throttle.is_over("a")


def test_many_names_push_out_old_ones_and_memory_stays_bounded():
    throttle = Throttle(1, Clock(0))
    for number in range(NAMES_MAX + 10):
        throttle.count(number)
    assert len(throttle._used) == NAMES_MAX
    assert not throttle.is_over(0) and throttle.is_over(NAMES_MAX)
