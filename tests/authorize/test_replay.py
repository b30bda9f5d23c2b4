from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.authorize import ReplayError, recompute, recompute_partly
from gateway.call import Facts
from gateway.canonical import digest, dumps, loads

from .world import NOW_US, PERMIT_ALL, REFUND_OF, ask, quick

ROOT = Path(__file__).resolve().parents[2]
TEXT = (
    PERMIT_ALL
    + """
@id("b-limit") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.amount.greaterThan(decimal("50.00")) };
@id("a-limit") forbid (principal, action == Action::"tickets/create_refund", resource) when { context.input.amount.greaterThan(decimal("40.00")) };
@id("busy") forbid (principal, action, resource) when { context.run.calls_last_minute * 4611686018427387904 > 0 };
@id("hold") @require_approval("leads") permit (principal, action in Action::"destructive", resource);
"""
)


def authz(verdict):
    """What the record holds, after a round through JSON."""
    b = verdict.basis
    body = {
        "p": b.principal,
        "a": b.action,
        "r": b.resource,
        "ctx": loads(b.context),
        "ents": b.entities.digest,
        "policies": b.policies.digest,
        "schema": b.schema.digest,
        "engine": b.engine,
        "decision": b.verdict,
        "reasons": b.reasons,
        "errors": b.errors,
        "obl": b.obligations,
        "shadow": b.shadow,
    }
    return loads(dumps(body)), {blob.digest: blob.data for blob in (b.entities, b.policies, b.schema)}


def many(bundle):
    yield ask(bundle, "tickets/create_refund", REFUND_OF)
    yield ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": 60}, user='al"ice\u00e9')
    yield ask(bundle, "tickets/create_refund", REFUND_OF | {"amount": 0.00001})
    yield ask(bundle, "tickets/delete_ticket", {"ticket_id": "\u2028 \U0001f600"})
    yield ask(bundle, "tickets/list_tickets", facts=Facts(NOW_US, calls_last_minute=2))
    yield ask(bundle, "tickets/list_tickets", facts=Facts(NOW_US, halted=("all",)))
    yield ask(bundle, "tickets/import_all", {"text": "a", "anything": [1, {"__extn": {"fn": "unknown", "arg": "a"}}], "tags": []})
    yield ask(bundle, "mail/send", {"body": "b", "to": ["a@b.example"], "url": "https://a.example/x"})
    yield ask(bundle, "tickets/nothing")
    yield ask(bundle, "tickets/list_tickets", agent="ghost")


def test_every_kind_of_decision_is_recomputed_from_its_record():
    for verdict in many(quick(TEXT)):
        record, blobs = authz(verdict)
        expected = {k: record[k] for k in ("decision", "reasons", "errors", "obl")}
        assert recompute(record, blobs.__getitem__) == recompute(record, blobs.__getitem__, whole=False) == expected


def test_a_new_process_recomputes_the_same_bytes(tmp_path):
    records, blobs = [], {}
    for verdict in many(quick(TEXT)):
        record, named = authz(verdict)
        records.append(record)
        blobs |= named
    job = tmp_path / "job.json"
    job.write_bytes(dumps({"records": records, "blobs": {k: v.decode() for k, v in blobs.items()}}))
    script = (
        "import sys; from gateway.authorize import recompute; from gateway.canonical import loads_trusted, dumps\n"
        "job = loads_trusted(open(sys.argv[1], 'rb').read()); blobs = {k: v.encode() for k, v in job['blobs'].items()}\n"
        "sys.stdout.buffer.write(dumps([recompute(r, blobs.__getitem__) for r in job['records']]))"
    )
    done = subprocess.run([sys.executable, "-c", script, str(job)], capture_output=True, cwd=ROOT, check=True)
    assert done.stdout == dumps([{k: r[k] for k in ("decision", "reasons", "errors", "obl")} for r in records])


def test_a_changed_input_changes_the_answer():
    record, blobs = authz(ask(quick(TEXT), "tickets/create_refund", REFUND_OF))
    record["ctx"]["input"]["amount"]["__extn"]["arg"] = "45.0"
    assert recompute(record, blobs.__getitem__)["reasons"] == ["a-limit"]


def test_a_context_that_breaks_the_schema_is_an_error_and_never_an_allow():
    record, blobs = authz(ask(quick(TEXT), "tickets/create_refund", REFUND_OF))
    for change in ({"reason": {"__extn": {"fn": "decimal", "arg": "1.0"}}}, {"more": 1}, {"reason": {"__entity": {"type": "User", "id": "a"}}}):
        changed = loads(dumps(record))
        changed["ctx"]["input"] |= change
        assert recompute(changed, blobs.__getitem__)["decision"] == "error"


def test_a_stored_object_with_other_bytes_than_its_name_says_is_refused():
    record, blobs = authz(ask(quick(TEXT + "// another bundle\n"), "tickets/create_refund", REFUND_OF))
    blobs[record["policies"]] = blobs[record["policies"]].replace(b"50.00", b"99.00")
    with pytest.raises(ReplayError):
        recompute(record, blobs.__getitem__)


