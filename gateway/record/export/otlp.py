"""OpenTelemetry logs (OTLP 1.x) in the JSON form of protobuf: a line is one `LogsData` message, as the OTLP file exporter writes them.

Mapping: opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding (64-bit integers are texts, ids hex, enums numbers). Names: semantic
conventions 1.37.0 where they have one (gen_ai.*, mcp.*, http.*, enduser.*), `portreeve.*` for the rest. The body is the stored line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice

import gateway
from gateway.canonical import Json, dumps_in_order
from gateway.record.export.members import number, part, text, texts
from gateway.record.line import Record

SCHEMA = "https://opentelemetry.io/schemas/1.37.0"
INFO, WARN, ERROR = 9, 13, 17
SEVERITIES = {INFO: "INFO", WARN: "WARN", ERROR: "ERROR"}
BATCH_RECORDS = 256


def otlp_logs(records: Iterable[Record], origin: str) -> Iterator[bytes]:
    resource = {"attributes": _attributes({"service.name": "portreeve", "service.version": gateway.__version__, "service.instance.id": origin})}
    scope = {"name": "portreeve.log", "version": "v1"}
    stream = iter(records)
    while batch := list(islice(stream, BATCH_RECORDS)):
        logs = {"scope": scope, "schemaUrl": SCHEMA, "logRecords": [_log(record) for record in batch]}
        yield dumps_in_order({"resourceLogs": [{"resource": resource, "schemaUrl": SCHEMA, "scopeLogs": [logs]}]}) + b"\n"


def _log(record: Record) -> dict[str, Json]:
    severity = _severity(record)
    t = str(min(max(record.t, 0) * 1_000, 2**64 - 1))
    return {
        "timeUnixNano": t,
        "observedTimeUnixNano": t,
        "severityNumber": severity,
        "severityText": SEVERITIES[severity],
        "eventName": f"portreeve.{record.kind}",
        "body": {"stringValue": record.line.decode()},
        "attributes": _attributes(_named(record)),
    }


def _severity(record: Record) -> int:
    if record.kind == "call":
        return INFO if part(record, "authz").get("decision") == "allow" and not record.body.get("code") else WARN
    if record.kind == "result":
        return INFO if record.body.get("status") == "ok" else ERROR
    return WARN if record.kind in {"recover", "refusals", "gap"} else INFO


def _named(record: Record) -> dict[str, Json]:
    who, what, authz, body = part(record, "who"), part(record, "what"), part(record, "authz"), record.body
    door = text(what.get("door"))
    return {
        "portreeve.record.n": record.n,
        "portreeve.record.leaf": record.leaf,
        "portreeve.call.id": text(body.get("id")),
        "portreeve.call.n": number(body.get("call")),
        "gen_ai.operation.name": "execute_tool" if record.kind == "call" else "",
        "gen_ai.tool.name": text(what.get("op")),
        "gen_ai.agent.id": text(who.get("sub")),
        "gen_ai.agent.name": text(who.get("agent")),
        "gen_ai.conversation.id": text(who.get("run")),
        "mcp.method.name": "tools/call" if door == "mcp" else "",
        "enduser.id": text(who.get("user")),
        "http.request.method": text(what.get("method")),
        "http.route": text(what.get("template")),
        "url.path": text(what.get("path")),
        "http.response.status_code": number(body.get("http")),
        "error.type": text(body.get("code")),
        "portreeve.tool": text(what.get("tool")),
        "portreeve.effect": text(what.get("effect")),
        "portreeve.decision": text(authz.get("decision")),
        "portreeve.reasons": texts(authz.get("reasons")),
        "portreeve.outcome": text(body.get("status")),
        "portreeve.duration_ms": number(body.get("ms")),
    }


def _attributes(named: dict[str, Json]) -> list[dict[str, Json]]:
    """KeyValue messages; what is not known is left out."""
    return [{"key": key, "value": _value(value)} for key, value in named.items() if value not in (None, "", [])]


def _value(value: Json) -> dict[str, Json]:
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, list):
        return {"arrayValue": {"values": [{"stringValue": item} for item in value]}}
    return {"stringValue": value}
