from __future__ import annotations

from gateway.authorize.spelling import closest


def test_a_hint_is_given_only_when_something_is_near():
    assert closest("tikets", ["tickets", "mail"]) == "did you mean 'tickets'?"
    assert closest("xyz", ["tickets"]) == ""
