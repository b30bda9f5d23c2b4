"""Cases in the shape of Cedar's integration tests, and what is said when one does not agree."""

from __future__ import annotations

import json

import pytest

from gateway.authorize.conformance import case_files, read_case, run_case
from gateway.authorize.slices import Index
from gateway.errors import Problem

SCHEMA = """
entity Team;
entity User in [Team] = { level?: Long };
entity File;
action "écrire\\n", change;
action read, write in [change] appliesTo { principal: [User], resource: [File], context: { ip?: ipaddr } };
action speak in ["écrire\\n"] appliesTo { principal: [User], resource: [File] };
"""
POLICIES = """
permit (principal in Team::"staff", action == Action::"read", resource);
permit (principal == User::"ann", action in [Action::"change"], resource) when { context has ip && context.ip.isInRange(ip("10.0.0.0/8")) };
forbid (principal is User, action == Action::"write", resource == File::"plans") when { principal.level < 3 };
permit (principal, action in Action::"\\u{e9}crire\\n", resource);
"""
ENTITIES = [
    {"uid": {"type": "User", "id": "ann"}, "attrs": {"level": 5}, "parents": [{"type": "Team", "id": "staff"}]},
    {"uid": {"__entity": {"type": "User", "id": "bob"}}, "attrs": {}, "parents": []},
    {"uid": {"type": "Team", "id": "staff"}, "attrs": {}, "parents": []},
    {"uid": {"type": "File", "id": "plans"}, "attrs": {}, "parents": []},
]
AT_HOME = {"ip": {"__extn": {"fn": "ip", "arg": "10.1.2.3"}}}


def request(who, what, decision, reason=(), errors=(), context=None, **more):
    found = {"principal": {"type": "User", "id": who}, "action": {"type": "Action", "id": what}, "resource": {"type": "File", "id": "plans"}}
    return {**found, "context": context or {}, "decision": decision, "reason": list(reason), "errors": list(errors), **more}


RIGHT = (
    request("ann", "read", "allow", ["policy0"]),
    request("bob", "read", "deny"),
    request("ann", "write", "Allow", ["policy1"], context=AT_HOME),
    request("ann", "write", "deny"),
    request("bob", "write", "deny", errors=["policy2"]),
    request("bob", "speak", "allow", ["policy3"]),
    request("bob", "read", "deny", context={"more": 1}, validateRequest=False),
)


def write(folder, requests=RIGHT, *, policies=POLICIES, valid=False, **more):
    files = {"policies": "p.cedar", "schema": "s.cedarschema", "entities": "e.entities.json"}
    (folder / "data").mkdir(parents=True, exist_ok=True)
    for name, text in (("policies", policies), ("schema", SCHEMA), ("entities", json.dumps(ENTITIES))):
        (folder / "data" / files[name]).write_text(text, encoding="utf-8")
    case = {**{name: f"data/{file}" for name, file in files.items()}, "shouldValidate": valid, "requests": list(requests), **more}
    path = folder / "tests" / "case.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(case))
    return path


def outcome(folder, *requests, make_index=Index, **more):
    case = read_case(write(folder, requests, **more), folder)
    assert case
    return run_case(case, make_index=make_index)


def test_right_answers_agree_sliced_and_whole(tmp_path):
    found = outcome(tmp_path, *RIGHT)
    assert found.disagreements == ()
    assert (found.requests, found.cut, found.validations) == (7, 7, 1)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (request("ann", "read", "deny", ["policy0"]), "expected deny, the engine says allow"),
        (request("ann", "read", "allow", ["policy1"]), "expected the reasons ['policy1'], found ['policy0']"),
        (request("ann", "read", "allow"), "expected the reasons [], found ['policy0']"),
        (request("bob", "write", "deny"), "expected errors of [], found ['policy2']"),
        (request("ann", "read", "allow", ["policy0"], ["policy2"]), "expected errors of ['policy2'], found []"),
        (request("bob", "read", "deny", context={"more": 1}), "expected deny, the engine says none"),
    ],
)
def test_a_wrong_answer_is_named_with_its_request(tmp_path, wrong, said):
    found = outcome(tmp_path, RIGHT[0], wrong)
    assert found.disagreements[0].startswith(f"request 1: {said}")


def test_a_slicer_that_loses_a_policy_is_found_out(tmp_path):
    class Forgetful(Index):
        def numbers(self, principal, action, resource):
            return super().numbers(principal, action, resource)[1:]

    found = outcome(tmp_path, RIGHT[0], make_index=Forgetful)
    assert found.disagreements == ("request 0: the slice answers deny because of [], all policies allow because of ['policy0']",)


def test_validation_is_compared(tmp_path):
    assert outcome(tmp_path, valid=True).disagreements == ("validation: expected passes, it fails",)
    good = 'permit (principal, action == Action::"read", resource);'
    assert outcome(tmp_path, policies=good, valid=True).disagreements == ()
    assert outcome(tmp_path, policies=good, valid=False).disagreements == ("validation: expected fails, it passes",)


def test_entities_that_the_engine_refuses_are_a_disagreement(tmp_path):
    path = write(tmp_path)
    (tmp_path / "data/e.entities.json").write_text('[{"uid": {"type": "Nobody", "id": "x"}, "attrs": {}, "parents": []}]')
    case = read_case(path, tmp_path)
    assert case
    assert "the engine refused it" in run_case(case).disagreements[0]


def test_paths_are_found_from_a_folder_within_the_corpus(tmp_path):
    path = write(tmp_path)
    assert case_files(tmp_path / "tests") == [path]
    assert read_case(path, tmp_path / "tests")


@pytest.mark.parametrize("name", ["/etc/hostname", "../secret.cedar", "tests/../../secret.cedar", 7])
def test_a_case_cannot_read_outside_its_corpus(tmp_path, name):
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (tmp_path / "secret.cedar").write_text("permit (principal, action, resource);")
    path = write(corpus, policies_from=name)
    path.write_text(json.dumps({**json.loads(path.read_text()), "policies": name}))
    with pytest.raises(Problem, match="below the root"):
        read_case(path, corpus)


def test_json_that_is_no_case_is_passed_over_and_a_broken_case_is_not(tmp_path):
    write(tmp_path)
    (tmp_path / "other.json").write_text("[1]")
    assert read_case(tmp_path / "other.json", tmp_path) is None
    for text in ("{", json.dumps({"policies": "x", "entities": "x", "schema": "x", "requests": [{}]})):
        (tmp_path / "other.json").write_text(text)
        with pytest.raises(Problem):
            read_case(tmp_path / "other.json", tmp_path)
    (tmp_path / "data/p.cedar").write_text("permit (principal, action, resource) when { 1 + };")
    with pytest.raises(Problem, match="cannot be read"):
        read_case(tmp_path / "tests/case.json", tmp_path)
