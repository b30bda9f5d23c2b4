"""One TOML file: its table, the line of each key, and faults that never quote a value."""

from __future__ import annotations

import pytest

from gateway.config.source import read_source
from gateway.errors import Problem


def test_a_key_that_is_not_written_has_the_line_of_the_table_around_it(tmp_path):
    path = tmp_path / "a.toml"
    path.write_text("\n[tool.crm]\nurl = 'x'\n")
    found = read_source(path)
    assert found.table == {"tool": {"crm": {"url": "x"}}}
    assert [found.line(key) for key in (("tool", "crm", "url"), ("tool", "crm", "risk"), ("log",))] == [3, 2, 0]


def test_what_cannot_be_read_is_a_problem(tmp_path):
    for path in (tmp_path, tmp_path / "missing.toml"):
        with pytest.raises(Problem) as caught:
            read_source(path)
        assert (caught.value.code, caught.value.file) == ("unreadable_file", str(path))
        assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "line"), [("a = 1\nb = hunter2\n", 2), ("a = 1\n\nb = 'hunter2\n", 3), ("a = [\n'hunter2',\n", 2), ("hunter2\n", 1)]
)
def test_a_fault_of_the_syntax_has_its_line_and_quotes_nothing(tmp_path, text, line):
    path = tmp_path / "a.toml"
    path.write_text(text)
    with pytest.raises(Problem) as caught:
        read_source(path)
    assert (caught.value.code, caught.value.line) == ("toml_syntax", line)
    assert "hunter2" not in str(caught.value)


def test_a_byte_order_mark_is_not_toml(tmp_path):
    path = tmp_path / "a.toml"
    path.write_bytes(b"\xef\xbb\xbfa = 1\n")
    with pytest.raises(Problem):
        read_source(path)
