"""What to write instead of a key that does not exist."""

from __future__ import annotations

import pytest

from gateway.config.suggest import for_unknown, in_unit, unit

KEYS = ["address", "connect_timeout_s", "body_bytes_max", "body_rate_min_bytes_s", "hosts", "retries_max", "retry_budget_floor_per_s"]


@pytest.mark.parametrize(
    ("key", "value", "remedy"),
    [
        ("connect_timeout", "2s", "write connect_timeout_s = 2 (seconds)"),
        ("connect_timeout", "500ms", "write connect_timeout_s = 0.5 (seconds)"),
        ("connect_timeout", "1 h", "write connect_timeout_s = 3600 (seconds)"),
        ("connect_timeout", 3, "write connect_timeout_s = 3 (seconds)"),
        ("connect_timeout_ms", 1500, "write connect_timeout_s = 1.5 (seconds)"),
        ("connect_timeout_seconds", 2.5, "write connect_timeout_s = 2.5 (seconds)"),
        ("body_max", "8MiB", "write body_bytes_max = 8388608 (bytes)"),
        ("body_max_mb", 5, "write body_bytes_max = 5000000 (bytes)"),
        ("connect_timeout", "soon", "write connect_timeout_s = a number (seconds)"),
        ("connect_timeout", "8MiB", "write connect_timeout_s = a number (seconds)"),
        ("connect_timeout", True, "write connect_timeout_s = a number (seconds)"),
        ("connect_timeout", float("nan"), "write connect_timeout_s = a number (seconds)"),
    ],
)
def test_a_key_without_or_with_another_unit_is_converted(key, value, remedy):
    assert for_unknown(key, value, KEYS) == ("bad_unit", remedy)


@pytest.mark.parametrize(
    ("key", "remedy"),
    [
        ("conect_timeout_s", "did you mean connect_timeout_s?"),
        ("retry_max", "did you mean retries_max?"),
        ("port", "address ="),
        ("host", "address ="),
        ("password", "[credential.NAME]"),
        ("x", "known here: address"),
    ],
)
def test_a_key_that_does_not_exist_is_led_to_one_that_does(key, remedy):
    code, found = for_unknown(key, "v", KEYS)
    assert code == "unknown_key"
    assert remedy in found


def test_the_unit_is_in_the_key():
    assert [unit(key) for key in KEYS] == ["", "s", "bytes", "bytes/s", "", "", "1/s"]


def test_a_number_that_is_right_already_stays_so():
    assert in_unit("body_bytes_max", "100") == "body_bytes_max = 100"
    assert in_unit("retries_max", "2 s") == ""
