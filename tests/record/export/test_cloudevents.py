"""CloudEvents 1.0.2: what the specification demands of an event, as a JSON schema written from its section 3.1 and the JSON format's."""

import json

import jsonschema_rs
from hypothesis import given, settings

from gateway.record.export.cloudevents import cloud_events
from tests.record.export.records import ALL, CALL, ORIGIN, records

SCHEMA = jsonschema_rs.validator_for(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "required": ["id", "source", "specversion", "type"],
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "source": {"type": "string", "minLength": 1, "format": "uri-reference"},
            "specversion": {"const": "1.0"},
            "type": {"type": "string", "minLength": 1},
            "datacontenttype": {"const": "application/json"},
            "subject": {"type": "string", "minLength": 1},
            "time": {"type": "string", "format": "date-time"},
            "data": {"type": "object"},
        },
        "propertyNames": {"pattern": "^[a-z0-9]{1,20}$"},
        "additionalProperties": {"type": ["string", "integer", "boolean"]},
    },
    validate_formats=True,
)


def events(found):
    lines = b"".join(cloud_events(found, ORIGIN)).split(b"\n")
    assert lines.pop() == b""
    return lines


def test_an_event_has_what_the_specification_demands_and_the_record_in_it():
    for line, record in zip(events(ALL), ALL, strict=True):
        event = json.loads(line)
        SCHEMA.validate(event)
        assert event["data"] == json.loads(record.line)
        assert record.line in line  # byte for byte
        assert (event["id"], event["type"], event["leaf"]) == (str(record.n), f"portreeve.log.v1.{record.kind}", record.leaf)
    assert json.loads(events([CALL])[0])["time"] == "2026-11-21T09:05:22.122857Z"
    assert json.loads(events([CALL])[0])["source"] == "//gw.example/a%20b%3F%23%C3%BC"


@settings(max_examples=60, deadline=None)
@given(records)
def test_whatever_a_record_holds_its_event_is_one(found):
    assert all(SCHEMA.is_valid(json.loads(line)) for line in events(found))
