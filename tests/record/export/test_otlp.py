"""OTLP logs in JSON: read back field by field as opentelemetry/proto/logs/v1/logs.proto and the JSON mapping define them."""

import json
import re

from hypothesis import given, settings

from gateway.record.export.otlp import BATCH_RECORDS, otlp_logs
from tests.record.export.records import ALL, ORIGIN, record, records

LOG_RECORD = {
    *("timeUnixNano", "observedTimeUnixNano", "severityNumber", "severityText", "body", "attributes"),
    *("droppedAttributesCount", "flags", "traceId", "spanId", "eventName"),
}


def any_value(value: dict):
    """An AnyValue has exactly one of its members; a 64-bit integer is a decimal text."""
    (kind, found), *others = value.items()
    assert not others
    if kind == "intValue":
        assert type(found) is str
        assert re.fullmatch(r"-?[0-9]+", found)
        assert -(2**63) <= int(found) < 2**63
        return int(found)
    if kind == "arrayValue":
        return [any_value(item) for item in found["values"]]
    assert kind == "stringValue"
    assert type(found) is str
    return found


def attributes(found: list) -> dict:
    read = {item["key"]: any_value(item["value"]) for item in found}
    assert len(read) == len(found)  # keys are unique
    return read


def logs(found) -> list[tuple[dict, dict]]:
    read = []
    for line in otlp_logs(found, ORIGIN):
        (resource_logs,) = json.loads(line)["resourceLogs"]
        assert attributes(resource_logs["resource"]["attributes"])["service.name"] == "portreeve"
        (scope_logs,) = resource_logs["scopeLogs"]
        assert scope_logs["schemaUrl"] == resource_logs["schemaUrl"] == "https://opentelemetry.io/schemas/1.37.0"
        for entry in scope_logs["logRecords"]:
            assert entry.keys() <= LOG_RECORD
            assert type(entry["timeUnixNano"]) is str
            assert 0 <= int(entry["timeUnixNano"]) < 2**64
            assert 1 <= entry["severityNumber"] <= 24
            read.append((entry, attributes(entry["attributes"])))
    return read


def test_every_record_is_a_log_record_with_its_line_as_body():
    found = logs(ALL)
    assert [any_value(entry["body"]).encode() for entry, _ in found] == [one.line for one in ALL]
    assert [entry["severityText"] for entry, _ in found] == ["INFO", "INFO", "WARN", "INFO", "ERROR"]
    entry, named = found[1]
    assert entry["timeUnixNano"] == "1795251922122857000"
    assert entry["eventName"] == "portreeve.call"
    assert named["gen_ai.operation.name"] == "execute_tool"
    assert (named["gen_ai.tool.name"], named["gen_ai.agent.name"], named["enduser.id"]) == ("refund", "billing", "alice")
    assert (named["mcp.method.name"], named["http.request.method"], named["http.route"]) == ("tools/call", "POST", "/r/{id}")
    assert named["portreeve.reasons"] == ["small", "night"]
    assert found[3][1]["http.response.status_code"] == 201
    assert found[4][1]["error.type"] == "upstream_timeout"


def test_many_records_are_several_messages_and_none_is_none():
    many = [record(n, "heartbeat") for n in range(BATCH_RECORDS + 1)]
    assert len(list(otlp_logs(many, ORIGIN))) == 2
    assert len(logs(many)) == BATCH_RECORDS + 1
    assert list(otlp_logs([], ORIGIN)) == []


@settings(max_examples=60, deadline=None)
@given(records)
def test_whatever_a_record_holds_its_log_record_is_one(found):
    assert len(logs(found)) == len(found)
