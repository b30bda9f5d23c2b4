"""`portreeve policy conformance` on small cases of our own."""

from __future__ import annotations

import json

import pytest
import typer

from gateway.cli.conformance import conformance
from tests.authorize.test_conformance import RIGHT, request, write


def test_agreement_is_said_with_what_was_compared(tmp_path, capsys):
    write(tmp_path)
    conformance(tmp_path)
    assert capsys.readouterr().out == "1 case, 7 requests (7 with a slice of the policies), 1 validation: all agree\n"
    conformance(tmp_path, as_json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["ok"]
    assert (found["cases"], found["requests"], found["problems"]) == (1, 7, [])


def test_a_disagreement_names_its_case_and_fails_the_command(tmp_path, capsys):
    path = write(tmp_path, [*RIGHT, request("bob", "read", "allow")])
    with pytest.raises(typer.Exit) as caught:
        conformance(tmp_path)
    assert caught.value.exit_code == 1
    found = capsys.readouterr()
    assert str(path) in found.err
    assert "request 7: expected allow" in found.err
    assert found.out.endswith("1 problem\n")
    with pytest.raises(typer.Exit):
        conformance(tmp_path, as_json=True)
    assert [p["file"] for p in json.loads(capsys.readouterr().out)["problems"]] == [str(path)]


def test_many_disagreements_are_cut_for_people_and_whole_for_machines(tmp_path, capsys):
    write(tmp_path, [request("bob", "read", "allow")] * 30)
    with pytest.raises(typer.Exit):
        conformance(tmp_path)
    assert "and 10 more" in capsys.readouterr().out
    with pytest.raises(typer.Exit):
        conformance(tmp_path, as_json=True)
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 30


def test_a_case_that_cannot_be_read_and_a_folder_without_cases_fail(tmp_path, capsys):
    with pytest.raises(typer.Exit):
        conformance(tmp_path)
    assert "conformance_empty" in capsys.readouterr().err
    write(tmp_path, policies="permit (")
    with pytest.raises(typer.Exit):
        conformance(tmp_path)
    assert "policy_not_closed" in capsys.readouterr().err
