from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from gateway.authorize import load_bundle
from gateway.call import Deny, Permit
from gateway.canonical import dumps
from gateway.errors import Problems

from .world import OPERATIONS, PERMIT_ALL, TOOLS, agent, ask, identities, load, operation

SAMPLE = Path(__file__).resolve().parents[2] / "policies"


def faults(folder, text=None, **files):
    with pytest.raises(Problems) as caught:
        load(folder, text, **files)
    return caught.value.problems


def case(name, arguments, **expect):
    return {"name": name, "call": {"agent": "support-bot", "tool": "tickets", "operation": "get_ticket", "arguments": arguments}, "expect": expect}


def test_files_are_read_in_the_order_of_their_names_and_below_folders(tmp_path):
    folder = tmp_path / "policies"
    (folder / "team").mkdir(parents=True)
    (folder / "cases").mkdir()
    (folder / "cases" / "no.cedar").write_text("this is not read")
    (folder / "team" / "a.cedar").write_text('@id("three") permit (principal, action in Action::"read", resource);')
    bundle = load(folder, b='@id("two") permit (principal, action in Action::"read", resource);', a=PERMIT_ALL)
    assert [(p.id, p.piece.file) for p in bundle.library.policies] == [
        ("all", str(folder / "a.cedar")),
        ("two", str(folder / "b.cedar")),
        ("three", str(folder / "team" / "a.cedar")),
    ]


def test_the_digest_covers_names_order_and_bytes(tmp_path):
    digests = {
        load(tmp_path / "1", a=PERMIT_ALL).digest,
        load(tmp_path / "2", b=PERMIT_ALL).digest,
        load(tmp_path / "3", a=PERMIT_ALL + " ").digest,
    }
    assert len(digests) == 3
    assert load(tmp_path / "4", a=PERMIT_ALL).digest in digests


def test_every_finding_of_a_step_is_reported_with_its_place(tmp_path):
    text = """@id("typo-op") permit (principal, action == Action::"tickets/get_tiket", resource);
@id("optional") permit (principal, action == Action::"tickets/list_tickets", resource) when { context.input.status == "open" };
@id("type") permit (principal, action == Action::"tickets/create_refund", resource) when { context.input.amount > 50 };
@id("misspelt") // statsu
forbid (principal, action == Action::"tickets/list_tickets", resource) when { context.input has statsu && context.input.statsu == "x" };
@id("entity") permit (principal == Person::"x", action in Action::"read", resource);
@id("template") permit (principal == ?principal, action in Action::"read", resource);
@id("constant") forbid (principal, action == Action::"tickets/list_tickets", resource) when { context.delegation_depth > 1 && false };
"""
    found = faults(tmp_path / "policies", text)
    assert {p.line for p in found} == {1, 2, 3, 5, 6, 7, 8}
    assert {(p.line, p.code) for p in found} >= {
        (1, "policy_invalid"),
        (2, "policy_invalid"),
        (3, "policy_invalid"),
        (5, "unknown_argument"),
        (6, "policy_invalid"),
        (7, "policy_syntax"),
        (8, "policy_never_applies"),
    }
    assert all(p.file == str(tmp_path / "policies" / "rules.cedar") and p.remedy for p in found)


def test_annotations_are_a_closed_vocabulary(tmp_path):
    read = 'permit (principal, action in Action::"read", resource);'
    text = f"""{read}
@id("a") {read}
@id("a") {read}
@id("Not A Name") {read}
@id("b") @onwer("x") {read}
@id("c") @mode("maybe") {read}
@id("d") @require_approval("x") forbid (principal, action in Action::"write", resource);
@id("e") @approval_ttl("5m") {read}
@id("f") @require_approval("x") @approval_ttl("5 minutes") {read}
@id("g") @expires("soon") {read}
@id("h") @redact("/x") {read}
@id("i") @message("two
lines") {read}
"""
    found = [(p.line, p.code) for p in faults(tmp_path / "policies", text)]
    assert found == [
        (1, "policy_without_id"),
        (3, "policy_id_twice"),
        (4, "annotation_malformed"),
        (5, "annotation_unknown"),
        (6, "annotation_malformed"),
        (7, "annotation_misplaced"),
        (8, "annotation_misplaced"),
        (9, "annotation_malformed"),
        (10, "annotation_malformed"),
        (11, "unknown_argument"),
        (12, "annotation_malformed"),
    ]


