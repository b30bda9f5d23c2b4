from __future__ import annotations

import pytest

from gateway.cli.progress import progress


def test_where_there_is_no_terminal_nothing_is_shown(capsys):
    with progress("reading", 3, after_s=0) as show:
        show(1)
        show(3)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("total", "shown"), [(3, "2/3"), (None, "reading")])
def test_a_terminal_is_shown_how_far_long_work_has_come(capsys, monkeypatch, total, shown):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("reading", total, after_s=0) as show:
        show(2)
    found = capsys.readouterr()
    assert found.out == ""
    assert shown in found.err


def test_short_work_leaves_a_terminal_alone(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with progress("reading", 3, after_s=600) as show:
        show(3)
    assert capsys.readouterr() == ("", "")
