"""Which of the agent's request headers go up."""

from __future__ import annotations

import pytest

from gateway.inject.headers import ALLOWED, accepts_gzip, is_never, passed_up


@pytest.mark.parametrize("name", ["accept", "content-type", "user-agent", "idempotency-key", "if-none-match", "range", "prefer", "traceparent"])
def test_harmless_fields_go_up(name):
    assert passed_up(((name, "x"),), ALLOWED) == [(name, "x")]


@pytest.mark.parametrize(
    "name",
    [
        "authorization",
        "cookie",
        "x-api-key",
        "proxy-authorization",
        "forwarded",
        "x-forwarded-for",
        "via",
        "x-amz-date",
        "x-original-url",
        "x-http-method-override",
        "te",
        "expect",
        "http2-settings",
        "x-unknown",
        "host",
    ],
)
def test_fields_that_say_who_one_is_or_change_what_is_asked_do_not(name):
    assert passed_up(((name, "x"),), ALLOWED) == []


def test_nothing_on_the_allow_list_is_on_the_never_list():
    assert [name for name in ALLOWED if is_never(name)] == []


def test_a_field_that_connection_names_does_not_go_up():
    assert passed_up((("connection", "close, Accept"), ("accept", "x"), ("range", "y")), ALLOWED) == [("range", "y")]


@pytest.mark.parametrize(
    ("value", "asked"),
    [("gzip", True), ("br, GZIP;q=0.5", True), ("gzip;q=0", False), ("gzip; q=0.000", False), ("*", False), ("br", False), ("xgzip", False)],
)
def test_gzip_is_asked_for_by_name(value, asked):
    assert accepts_gzip((("accept-encoding", value),)) is asked