def test_names_that_nothing_has_are_found(tmp_path):
    text = """@id("a") forbid (principal, action, resource == Tool::"tikets");
@id("b") forbid (principal, action, resource in ToolGroup::"nowhere");
@id("c") forbid (principal, action in Action::"read", resource) when { (context has inptu && context.inptu.x) || context.delegation_depth > 5 };
"""
    found = faults(tmp_path / "policies", text)
    assert [(p.line, p.code) for p in found] == [(1, "unknown_tool"), (2, "unknown_tool_group"), (3, "unknown_argument")]
    assert "tickets" in found[0].remedy
    assert "input" in found[2].remedy


def test_an_agent_that_is_gone_warns_and_does_not_block(tmp_path):
    text = (
        PERMIT_ALL
        + '@id("b") forbid (principal == Agent::"gone", action, resource);@id("c") forbid (principal in AgentGroup::"empty", action, resource);'
    )
    assert [w.code for w in load(tmp_path / "policies", text).warnings] == ["unknown_agent", "unknown_agent_group"]


def test_a_permit_for_everything_warns(tmp_path):
    assert [w.code for w in load(tmp_path / "policies", '@id("a") permit (principal, action, resource);').warnings] == ["permit_without_scope"]


def test_an_expired_policy_warns_on_the_day_given_and_still_applies(tmp_path):
    folder = tmp_path / "policies"
    load(folder, '@id("a") @expires("2026-01-31") permit (principal, action in Action::"read", resource);')
    for day, codes in ((dt.date(2026, 1, 31), []), (dt.date(2026, 2, 1), ["policy_expired"])):
        bundle = load_bundle(folder, OPERATIONS, TOOLS, identities(), today=day)
        assert [w.code for w in bundle.warnings] == codes
        assert isinstance(ask(bundle, "tickets/list_tickets"), Permit)


def test_a_bundle_whose_cases_fail_does_not_load(tmp_path):
    folder = tmp_path / "policies"
    (folder / "cases").mkdir(parents=True)
    good = case("may read", {"ticket_id": "1"}, decision="allow", reasons=["all"])
    bad = case("may not", {"ticket_id": "1"}, decision="deny")
    (folder / "cases" / "a.json").write_bytes(b'{"cases": [\n' + dumps(good) + b"]}")
    assert load(folder, PERMIT_ALL).policy_count == 1
    (folder / "cases" / "a.json").write_bytes(b'{"cases": [\n' + dumps(good) + b",\n" + dumps(bad) + b"]}")
    found = faults(folder)
    assert [(p.code, p.file, p.line) for p in found] == [("case_failed", str(folder / "cases" / "a.json"), 3)]
    assert "decision is 'allow' (by all), expected 'deny'" in found[0].message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"case": []}',
        '{"cases": [{}]}',
        '{"cases": [{"name": "x", "call": {}, "expect": {"decision": "allow"}}]}',
        '{"cases": [], "cases": []}',
    ],
)
def test_a_malformed_case_file_does_not_load(tmp_path, text):
    folder = tmp_path / "policies"
    (folder / "cases").mkdir(parents=True)
    (folder / "cases" / "a.json").write_text(text)
    assert [p.code for p in faults(folder, PERMIT_ALL)] == ["case_malformed"]


def test_what_the_security_team_declares_is_joined_and_cannot_replace_what_is_generated(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "schema.cedarschema").write_text(
        'entity Region;\naction "custom/op" in [Action::"read"] appliesTo { principal: [Agent], resource: [Tool] };'
    )
    bundle = load(folder, PERMIT_ALL + '@id("r") permit (principal, action in [Action::"custom/op", Action::"tickets/get_ticket"], resource);')
    assert isinstance(ask(bundle, "tickets/get_ticket", {"ticket_id": "1"}), Permit)
    (folder / "schema.cedarschema").write_text("entity Agent;")
    assert [(p.code, p.file) for p in faults(folder)] == [("schema_invalid", str(folder / "schema.cedarschema"))]
    (folder / "schema.cedarschema").write_text("entity ((((")
    assert [p.code for p in faults(folder)] == ["schema_invalid"]


def test_a_file_that_is_no_text_or_no_folder_at_all_is_a_problem(tmp_path):
    folder = tmp_path / "policies"
    with pytest.raises(Problems) as caught:
        load_bundle(folder, OPERATIONS, TOOLS, identities())
    assert caught.value.problems[0].code == "policies_missing"
    folder.mkdir()
    (folder / "a.cedar").write_bytes(b"\xff")
    (folder / "b.cedar").write_bytes(b"// \xc3\xa9 and \xe9\n")
    assert [(p.code, p.place) for p in faults(folder)] == [
        ("policy_not_utf8", f"{folder}/a.cedar:1:1"),
        ("policy_not_utf8", f"{folder}/b.cedar:1:10"),
    ]
    (folder / "b.cedar").unlink()
    (folder / "a.cedar").rename(folder / "schema.cedarschema")
    assert [(p.code, p.place) for p in faults(folder)] == [("policy_not_utf8", f"{folder}/schema.cedarschema:1:1")]


