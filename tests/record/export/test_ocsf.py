"""OCSF 1.6.0 API Activity: the attributes that the schema requires, their enumerations, and the sums that it defines."""

import json
from ipaddress import ip_address

import pytest
from hypothesis import given, settings

from gateway.record.export.ocsf import ocsf_events
from tests.record.export.records import ALL, CALL, DENIED, FAILED, ORIGIN, RESULT, WHAT, record, records

REQUIRED = {"activity_id", "actor", "api", "category_uid", "class_uid", "metadata", "severity_id", "src_endpoint", "time", "type_uid", "action_id"}


def events(found) -> list[dict]:
    return [json.loads(line) for line in ocsf_events(found, ORIGIN)]


def check(event: dict) -> None:
    assert event.keys() >= REQUIRED
    assert (event["class_uid"], event["category_uid"]) == (6003, 6)
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]
    assert event["activity_id"] in {1, 2, 3, 4, 99}
    assert event["severity_id"] in {0, 1, 2, 3, 4, 5, 6, 99}
    assert event["status_id"] in {0, 1, 2, 99}
    assert event["action_id"] in {1, 2}
    assert type(event["time"]) is int
    assert event["metadata"]["version"] == "1.6.0"
    assert event["metadata"]["product"]["vendor_name"]
    assert event["actor"].keys() & {"app_name", "app_uid", "user", "session"}  # at least one of the object's constraint
    assert all(type(event["actor"][name]) is str and event["actor"][name] for name in ("app_name", "app_uid"))
    assert event["api"]["operation"]
    assert event["src_endpoint"].keys() & {"ip", "name"}
    if "ip" in event["src_endpoint"]:
        ip_address(event["src_endpoint"]["ip"])


def test_calls_and_results_are_api_activity():
    found = events(ALL)
    for event in found:
        check(event)
    assert [event["metadata"]["sequence"] for event in found] == [1, 2, 3, 4]
    allowed, denied, result, failed = found
    assert (allowed["activity_id"], allowed["action_id"], allowed["status_id"]) == (1, 1, 1)
    assert (denied["action_id"], denied["status_id"], denied["status_code"], denied["severity_id"]) == (2, 2, "denied", 2)
    assert (result["status_id"], result["api"]["response"]["code"], result["duration"]) == (1, 201, 12)
    assert (failed["status_id"], failed["status_detail"], failed["status_code"]) == (2, "timeout", "upstream_timeout")
    assert allowed["actor"] == {
        "app_name": "billing",
        "app_uid": "agent:billing",
        "user": {"name": "alice", "uid": "alice"},
        "session": {"uid": "run-1"},
    }
    assert allowed["src_endpoint"] == {"ip": "10.1.2.3", "port": 555}
    assert result["actor"] == allowed["actor"]
    assert allowed["raw_data"].encode() == CALL.line
    assert allowed["unmapped"]["leaf"] == CALL.leaf


def test_a_result_without_its_call_is_exported_without_what_the_call_said():
    for event in events([RESULT, FAILED]):
        check(event)
        assert event["actor"]["app_name"] == "unknown"


@pytest.mark.parametrize(
    ("what", "activity"),
    [
        ({"effect": "read"}, 2),
        ({"method": "DELETE"}, 4),
        ({"method": "PATCH"}, 3),
        ({"method": "GET"}, 2),
        ({"method": "QUERY"}, 99),
        ({"method": None}, 99),
    ],
)
def test_the_activity_follows_the_effect_and_the_method(what, activity):
    assert events([record(1, "call", what=WHAT | what)])[0]["activity_id"] == activity


@pytest.mark.parametrize("peer", [None, "", "x", "x:1", "[::1]:80", "::1", "10.0.0.1:99999", "10.0.0.1:x", 7])
def test_a_peer_that_is_no_address_is_a_name(peer):
    check(events([record(1, "call", what=WHAT | {"peer": peer})])[0])


def test_a_call_that_was_allowed_and_then_refused_was_not_allowed():
    assert events([record(1, "call", authz={"decision": "allow"}, code="too_busy")])[0]["action_id"] == 2
    assert events([DENIED])[0]["action_id"] == 2


@settings(max_examples=60, deadline=None)
@given(records)
def test_whatever_a_record_holds_its_event_has_what_is_required(found):
    for event in events(found):
        check(event)
