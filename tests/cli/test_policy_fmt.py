"""`portreeve policy fmt` on a copy of the sample deployment."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from gateway.cli.policy import app

from .sample import copy_sample, run

UGLY = '// why\n@id("x") permit(principal,action==Action::"tickets/get_ticket",resource); // beside\n'
NEAT = '// why\n@id("x")\npermit (\n    principal,\n    action == Action::"tickets/get_ticket",\n    resource\n); // beside\n'


@pytest.fixture
def deployment(tmp_path):
    copy_sample(tmp_path)
    assert run("fmt", "-C", tmp_path).exit_code == 0
    (tmp_path / "policies/70-new.cedar").write_text(UGLY)
    return tmp_path


def test_files_are_laid_out_in_place_and_keep_their_permissions(deployment):
    file = deployment / "policies/70-new.cedar"
    file.chmod(0o640)
    done = run("fmt", "-C", deployment)
    assert done.exit_code == 0
    assert " files, 1 laid out, " in done.stdout
    assert file.read_text() == NEAT
    assert file.stat().st_mode & 0o777 == 0o640
    assert sorted(p.name for p in file.parent.glob(".*")) == []
    assert "0 laid out" in run("fmt", "-C", deployment).stdout


@pytest.mark.parametrize("option", ["--check", "--diff"])
def test_a_pipeline_learns_of_it_and_nothing_is_written(deployment, option):
    done = run("fmt", option, "-C", deployment)
    assert done.exit_code == 1
    assert "would change" in done.stdout
    assert ('-@id("x") permit(principal' in done.stdout) is (option == "--diff")
    assert (deployment / "policies/70-new.cedar").read_text() == UGLY
    assert run("fmt", option, deployment / "policies/20-support.cedar").exit_code == 0


def test_a_file_that_is_not_cedar_is_told_and_does_not_keep_others_from_it(deployment):
    broken = deployment / "policies/80-broken.cedar"
    broken.write_text("permt (principal, action, resource);")
    done = run("fmt", "-C", deployment)
    assert done.exit_code == 1
    assert "80-broken.cedar:1:1: invalid policy effect: permt" in done.stderr
    assert "did you mean 'permit'?" in done.stderr
    assert broken.read_text().startswith("permt")
    assert (deployment / "policies/70-new.cedar").read_text() == NEAT
    found = json.loads(run("fmt", broken, "--json").stdout)
    assert (found["ok"], [p["column"] for p in found["problems"]]) == (False, [1])


def test_standard_input_goes_to_standard_output():
    assert CliRunner().invoke(app, ["fmt", "-"], input=UGLY).stdout == NEAT
    assert CliRunner().invoke(app, ["fmt", "-", "--check"], input=UGLY).exit_code == 1
    assert CliRunner().invoke(app, ["fmt", "-", "--check"], input=NEAT).exit_code == 0


def test_a_link_stays_a_link(deployment):
    real = deployment / "elsewhere.cedar"
    real.write_text(UGLY)
    link = deployment / "policies/70-new.cedar"
    link.unlink()
    link.symlink_to(real)
    assert run("fmt", "-C", deployment).exit_code == 0
    assert link.is_symlink()
    assert real.read_text() == NEAT
