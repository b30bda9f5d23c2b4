from __future__ import annotations

import shutil

import pytest

from gateway.cli.policy_deployment import Deployment
from gateway.errors import Problem, Problems

from .sample import copy_sample, run

REFUND = {"ticket_id": "T-1", "amount": 5, "currency": "EUR", "reason": "broken"}
OPTIONAL_BODY = """
openapi: 3.1.0
info: {title: Notes, version: "1"}
paths:
  /notes/{id}:
    put:
      operationId: note
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      requestBody:
        required: false
        content:
          application/json:
            schema:
              type: object
              properties: {text: {type: string}, colour: {type: string}}
              required: [text]
              additionalProperties: false
      responses: {"200": {description: ok}}
"""


def operation(deployment, name):
    return next(o for o in deployment.operations if o.action == name)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [({}, ""), ({"amount": "5"}, "/amount"), ({"amount": 0.001}, "/amount"), ({"more": 1}, "/more"), ({"currency": None}, "/currency")],
)
def test_arguments_are_held_to_the_contract(tmp_path, change, pointer):
    deployment = Deployment.read(copy_sample(tmp_path))
    assert deployment.violation(operation(deployment, "tickets/create_refund"), REFUND | change).partition(" ")[0] == pointer


def test_what_an_optional_body_must_hold_must_be_there_when_the_body_is(tmp_path):
    folder = copy_sample(tmp_path)
    (folder / "tools/tickets.openapi.yaml").write_text(OPTIONAL_BODY)
    deployment = Deployment.read(folder)
    note = operation(deployment, "tickets/note")
    assert deployment.violation(note, {"id": "1"}) == ""
    assert deployment.violation(note, {"id": "1", "text": "a"}) == ""
    assert deployment.violation(note, {"id": "1", "colour": "red"}) == "/text is required"


def test_a_tool_without_contract_has_nothing_to_hold_to(tmp_path):
    deployment = Deployment.read(copy_sample(tmp_path))
    assert deployment.violation(operation(deployment, "flaky/read"), {"any": 1}) == ""


def test_a_folder_without_a_deployment_is_a_problem(tmp_path):
    with pytest.raises((Problem, Problems)):
        Deployment.read(tmp_path)


def test_a_candidate_folder_takes_the_place_of_the_policies_in_every_command_that_looks_at_policies(tmp_path):
    copy_sample(tmp_path)
    shutil.copytree(tmp_path / "policies", tmp_path / "next")
    (tmp_path / "next" / "99-more.cedar").write_text('@id("more") @owner("us") forbid (principal, action == Action::"tickets/export", resource);\n')
    assert run("check", "-C", tmp_path).exit_code == run("test", "-C", tmp_path).exit_code == 0
    done = run("check", "-C", tmp_path, "--candidate", tmp_path / "next")
    assert (done.exit_code, "an auditor exports tickets" in done.stderr) == (1, True)
    assert "an auditor exports tickets" in run("test", "-C", tmp_path, "--candidate", tmp_path / "next").stderr
    assert "more" in run("confuse", "-C", tmp_path, "--candidate", tmp_path / "next").stdout
    assert "more" in run("coverage", "-C", tmp_path, "--candidate", tmp_path / "next").stdout
    assert "13 policies" in run("lint", "-C", tmp_path, "--candidate", tmp_path / "next").stdout
