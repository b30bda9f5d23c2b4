"""A call's leave: taken back once, with the first reason, wherever the call is."""

from __future__ import annotations

import pytest

from gateway.errors import Refusal
from gateway.leave import Leave


def test_a_leave_that_nobody_takes_back_holds():
    leave = Leave()
    leave.check()
    assert not leave.is_taken


def test_it_is_taken_back_once_and_the_first_reason_stands():
    leave, stopped = Leave(), []
    leave.stopped_by(lambda: stopped.append(1))
    leave.take_back(Refusal("halted", "Calls are halted: all"))
    leave.take_back(Refusal("invalid_token", reason="later"))
    assert stopped == [1]
    with pytest.raises(Refusal) as caught:
        leave.check()
    assert (caught.value.code, caught.value.detail) == ("halted", "Calls are halted: all")


def test_what_begins_after_it_was_taken_back_is_stopped_at_once():
    """The head of a stream may arrive in the very moment of a kill: nobody would stop the stream later, for its leave is taken already."""
    leave, stopped = Leave(), []
    leave.take_back(Refusal("halted"))
    leave.stopped_by(lambda: stopped.append(1))
    assert stopped == [1]


def test_a_call_that_carries_nothing_yet_is_stopped_at_its_next_check():
    leave = Leave()
    leave.stopped_by(None)
    leave.take_back(Refusal("halted"))
    with pytest.raises(Refusal):
        leave.check()
