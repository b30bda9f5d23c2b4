"""The cookbook keeps its word: every recipe loads, its cases come out, no forbid can be turned off, and nothing in it is untested."""

from __future__ import annotations

import re
import shutil

import pytest

from gateway.cli.policy_deployment import Deployment

from .sample import ROOT, copy_sample, run

COOKBOOK = ROOT / "policies" / "cookbook"
RECIPES = sorted(path.stem for path in COOKBOOK.glob("*.cedar"))


@pytest.mark.parametrize("words", [("check",), ("test",), ("confuse",), ("coverage", "--fail-under", 100)], ids=lambda words: words[0])
def test_the_whole_cookbook_passes(words):
    done = run(words[0], "-C", COOKBOOK, *words[1:])
    assert done.exit_code == 0, done.output


def test_the_sample_and_its_cookbook_are_laid_out_as_fmt_does():
    done = run("fmt", "--check", ROOT / "policies")
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_has_cases_that_its_own_policies_allow_and_deny(recipe):
    ids = re.findall(r'^@id\("([^"]+)"\)', (COOKBOOK / f"{recipe}.cedar").read_text(), re.MULTILINE)
    cases = (COOKBOOK / "cases" / f"{recipe}.json").read_text()
    assert [name for name in ids if f'"{name}"' not in cases] == []
    assert '"decision": "allow"' in cases
    assert '"decision": "deny"' in cases


def test_the_page_names_every_recipe():
    assert re.findall(r"^\| \[([^\]]+)\]", (COOKBOOK / "README.md").read_text(), re.MULTILINE) == RECIPES
    assert len(RECIPES) >= 12


def test_what_lies_in_the_cookbook_is_not_in_force_around_it(tmp_path):
    copy_sample(tmp_path)
    ids = {policy.id for policy in Deployment.read(tmp_path).bundle().library.policies}
    assert not any(name.startswith(("payments-", "break-glass-")) for name in ids)


def test_a_recipe_works_where_it_is_copied_to(tmp_path):
    copy_sample(tmp_path)
    for name in ("11-delegation-depth.cedar", "12-proof-of-possession.cedar"):
        shutil.copy(COOKBOOK / name, tmp_path / "policies" / name)
    ids = {policy.id for policy in Deployment.read(tmp_path).bundle().library.policies}
    assert {"delegation-two-at-most", "high-risk-needs-proof"} <= ids
