from __future__ import annotations

from gateway.cli.progress import progress


def test_where_there_is_no_terminal_nothing_is_shown(capsys):
    with progress("reading", 3) as show:
        show(1)
        show(3)
    assert capsys.readouterr() == ("", "")
