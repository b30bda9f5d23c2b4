"""OCSF 1.6.0, class API Activity (6003) of category Application Activity (6): one event a line for each call and each result.

Required attributes as in schema.ocsf.io/1.6.0/classes/api_activity: activity_id, actor, api, category_uid, class_uid, metadata, severity_id,
src_endpoint, time, type_uid. With the profile `security_control`: action_id. The stored line is in `raw_data`, its hash in the log's tree in `unmapped.leaf`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import gateway
from gateway.canonical import Json, dumps_in_order
from gateway.record.export.members import moment, number, part, peer_of, text, texts, without_none
from gateway.record.line import Record

VERSION = "1.6.0"
CLASS, CATEGORY = 6003, 6
OTHER = 99
CREATE, READ, UPDATE, DELETE = 1, 2, 3, 4
ACTIVITIES = {"POST": CREATE, "GET": READ, "HEAD": READ, "PUT": UPDATE, "PATCH": UPDATE, "DELETE": DELETE}
ALLOWED, DENIED = 1, 2
STATUSES = {"ok": 1, "error": 2, "timeout": 2, "refused": 2, "cancelled": 2}
"""status_id: 1 Success, 2 Failure, 0 Unknown."""
INFORMATIONAL, LOW = 1, 2
CALLS_KEPT = 100_000
"""Calls whose result may still come; a result of an older one is exported without what the call said."""


def ocsf_events(records: Iterable[Record], origin: str) -> Iterator[bytes]:
    """A result repeats who called what from its call, when that is exported too."""
    calls: dict[int, Record] = {}
    for record in records:
        call: Record | None = record
        if record.kind == "call":
            calls[record.n] = record
            if len(calls) > CALLS_KEPT:
                del calls[next(iter(calls))]
        elif record.kind == "result":
            number_of = number(record.body.get("call"))
            call = calls.pop(number_of, None) if number_of is not None else None
        else:
            continue
        yield dumps_in_order(_event(record, call, origin)) + b"\n"


def _event(record: Record, call: Record | None, origin: str) -> dict[str, Json]:
    who, what = (part(call, name) if call else {} for name in ("who", "what"))
    activity = READ if what.get("effect") == "read" else ACTIVITIES.get(text(what.get("method")), OTHER)
    address, port = peer_of(what.get("peer"))
    product = {"name": "Portreeve", "vendor_name": "Portreeve", "version": gateway.__version__}
    event = {
        "class_uid": CLASS,
        "category_uid": CATEGORY,
        "activity_id": activity,
        "type_uid": CLASS * 100 + activity,
        "time": record.t // 1_000,
        "metadata": {
            "version": VERSION,
            "product": product,
            "profiles": ["security_control"],
            "uid": f"{origin}#{record.n}",
            "sequence": record.n,
            "log_name": origin,
            "event_code": record.kind,
            "original_time": moment(record.t),
            "correlation_uid": text(record.body.get("id")) or None,
        },
        "actor": _actor(who),
        "api": _api(record, what),
        "src_endpoint": without_none({"ip": address, "port": port}) or {"name": "unknown"},
        "raw_data": record.line.decode(),
        "unmapped": {"leaf": record.leaf},
    }
    return event | (_decision(record) if record.kind == "call" else _result(record))


def _actor(who: Mapping[str, Json]) -> dict[str, Json]:
    """The agent is the program that acts; the user, where there is one, whom it acts for."""
    user = {"user": {"name": text(who.get("user")), "uid": text(who.get("user"))}} if text(who.get("user")) else {}
    session = {"session": {"uid": text(who.get("run"))}} if text(who.get("run")) else {}
    return {"app_name": text(who.get("agent")) or "unknown", "app_uid": text(who.get("sub")) or "unknown", **user, **session}


def _api(record: Record, what: Mapping[str, Json]) -> dict[str, Json]:
    operation = text(what.get("op")) or text(what.get("method")) or "unknown"
    code = number(record.body.get("http")) if record.kind == "result" else None
    named = {"service": {"name": text(what.get("tool"))} if text(what.get("tool")) else None, "request": {"uid": text(record.body.get("id"))}}
    return without_none({"operation": operation, **named, "response": {"code": code} if code is not None else None})


def _decision(record: Record) -> dict[str, Json]:
    allowed = part(record, "authz").get("decision") == "allow" and not record.body.get("code")
    reasons = texts(part(record, "authz").get("reasons"))
    found = {
        "action_id": ALLOWED if allowed else DENIED,
        "severity_id": INFORMATIONAL if allowed else LOW,
        "status_id": 1 if allowed else 2,
        "status_code": text(record.body.get("code")),
        "status_detail": ", ".join(reasons),
        "message": ("allowed by " if allowed else "not allowed: ") + (", ".join(reasons) or text(record.body.get("code")) or "policy"),
    }
    return without_none(found)


def _result(record: Record) -> dict[str, Json]:
    status = text(record.body.get("status"))
    found = {
        "action_id": ALLOWED,
        "severity_id": INFORMATIONAL if status == "ok" else LOW,
        "status_id": STATUSES.get(status, 0),
        "status_code": text(record.body.get("code")),
        "status_detail": status,
        "duration": number(record.body.get("ms")),
        "message": f"outcome: {status or 'unknown'}",
    }
    return without_none(found)
