"""One test for each trap of the engine that was found by experiment. Each shows the trap itself where it can, and then that it is shut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from cedarpy import Entities, PolicySet, Schema, is_authorized
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.authorize import decide, recompute
from gateway.authorize.engine import Uid, parse_entities, parse_schema
from gateway.authorize.facts import derive
from gateway.authorize.listing import listed
from gateway.call import Deny, Facts, Invocation, Permit
from gateway.canonical import JsonError, dumps, loads
from gateway.cli.output import print_problems
from gateway.config.model import Limits
from gateway.errors import Problems

from .world import NOW_US, PERMIT_ALL, REFUND_OF, ask, identity, invocation, load, operation, quick

REQUEST = {"principal": {"type": "A", "id": "a"}, "action": {"type": "Action", "id": "x"}, "resource": {"type": "A", "id": "r"}}
BAD_REASON = (
    PERMIT_ALL + '@id("bad") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.reason == "bad" };\n'
)


def raw_decision(policies, context, entities="[]"):
    return is_authorized({**REQUEST, "context": context}, policies, entities).decision.value


def test_trap_1_a_forbid_that_errs_is_skipped_by_the_engine_and_denied_here():
    text = "permit (principal, action, resource); forbid (principal, action, resource) when { context.n * 4611686018427387904 > 0 };"
    assert raw_decision(text, {"n": 2}) == "Allow"
    bundle = quick(PERMIT_ALL + '@id("f") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };')
    assert ask(bundle, "tickets/list_tickets", facts=Facts(NOW_US, calls_last_minute=2)).code == "policy_error"


@pytest.mark.parametrize("hostile", [{"__extn": {"fn": "unknown", "arg": "a"}}, {"__entity": {"type": "User", "id": "bad"}}, {"__expr": '"bad"'}])
def test_trap_2_an_escape_in_an_argument_is_no_value(hostile):
    for projected in (True, False):
        found = ask(quick(BAD_REASON, projected=projected), "tickets/create_refund", REFUND_OF | {"reason": hostile})
        assert isinstance(found, Deny)
        assert found.code == "unrepresentable"


def test_trap_2_the_engine_itself_falls_for_an_escape():
    text = 'permit (principal, action, resource); forbid (principal, action, resource) when { context.a == "bad" };'
    assert raw_decision(text, {"a": "bad"}) == "Deny"
    assert raw_decision(text, {"a": {"__extn": {"fn": "unknown", "arg": "a"}}}) != "Deny"


def test_trap_2_an_escape_inside_raw_text_is_text():
    bundle = quick(
        PERMIT_ALL
        + '@id("r") forbid (principal, action == Action::"tickets/import_all", resource) when { context.raw has anything && context.raw.anything like "*evil*" };'
    )
    for value in ({"__extn": {"fn": "unknown", "arg": "evil"}}, {"__entity": {"type": "evil", "id": "x"}}, ["evil"]):
        assert ask(bundle, "tickets/import_all", {"text": "", "anything": value}).basis.reasons == ("r",)


def test_trap_3_action_groups_are_there_because_entities_are_built_with_the_schema():
    bundle = quick('@id("w") permit (principal, action in Action::"write", resource);')
    source = bundle.library.source.generated
    entities = bundle.seat("support-bot", "tickets/create_refund").entities.data
    rules = PolicySet.from_str('permit (principal, action in Action::"write", resource);')
    request = {
        "principal": {"type": "Agent", "id": "support-bot"},
        "action": {"type": "Action", "id": "tickets/create_refund"},
        "resource": {"type": "Tool", "id": "tickets"},
    }
    assert is_authorized(request, rules, Entities.from_json_str(entities.decode())).decision.value == "Deny"
    with_schema = Entities.from_json_str(entities.decode(), Schema.from_json_str(dumps(source).decode()))
    assert is_authorized(request, rules, with_schema).decision.value == "Allow"
    assert isinstance(ask(bundle, "tickets/create_refund", REFUND_OF), Permit)


def test_trap_4_entities_are_checked_by_the_schema_they_are_built_with():
    schema = parse_schema(dumps(quick("").library.source.generated).decode())
    agent = {"uid": Uid("Agent", "a").json, "attrs": {"owner": {"__entity": {"type": "User", "id": "u"}}, "level": "high"}, "parents": []}
    with pytest.raises(ValueError, match="schema"):
        parse_entities(dumps([agent]), schema)


@pytest.mark.parametrize("inner", ["(" * 3_000, "[" * 3_000, "{" * 3_000, "if a then b else " * 3_000])
def test_trap_5_nesting_that_kills_a_parser_is_refused_unread(tmp_path, inner):
    with pytest.raises(Problems) as caught:
        load(tmp_path / "policies", "permit (principal, action, resource) when { " + inner)
    assert [p.code for p in caught.value.problems] == ["policy_too_deep"]


def test_trap_5_a_crash_of_the_parser_is_a_problem_with_a_place_and_the_gateway_lives(tmp_path):
    chain = "context.delegation_depth" + " + 1" * 12_000 + " > 0"
    text = f'@id("fine") permit (principal, action in Action::"read", resource);\n\n@id("chain") permit (principal, action in Action::"read", resource) when {{ {chain} }};'
    with pytest.raises(Problems) as caught:
        load(tmp_path / "policies", text)
    file = str(tmp_path / "policies" / "rules.cedar")
    assert [(p.code, p.file, p.line) for p in caught.value.problems] == [("policy_crashes_parser", file, 3)]


@pytest.mark.parametrize("value", [1.5, 2**63, -(2**63) - 1, 1e300, "\ud800", None])
def test_trap_6_values_without_a_cedar_form_are_denied_and_not_dropped(value):
    found = ask(quick(PERMIT_ALL), "tickets/import_all", {"text": "a", "count": value})
    assert isinstance(found, Permit if value is None else Deny)
    if value is not None:
        assert found.code == "unrepresentable"


def test_trap_6_a_list_of_mixed_values_is_seen_as_text():
    bundle = quick(
        PERMIT_ALL
        + '@id("m") forbid (principal, action == Action::"tickets/import_all", resource) when { context.raw has mixed && context.raw.mixed like "*evil*" };'
    )
    assert isinstance(ask(bundle, "tickets/import_all", {"text": "a", "mixed": [1, "good", None]}), Permit)
    assert isinstance(ask(bundle, "tickets/import_all", {"text": "a", "mixed": [1, "evil", None]}), Deny)


@pytest.mark.parametrize(
    ("price", "kind"), [(1, Permit), (1e3, Permit), (0.0001, Permit), (0.00001, Deny), (922337203685477, Permit), (922337203685478, Deny)]
)
def test_trap_7_decimals_are_written_as_the_engine_reads_them(price, kind):
    bundle = quick(
        PERMIT_ALL
        + '@id("d") forbid (principal, action == Action::"tickets/import_all", resource) when { context.input has price && context.input.price == decimal("7.7") };'
    )
    assert isinstance(ask(bundle, "tickets/import_all", {"text": "a", "price": price}), kind)


@pytest.mark.parametrize("at", ["2026-03-01T10:00:00+01:00", "2026-03-01T09:00:00.000000Z", "2026-03-01t09:00:00z"])
def test_trap_7_date_times_are_written_as_the_engine_reads_them(at):
    bundle = quick(
        '@id("t") permit (principal, action == Action::"tickets/import_all", resource) when { context.input has at && context.input.at == datetime("2026-03-01T09:00:00Z") };'
    )
    assert isinstance(ask(bundle, "tickets/import_all", {"text": "a", "at": at}), Permit)


def test_trap_8_a_pattern_on_a_path_is_safe_on_the_fact_and_not_on_the_text():
    assert raw_decision('permit (principal, action, resource) when { context.p like "/data/*" };', {"p": "/data/../etc/passwd"}) == "Allow"
    bundle = quick(
        '@id("p") permit (principal, action == Action::"mail/send", resource) when { context.facts has path && context.facts.path.path like "/data/*" };'
    )
    assert isinstance(ask(bundle, "mail/send", {"body": "", "path": "/data/x"}), Permit)
    assert isinstance(ask(bundle, "mail/send", {"body": "", "path": "/data/../etc/passwd"}), Deny)
    assert derive("host", "API.Example.com")["host"] == "api.example.com"


def test_trap_9_reasons_are_sorted():
    bundle = quick(
        "".join(f'@id("p{n}") permit (principal, action, resource) when {{ context.now > datetime("2020-01-01") }};' for n in range(8)),
        projected=False,
    )
    assert {ask(bundle, "tickets/list_tickets").basis.reasons for _ in range(20)} == {tuple(f"p{n}" for n in range(8))}


def test_trap_10_names_do_not_move_when_a_policy_is_added():
    before = ask(quick(PERMIT_ALL), "tickets/list_tickets").basis.reasons
    after = ask(
        quick('@id("0-new") permit (principal, action == Action::"plain/read", resource);' + PERMIT_ALL), "tickets/list_tickets"
    ).basis.reasons
    assert before == after == ("all",)


def test_trap_11_faults_have_file_and_line_and_the_line_is_shown(tmp_path, capsys):
    text = '// words\n@id("a")\npermit (principal, action == Action::"tickets/get_ticket", resource)\nwhen {\n  context.input.tikcet_id == "x"\n};\n@id("b") permit (principal, action, resource) when { context.x == };\n'
    with pytest.raises(Problems) as caught:
        load(tmp_path / "policies", text)
    file = str(tmp_path / "policies" / "rules.cedar")
    assert {p.code: (p.file, p.line) for p in caught.value.problems} == {"unknown_argument": (file, 5), "policy_syntax": (file, 7)}
    print_problems(caught.value.problems)
    assert '5 |   context.input.tikcet_id == "x"' in capsys.readouterr().err


def test_trap_12_a_condition_that_is_always_false_does_not_load(tmp_path):
    text = '@id("a") forbid (principal, action == Action::"tickets/get_ticket", resource) when { context.input.ticket_id == "x" && false };'
    with pytest.raises(Problems) as caught:
        load(tmp_path / "policies", text)
    assert [p.code for p in caught.value.problems] == ["policy_never_applies"]


def test_trap_12_letters_that_look_alike_are_told(tmp_path):
    text = (
        PERMIT_ALL + '@id("a") forbid (principal, action == Action::"tickets/get_ticket", resource) when { context.input.ticket_id == "\u0430dmin" };'
    )
    found = load(tmp_path / "policies", text).warnings
    assert [(w.code, w.line) for w in found] == [("mixed_scripts", 2)]


@pytest.mark.parametrize("word", ["\u0441\u043e\u0440\u0443", "\u0410\u0421\u041c\u0415", "\u03bf\u03c1\u03b1"])
def test_trap_12_a_word_wholly_of_another_alphabet_that_looks_latin_is_told(tmp_path, word):
    text = (
        f'{PERMIT_ALL}@id("a") forbid (principal, action == Action::"tickets/get_ticket", resource) when {{ context.input.ticket_id == "{word}" }};'
    )
    [found] = load(tmp_path / "policies", text).warnings
    assert (found.code, found.line, found.column) == ("mixed_scripts", 2, text.index(word) - len(PERMIT_ALL) + 1)
    assert "looks like Latin" in found.message


def test_trap_12_a_word_of_another_language_is_fine(tmp_path):
    text = f'{PERMIT_ALL}@id("a") forbid (principal, action == Action::"tickets/get_ticket", resource) when {{ context.input.ticket_id == "\u043f\u0440\u0438\u0432\u0435\u0442" }};'
    assert load(tmp_path / "policies", text).warnings == ()


def test_trap_13_no_name_breaks_out_of_the_schema():
    odd = 'a"b\\\n\u00e9\u2028}]'
    operations = (operation(odd, {odd: {"type": "string"}}, [odd]), operation("if", {"in": {"type": "string"}, "has space": {"type": "integer"}}))
    bundle = quick('@id("p") permit (principal, action, resource) when { context.delegation_depth == 0 };', operations=operations)
    plan = bundle.plans[f"tickets/{odd}"]
    made = invocation("tickets/x")
    found = decide(bundle, Invocation(made.call, plan.operation, {odd: odd}, "", None), identity(), Facts(NOW_US))
    assert isinstance(found, Permit)
    blobs = {b.digest: b.data for b in (found.basis.policies, found.basis.schema, found.basis.entities)}
    b = found.basis
    record = {
        "p": b.principal,
        "a": b.action,
        "r": b.resource,
        "ctx": loads(b.context),
        "ents": b.entities.digest,
        "policies": b.policies.digest,
        "schema": b.schema.digest,
    }
    assert recompute(record, blobs.__getitem__)["decision"] == "allow"


def test_trap_14_names_that_other_generators_refuse_or_merge_are_operations_of_their_own():
    names = ("fs.read", "read-file", "read_file", "read__file", "Read File", "if", "in", "github/search")
    operations = tuple(
        operation(name, {"has space": {"type": "number"}, "o": {"type": "object", "properties": {"n": {"type": "number"}}}}) for name in names
    )
    text = "".join(
        f'@id("p{n}") permit (principal, action == Action::"tickets/{name}", resource) when {{ context.input has "has space" && context.input["has space"] == decimal("{n}.5") && context.input has o && context.input.o has n && context.input.o.n == decimal("{n}.5") }};'
        for n, name in enumerate(names)
    )
    for projected in (True, False):
        bundle = quick(text, projected=projected, operations=operations)
        for n, name in enumerate(names):
            for other in range(len(names)):
                arguments = {"has space": other + 0.5, "o": {"n": other + 0.5}}
                found = decide(bundle, Invocation(invocation("tickets/x").call, operations[n], arguments, "", None), identity(), Facts(NOW_US))
                assert isinstance(found, Permit if other == n else Deny), name


def test_trap_14_numbers_and_objects_have_types_and_are_no_opaque_entities():
    found = quick("").plans["tickets/import_all"].context["attributes"]["input"]["attributes"]
    assert found["price"] == {"type": "Extension", "name": "decimal", "required": False}
    assert found["address"]["type"] == "Record"


def test_trap_15_a_default_deny_has_no_reasons_and_the_message_of_a_permit_does_not_leak_into_a_deny():
    text = '@id("p") @message("well done") permit (principal, action, resource); @id("f") forbid (principal, action, resource);'
    found = ask(quick(text), "tickets/list_tickets")
    assert (found.basis.reasons, found.message) == (("f",), "")


def test_trap_16_an_operation_without_arguments_takes_none():
    bundle = quick(PERMIT_ALL, operations=(operation("ping"),))
    call = invocation("tickets/x").call
    for arguments, kind in (({}, Permit), ({"x": 1}, Deny)):
        assert isinstance(
            decide(bundle, Invocation(call, bundle.plans["tickets/ping"].operation, arguments, "", None), identity(), Facts(NOW_US)), kind
        )


def test_trap_17_what_the_engine_cannot_decide_is_a_deny_with_a_basis_to_record():
    found = ask(quick(PERMIT_ALL), "tickets/nothing")
    assert isinstance(found, Deny)
    assert found.basis.verdict == "error"
    assert found.basis.errors


def test_trap_17_a_rule_on_arguments_hides_nothing_from_a_list():
    text = '@id("p") permit (principal, action == Action::"tickets/create_refund", resource) when { context.input.amount.lessThan(decimal("50.0")) };'
    found = listed(quick(text), identity(), "tickets/create_refund")
    assert found is not None
    assert found.answer == "depends"


def test_trap_17_the_arguments_reach_the_policy():
    text = PERMIT_ALL + '@id("f") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.reason == "bad" };'
    assert isinstance(ask(quick(text), "tickets/create_refund", REFUND_OF | {"reason": "bad"}), Deny)
    assert isinstance(ask(quick(text), "tickets/create_refund", REFUND_OF), Permit)


def test_empty_arguments_are_authorized_too():
    assert isinstance(ask(quick(""), "tickets/list_tickets", {}), Deny)
    assert isinstance(ask(quick('@id("f") forbid (principal, action, resource);' + PERMIT_ALL), "tickets/list_tickets", {}), Deny)


@pytest.mark.parametrize("amount", ["5000", None, [5000], {"n": 5000}, True])
def test_an_argument_of_another_type_or_none_turns_no_forbid_off(amount):
    text = (
        PERMIT_ALL
        + '@id("f") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.amount.greaterThan(decimal("100.0")) };'
    )
    for projected in (True, False):
        bundle = quick(text, projected=projected)
        assert ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": amount}).code == "unrepresentable"
        assert ask(bundle, "tickets/create_refund", {n: v for n, v in REFUND_OF.items() if n != "amount"}).code == "unrepresentable"
        assert ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": 5000}).code == "denied"


def test_trap_18_facts_do_not_grow_beyond_their_argument_by_much():
    assert ask(quick(PERMIT_ALL), "mail/send", {"body": "", "path": "/a" * 100_000}).code == "unrepresentable"


@pytest.mark.parametrize("text", [b"[" * 200 + b"]" * 200, b'{"a": [' + b"1," * 100_000 + b"1]}"])
def test_trap_18_arguments_that_would_hold_everybody_up_are_refused_before_policy_sees_them(text):
    assert Limits().json_body_bytes_max <= 262_144
    with pytest.raises(JsonError):
        loads(text)


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=8)
    | st.sampled_from(["bad", "BAD", "\ud800", "\0", "\u202e"])
)
KEYS = st.sampled_from(["__extn", "__entity", "__expr", "fn", "arg", "type", "id", "reason", "amount", "", "\0", "a b"]) | st.text(max_size=4)
HOSTILE = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8)
NEVER = quick(BAD_REASON + '@id("never") forbid (principal, action == Action::"tickets/import_all", resource) when { context.input.text == "bad" };')
WHOLE = quick(
    BAD_REASON + '@id("never") forbid (principal, action == Action::"tickets/import_all", resource) when { context.input.text == "bad" };',
    projected=False,
)


@given(extra=st.dictionaries(st.sampled_from(["ticket_id", "amount", "currency"]) | KEYS, HOSTILE, max_size=4))
@settings(max_examples=120, deadline=None)
def test_no_hostile_json_turns_a_forbid_off(extra):
    arguments = REFUND_OF | extra | {"reason": "bad"}
    for bundle in (NEVER, WHOLE):
        found = ask(bundle, "tickets/create_refund", arguments)
        assert isinstance(found, Deny)
        assert found.code != "policy_error", found.basis.errors


@given(extra=st.dictionaries(st.sampled_from(["count", "price", "sure", "at", "tags", "address", "anything", "mixed"]), HOSTILE, max_size=6))
@settings(max_examples=120, deadline=None)
def test_whatever_passes_the_conversion_passes_the_strict_schema(extra):
    forbidden = ask(WHOLE, "tickets/import_all", {"text": "bad"} | extra)
    assert isinstance(forbidden, Deny)
    assert forbidden.code in {"denied", "unrepresentable"}, forbidden.basis.errors
    allowed = ask(WHOLE, "tickets/import_all", {"text": "good"} | extra)
    assert isinstance(allowed, Permit) or allowed.code == "unrepresentable"
    assert type(allowed) is type(ask(NEVER, "tickets/import_all", {"text": "good"} | extra))


def test_the_parser_really_can_be_killed():
    script = "import sys, cedarpy; cedarpy.policies_to_json_str('permit(principal,action,resource) when { ' + '(' * 100000 + '1' + ')' * 100000 + ' == 1 };')"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, cwd=Path(__file__).parent, check=False)
    assert done.returncode < 0
