from __future__ import annotations

import json

import pytest

from gateway.authorize.engine import parse_schema
from gateway.cli.policy_schema import JSON, TEXT, schema
from gateway.errors import Problem
from tests.cli.sample import copy_sample, run


@pytest.fixture
def deployment(tmp_path):
    return copy_sample(tmp_path)


def test_the_schema_shows_what_an_operation_takes(deployment, capsys):
    schema(deployment, action="tickets/create_refund")
    text = capsys.readouterr().out
    assert "amount: decimal" in text
    assert "__cedar" not in text
    schema(deployment, as_json=True)
    assert "tickets/delete_ticket" in json.loads(capsys.readouterr().out)[""]["actions"]
    with pytest.raises(Problem, match="tickets/nothing"):
        schema(deployment, action="tickets/nothing")


def test_what_is_declared_besides_is_shown_too(deployment, capsys):
    (deployment / "policies/schema.cedarschema").write_text("entity Region;\n")
    schema(deployment)
    assert "entity Region;" in capsys.readouterr().out


def test_editors_get_the_schema_as_files_that_the_engine_reads(deployment, tmp_path):
    assert "cedar.schemaFile" in run("schema", "-C", deployment, "--write", tmp_path / "editor").stdout
    text, found = (tmp_path / "editor" / TEXT).read_text(), (tmp_path / "editor" / JSON).read_text()
    assert "amount: decimal" in str(parse_schema("{}", declared=text))
    assert "tickets/create_refund" in json.loads(found)[""]["actions"]
    assert str(parse_schema(found)).replace("__cedar::", "") == str(parse_schema("{}", declared=text)).replace("__cedar::", "")


def test_a_schema_with_a_declared_part_is_written_as_text_alone(deployment, tmp_path):
    for declared in ("", "entity Region;\n"):
        (deployment / "policies/schema.cedarschema").write_text(declared)
        run("schema", "-C", deployment, "--write", tmp_path / "editor")
        assert (tmp_path / "editor" / JSON).exists() == (not declared)
        assert ("entity Region;" in (tmp_path / "editor" / TEXT).read_text()) == bool(declared)


def test_one_operation_can_be_written_and_a_place_that_cannot_be_written_is_told(deployment, tmp_path):
    run("schema", "-C", deployment, "--action", "tickets/create_refund", "--write", tmp_path / "one")
    assert "tickets/delete_ticket" not in (tmp_path / "one" / TEXT).read_text()
    with pytest.raises(Problem, match="schema_not_written"):
        schema(deployment, write=deployment / "gateway.toml")
