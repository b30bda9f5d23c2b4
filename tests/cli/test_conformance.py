"""`portreeve policy conformance` on small cases of our own."""

from __future__ import annotations

import json
import shutil
import tarfile

import pytest
import typer

from gateway.cli.conformance import conformance
from gateway.errors import Problem
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


def pack(corpus, into, name="corpus-tests"):
    """The corpus as one flat folder in an archive, as the official one is packed."""
    with tarfile.open(into / f"{name}.tar.gz", "w:gz") as archive:
        for path in (*sorted((corpus / "data").iterdir()), corpus / "tests" / "case.json"):
            archive.add(path, f"{'data' if path.parent.name == 'data' else name}/{path.name}")
    return into / f"{name}.tar.gz"


def test_an_archive_is_unpacked_for_as_long_as_it_takes_by_name_or_where_it_lies(tmp_path, capsys):
    (tmp_path / "root").mkdir()
    write(tmp_path / "made")
    archive = pack(tmp_path / "made", tmp_path / "root")
    for named in (archive, tmp_path / "root"):
        conformance(named)
        assert "1 case, 7 requests" in capsys.readouterr().out
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["corpus-tests.tar.gz"]
    write(tmp_path / "root")
    (tmp_path / "root" / "corpus-tests").mkdir()
    conformance(tmp_path / "root")
    assert "1 case, 7 requests" in capsys.readouterr().out


def test_what_is_wrong_in_an_archive_is_named_as_if_it_were_unpacked_there(tmp_path, capsys):
    write(tmp_path / "made", [*RIGHT, request("bob", "read", "allow")])
    pack(tmp_path / "made", tmp_path)
    with pytest.raises(typer.Exit):
        conformance(tmp_path / "corpus-tests.tar.gz", as_json=True)
    assert {p["file"] for p in json.loads(capsys.readouterr().out)["problems"]} == {str(tmp_path / "corpus-tests/case.json")}


def test_an_archive_that_is_none_or_reaches_outside_is_a_problem(tmp_path):
    (tmp_path / "x.tar.gz").write_bytes(b"no archive")
    with pytest.raises(Problem, match="no archive of cases"):
        conformance(tmp_path / "x.tar.gz")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("../outside.json"))
    with pytest.raises(Problem, match="outside the destination"):
        conformance(tmp_path)
    assert not (tmp_path.parent / "outside.json").exists()


def test_one_case_by_itself_and_a_folder_under_another_name_are_looked_at(tmp_path, capsys):
    path = write(tmp_path / "made")
    conformance(path)
    assert "1 case, 7 requests" in capsys.readouterr().out
    flat = tmp_path / "renamed"
    flat.mkdir()
    for file in (path, *(tmp_path / "made/data").iterdir()):
        shutil.copy(file, flat)
    conformance(flat)
    assert "1 case, 7 requests" in capsys.readouterr().out
    (flat / "p.cedar").unlink()
    with pytest.raises(typer.Exit):
        conformance(flat)
    assert "data/p.cedar is not there" in capsys.readouterr().err


def test_a_folder_that_does_not_exist_is_said_to_be_none(tmp_path, capsys):
    with pytest.raises(typer.Exit):
        conformance(tmp_path / "nowhere")
    assert "there is no such folder" in capsys.readouterr().err
