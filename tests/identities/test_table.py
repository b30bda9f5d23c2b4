"""Where a key stands in a TOML text, and how durations are written."""

from __future__ import annotations

import pytest

from gateway.identities.table import duration_s, places


def test_each_key_has_the_line_on_which_it_stands_first():
    text = """a = 1
[one]            # a comment
b = 2
"quoted.key" = 3
  [one.two]
  c.d = 4
[[many]]
e = 5
[[many]]
e = 6
[many.in]
f = 7
[last]
g = 8
"""
    lines = places(text)
    expected = {("a",): 1, ("one",): 2, ("one", "b"): 3, ("one", "quoted.key"): 4, ("one", "two", "c", "d"): 6}
    expected |= {("many", 0, "e"): 8, ("many", 1): 9, ("many", 1, "e"): 10, ("many", 1, "in", "f"): 12, ("last", "g"): 14}
    assert {path: lines[path] for path in expected} == expected


@pytest.mark.parametrize(("text", "seconds"), [("1s", 1), ("90s", 90), ("5m", 300), ("1h", 3_600), ("999999s", 999_999)])
def test_a_duration_is_a_whole_number_and_a_unit(text: str, seconds: int):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "0s", "-5m", "5 m", "5M", "1.5h", "5m ", "5m\n", "1d", "05m", "٥m", "9999999s", "1h30m"])
def test_anything_else_is_no_duration(text: str):
    assert duration_s(text) is None
