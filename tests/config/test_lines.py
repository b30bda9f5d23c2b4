"""On which line each key of a TOML text stands."""

from __future__ import annotations

import tomllib

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.lines import first_duplicate, marks, places

TEXT = '''\
a = 1  # [not.a.table]

[tool."x.y"]
url = "http"
text = """
[no]
k = 3 \\""" "
""""
list = [ 1,
  "]", # [ "
  2 ]
q.'z'.b = { a = 1, b = [2] }
[tool]
late = true
[[many]]
a = 1
[[many]]
a = 2
'''


def test_every_key_has_its_line_whatever_strings_and_brackets_hold():
    tomllib.loads(TEXT)
    assert places(TEXT) == {
        ("a",): 1,
        ("tool",): 13,
        ("tool", "x.y"): 3,
        ("tool", "x.y", "url"): 4,
        ("tool", "x.y", "text"): 5,
        ("tool", "x.y", "list"): 9,
        ("tool", "x.y", "q"): 12,
        ("tool", "x.y", "q", "z"): 12,
        ("tool", "x.y", "q", "z", "b"): 12,
        ("tool", "late"): 14,
        ("many",): 15,
        ("many", "a"): 16,
    }


def test_a_repeated_key_is_found_with_both_places():
    first, second = first_duplicate("a = 1\n[b]\nc = '''\na\n'''\nc = 2\n")
    assert (first.key, first.line, second.line) == (("b", "c"), 3, 6)


def test_tables_of_an_array_may_repeat_their_keys():
    assert first_duplicate(TEXT) is None


def test_a_windows_file_has_the_same_lines():
    assert places("a = 1\r\n\r\nb = 2\r\n") == {("a",): 1, ("b",): 3}


_keys = st.text("abcdefg-_1", min_size=1, max_size=5)
_values = st.one_of(
    st.integers(-9, 9).map(str),
    st.text("ab #[]{}=.'", max_size=6).map(lambda t: f'"{t}"'),
    st.text('ab #[]{}=."\n\\', max_size=6).map(lambda t: f"'''{t}x'''"),
    st.just("[\n1,\n# ]\n2]"),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.dictionaries(_keys, _values, max_size=6), st.dictionaries(_keys, _values, max_size=4))
def test_the_scan_sees_the_keys_that_the_parser_sees(top, inner):
    text = "".join(f"{k} = {v}\n" for k, v in top.items()) + "[ 'the table' ]\n" + "".join(f"{k}={v} # {k}\n" for k, v in inner.items())
    table = tomllib.loads(text)
    seen = {mark.key: mark.line for mark in marks(text)}
    expected = {(k,) for k in table if k != "the table"} | {("the table",)} | {("the table", k) for k in table["the table"]}
    assert set(seen) == expected
    lines = text.split("\n")
    assert all(lines[line - 1].lstrip("[ '").startswith(key[-1]) for key, line in seen.items())


@settings(max_examples=200, deadline=None, derandomize=True)
@given(st.text("ab=.[]{}\"'#\n\\ ", max_size=60))
def test_the_scan_ends_on_any_text(text):
    assert all(1 <= mark.line <= text.count("\n") + 1 for mark in marks(text))