@pytest.mark.parametrize("name", ["__extn", "__entity", "__expr"])
def test_a_contract_with_a_reserved_argument_name_does_not_load(tmp_path, name):
    deep = {"o": {"type": "object", "properties": {name: {"type": "string"}}, "additionalProperties": False}}
    for properties in ({name: {"type": "string"}}, deep):
        (tmp_path / "policies").mkdir(exist_ok=True)
        with pytest.raises(Problems) as caught:
            load_bundle(tmp_path / "policies", [operation("op", properties)], TOOLS, identities())
        assert [p.code for p in caught.value.problems] == ["contract_untypable"]


@pytest.mark.parametrize(
    ("agents", "code"),
    [
        ([agent("a", level=1), agent("b", level="high")], "attribute_type"),
        ([agent("a", level=1), agent("b", level=True)], "attribute_type"),
        ([agent("a", level=2**63)], "attribute_range"),
    ],
)
def test_agents_that_disagree_about_an_attribute_do_not_load(tmp_path, agents, code):
    (tmp_path / "policies").mkdir()
    with pytest.raises(Problems) as caught:
        load_bundle(tmp_path / "policies", OPERATIONS, TOOLS, identities(agents))
    assert [p.code for p in caught.value.problems] == [code]


def test_no_policies_at_all_deny_everything(tmp_path):
    assert isinstance(ask(load(tmp_path / "policies"), "tickets/list_tickets"), Deny)


def test_the_sample_has_cases_for_every_policy():
    words = "".join(path.read_text() for path in (SAMPLE / "cases").glob("*.json"))
    names = [line.split('"')[1] for path in SAMPLE.glob("*.cedar") for line in path.read_text().splitlines() if line.startswith("@id(")]
    assert names
    assert [name for name in names if f'"{name}"' not in words] == []


def test_a_folder_below_that_is_a_deployment_of_its_own_is_not_read(tmp_path):
    nested = tmp_path / "policies" / "team" / "cookbook"
    (nested / "deep").mkdir(parents=True)
    for folder in (nested, nested / "deep"):
        (folder / "open.cedar").write_text(PERMIT_ALL.replace('"all"', f'"{folder.name}"'))
    (tmp_path / "policies" / "team" / "own.cedar").write_text(PERMIT_ALL.replace('"all"', '"own"'))
    (nested / "gateway.toml").write_text("schema = 1\n")
    assert set(load(tmp_path / "policies").library.by_id) == {"own"}
    assert set(load(nested).library.by_id) == {"cookbook", "deep"}
    (nested / "gateway.toml").unlink()
    assert set(load(tmp_path / "policies").library.by_id) == {"own", "cookbook", "deep"}


def test_a_file_whose_name_is_no_text_is_refused_and_not_a_crash(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / os.fsdecode(b"a\xff.cedar")).write_text(PERMIT_ALL)
    assert [problem.code for problem in faults(folder)] == ["policy_file_name"]


def test_a_declared_schema_that_nests_too_deep_has_a_place(tmp_path):
    folder = tmp_path / "policies"
    folder.mkdir()
    (folder / "schema.cedarschema").write_text("type T =\n" + "Set<" * 6_000)
    (found,) = faults(folder, PERMIT_ALL)
    assert (found.code, found.line, Path(found.file).name) == ("schema_too_deep", 2, "schema.cedarschema")


def test_a_source_that_would_be_passed_over_is_a_problem(tmp_path):
    """A forbid in such a file would silently do nothing, or the load would wait for ever."""
    folder = tmp_path / "policies"
    (tmp_path / "team").mkdir()
    (tmp_path / "team" / "a.cedar").write_text('@id("never") forbid (principal, action, resource);')
    load(folder, PERMIT_ALL)
    for code, make in (
        ("policy_folder_link", lambda: (folder / "team").symlink_to(tmp_path / "team")),
        ("policy_file_name", lambda: (folder / "team").write_text("") or (folder / "team").rename(folder / "x.Cedar")),
        ("policy_unreadable", lambda: os.mkfifo(folder / "pipe.cedar")),
    ):
        make()
        assert [p.code for p in faults(folder)] == [code]
        for path in ("team", "x.Cedar", "pipe.cedar"):
            (folder / path).unlink(missing_ok=True)
    (folder / ".hidden").symlink_to(tmp_path / "team")
    assert load(folder).policy_count == 1