def test_a_record_without_its_parts_is_refused():
    record, blobs = authz(ask(quick(TEXT), "tickets/create_refund", REFUND_OF))
    for member in ("p", "a", "r", "ctx", "ents", "policies", "schema"):
        with pytest.raises(ReplayError):
            recompute({k: v for k, v in record.items() if k != member}, blobs.__getitem__)
    with pytest.raises(ReplayError):
        recompute(record | {"policies": digest(b"nothing")}, blobs.__getitem__)


@pytest.mark.parametrize(
    "change",
    [{"ctx": 5}, {"ctx": {"gateway": 5}}, {"ctx": {"gateway": {"stop": [1]}}}, {"p": 'Agent::"'}, {"p": 5}, {"a": 'A::"\\ud800"'}, {"a": "x"}],
)
def test_a_record_that_no_gateway_wrote_is_refused_and_no_more(change):
    record, blobs = authz(ask(quick(TEXT), "tickets/create_refund", REFUND_OF))
    for again in (recompute, recompute_partly):
        with pytest.raises(ReplayError):
            again(record | change | ({} if again is recompute else {"redacted": []}), blobs.__getitem__)


MARKER = {"$hmac": "00", "key": "0"}


def hidden(record, *pointers):
    """The record as it stands where these places were kept as digests."""
    found = loads(dumps(record | {"redacted": list(pointers)}))
    for pointer in pointers:
        *above, last = pointer[1:].split("/")
        holder = found
        for part in above:
            holder = holder[part]
        holder[int(last) if isinstance(holder, list) else last] = MARKER
    return found


def below(value, pointer):
    """Every place in a JSON value."""
    yield pointer
    for name, inner in value.items() if isinstance(value, dict) else ():
        yield from below(inner, f"{pointer}/{name}")


def test_what_no_policy_looks_at_may_be_withheld_and_everything_else_may_not():
    record, blobs = authz(ask(quick(TEXT), "tickets/create_refund", REFUND_OF))
    expected = recompute(record, blobs.__getitem__)
    told = {place for place in below(record["ctx"], "/ctx") if recompute_partly(hidden(record, place), blobs.__getitem__) is not None}
    amount = {place for place in below(record["ctx"], "/ctx") if place.startswith("/ctx/input/amount")}
    assert set(below(record["ctx"], "/ctx")) - told == {"/ctx", "/ctx/input", "/ctx/run", "/ctx/run/calls_last_minute"} | amount
    assert len(amount) == 4
    assert all(recompute_partly(hidden(record, place), blobs.__getitem__) == expected for place in told)
    assert recompute_partly(hidden(record, "/ctx/input/reason", "/ctx/input/amount"), blobs.__getitem__) is None


@pytest.mark.parametrize(
    "condition", ["context.input has reason", "[context].contains(context)", "{a: context.input}.a has reason", "context has input"]
)
def test_a_policy_that_only_asks_whether_it_is_there_looks_at_it(condition):
    policies = f'@id("all") permit (principal, action, resource);\n@id("it") forbid (principal, action, resource) when {{ {condition} }};'
    record, blobs = authz(ask(quick(policies), "tickets/create_refund", REFUND_OF))
    assert record["decision"] == "deny"
    assert recompute_partly(hidden(record, "/ctx/input/reason"), blobs.__getitem__) is None


def test_where_the_gateway_decided_by_itself_only_what_says_so_must_be_there():
    record, blobs = authz(ask(quick(TEXT), "tickets/list_tickets", facts=Facts(NOW_US, halted=("all",))))
    expected = recompute(record, blobs.__getitem__)
    assert recompute_partly(hidden(record, "/ctx/request/path"), blobs.__getitem__) == expected
    for place in ("/ctx", "/ctx/gateway", "/ctx/gateway/detail"):
        assert recompute_partly(hidden(record, place), blobs.__getitem__) is None


def test_an_answer_that_is_withheld_itself_is_compared_with_nothing():
    busy = ask(quick(TEXT), "tickets/list_tickets", facts=Facts(NOW_US, calls_last_minute=2))
    record, blobs = authz(busy)
    assert record["decision"] == "error"
    assert recompute_partly(hidden(record, "/ctx/user"), blobs.__getitem__) == recompute(record, blobs.__getitem__)
    assert recompute_partly(hidden(record, "/ctx/user", "/errors/0"), blobs.__getitem__) is None


def test_a_place_that_is_none_is_refused():
    record, blobs = authz(ask(quick(TEXT), "tickets/create_refund", REFUND_OF))
    for listed in (["no pointer"], 7, [7]):
        with pytest.raises(ReplayError, match="by pointers"):
            recompute_partly(record | {"redacted": listed}, blobs.__getitem__)
