from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from gateway.authorize import ReplayError, recompute
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
