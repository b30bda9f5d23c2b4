"""What commands print: problems with their place and line, never a secret, never a control character."""

from __future__ import annotations

import contextlib
import io
import json

import pytest

from gateway.cli.output import plural, print_json, print_problems, print_table, print_ticks, printable, problem_json, shown_line
from gateway.errors import Problem

SECRET = "hunter2-Zq81"


def show(problem: Problem) -> str:
    stream = io.StringIO()
    print_problems([problem], stream)
    return stream.getvalue()


def test_a_problem_shows_place_line_code_and_remedy(tmp_path):
    file = tmp_path / "gateway.toml"
    file.write_text('schema = 1\nname = "my gateway"\n')
    shown = show(Problem("bad_name", "is not a name", file=str(file), line=2, key="gateway.name", remedy="use a-z"))
    assert shown == f'{file}:2: gateway.name: is not a name  [bad_name]\n     2 | name = "my gateway"\n       = use a-z\n'


def test_a_problem_without_a_place_is_shown_all_the_same():
    assert show(Problem("x", "is wrong")) == "is wrong  [x]\n"
    assert show(Problem("x", "is wrong", file="/nowhere", line=3)) == "/nowhere:3: is wrong  [x]\n"


@pytest.mark.parametrize(
    "line",
    [
        f'secret = "{SECRET}"',
        f"secret = {SECRET}",
        f'  "api-key"="{SECRET}"',
        f"PASSWORD = '{SECRET}'",
        f'format = "Bearer {SECRET}"',
        f'url = "https://me:{SECRET}@host/"',
        f'comment = "https://me:{SECRET}@host/"',
        f'credential = "{SECRET}"',
        'anything = "sk-live-4eC39HqLyjWDarjtT1zdp7dc"',
        "  continued sk-live-4eC39HqLyjWDarjtT1zdp7dc",
    ],
)
def test_a_line_never_shows_what_may_be_a_secret(tmp_path, line):
    file = tmp_path / "f.toml"
    file.write_text(line + "\n")
    shown, cells = shown_line(str(file), 1, 8)
    assert cells < len(shown)
    assert SECRET not in shown
    assert "sk-live" not in shown


@pytest.mark.parametrize(
    "line", ['secret = "env:CRM_KEY"', 'secret = "file:var/secrets/crm.key"  # here', 'url = "https://crm.example.com/v1"', "risk = 'hihg'", "[tool.crm]", "token_cache_entries_max = 0"]
)  # fmt: skip
def test_a_line_without_a_secret_is_shown_as_it_stands(tmp_path, line):
    file = tmp_path / "f.toml"
    file.write_text(f"\n{line}\n")
    assert shown_line(str(file), 2) == (line, -1)


def test_lines_outside_the_file_are_not_shown(tmp_path):
    file = tmp_path / "f.toml"
    file.write_text("a\n")
    assert [shown_line(str(file), n)[0] for n in (-1, 0, 3)] == ["", "", ""]


def test_a_file_cannot_move_the_cursor(tmp_path):
    file = tmp_path / "f.toml"
    file.write_text('risk = "\x1b[2J\u202e"\n')
    shown = show(Problem("x", "\x1b]0;title\x07", file=str(file), line=1, key="\x1b[A", remedy="\x9b2J"))
    assert not set("\x1b\x07\x9b\u202e") & set(shown)
    assert printable("a\nb") == "a\ufffdb"


def test_a_long_line_is_cut(tmp_path):
    file = tmp_path / "f.toml"
    file.write_text("risk = '" + "ab " * 200 + "'")
    assert len(shown_line(str(file), 1)[0]) < 170


def test_a_caret_stands_under_the_column(tmp_path):
    file = tmp_path / "a.cedar"
    file.write_text("\t名前 x\n" + "ab " * 200 + "here" + " cd" * 200 + "\n")
    shown = show(Problem("bad", "is wrong", file=str(file), line=1, column=5, remedy="write y"))
    assert shown == f"{file}:1:5: is wrong  [bad]\n     1 |     名前 x\n       |          ^\n       = write y\n"
    line, cells = shown_line(str(file), 2, 601)
    assert line[cells : cells + 4] == "here"
    assert len(line) < 170


def test_a_caret_never_stands_under_something_else(tmp_path):
    file = tmp_path / "f.toml"
    file.write_text(f'secret = "{SECRET}" # x\nshort\n')
    assert "^" not in show(Problem("bad", "is wrong", file=str(file), line=1, column=20))
    assert "^" not in show(Problem("bad", "is wrong", file=str(file), line=2))


def test_json_tells_the_column():
    assert problem_json(Problem("bad", "is wrong", file="f", line=2, column=3))["column"] == 3


def test_a_table_has_straight_columns(capsys):
    print_table(("name", "n"), [("a", "1"), ("名前", "22")])
    assert capsys.readouterr().out == "name  n\na     1\n名前  22\n"


def test_a_tick_list_says_what_failed_and_what_was_not_looked_at(capsys):
    print_ticks([(True, "a", "fine"), (False, "b", "1 problem"), (None, "c", "not looked at")])
    assert [line.split()[:2] for line in capsys.readouterr().out.splitlines()] == [["ok", "a"], ["FAILED", "b"], ["-", "c"]]


def test_counts_read_well():
    assert [plural(n, w) for n, w in ((0, "rule"), (1, "rule"), (2, "policy"), (1234, "tool"))] == ["0 rules", "1 rule", "2 policies", "1,234 tools"]


def test_json_moves_no_cursor_and_says_the_same(capsys):
    value = {"a": "é\u009b2J\u202e\u2028\U000e0001\n"}
    print_json(value)
    printed = capsys.readouterr().out
    assert [c for c in printed if c != "\n" and not c.isprintable()] == []
    assert "é" in printed
    assert json.loads(printed) == value


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_table_wider_than_the_terminal_goes_on_in_further_lines(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    rows = [("support-deletes-with-approval", "permit", "when context.input.amount < 5"), ("x", "forbid", "no condition")]
    with contextlib.redirect_stdout(Terminal()) as narrow:
        print_table(("policy", "effect", "condition"), rows)
    assert narrow.getvalue().splitlines() == [
        "policy           effect  condition",
        "support-         permit  when context.",
        "deletes-with-            input.amount <",
        "approval                 5",
        "x                forbid  no condition",
    ]
    monkeypatch.setenv("COLUMNS", "80")
    for stream in (Terminal(), io.StringIO()):
        with contextlib.redirect_stdout(stream):
            print_table(("policy", "effect", "condition"), rows)
        assert len(stream.getvalue().splitlines()) == 3
    monkeypatch.setenv("COLUMNS", "40")
    with contextlib.redirect_stdout(io.StringIO()) as pipe:
        print_table(("policy", "effect", "condition"), rows)
    assert "support-deletes-with-approval  permit  when context.input.amount < 5\n" in pipe.getvalue()


def test_a_table_of_many_columns_keeps_words_to_read_however_narrow_the_terminal(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("NO_COLOR", "1")
    with contextlib.redirect_stdout(Terminal()) as narrow:
        print_table(("a", "b", "c"), [("long enough to be cut", "\u540d\u524d" * 4 + " x", "x" * 25)])
    assert narrow.getvalue().splitlines()[1:] == [
        "long enough   \u540d\u524d\u540d\u524d\u540d\u524d  xxxxxxxxxxxx",
        "to be cut     \u540d\u524d x        xxxxxxxxxxxx",
        "                            x",
    ]
