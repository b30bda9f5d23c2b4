"""Binds a call to its operation: parses query, headers and body once, holds them to the contract, and rebuilds what goes upstream from that."""

from __future__ import annotations

import re

from gateway.call import Invocation, ToolCall
from gateway.canonical import Json, JsonError, dumps_in_order, loads
from gateway.errors import Refusal
from gateway.tools.document import pointer
from gateway.tools.parameters import coerce, parse_pairs, take_pairs
from gateway.tools.plan import BodyPlan, Plan
from gateway.tools.routes import decode_segment

_FORM = "application/x-www-form-urlencoded"
_CHARSET = re.compile(r"""[ \t]*;[ \t]*charset=(?:utf-8|"utf-8")[ \t]*""", re.IGNORECASE)


async def bind_plan(plan: Plan, raw: list[str], call: ToolCall, *, slash: bool, body_bytes_max: int) -> Invocation:
    """Bind a call whose path matched `plan`, `raw` being the segments of its parameters. Raises Refusal."""
    arguments: dict[str, Json] = {}
    for parameter, segment in zip(plan.path, raw, strict=True):
        arguments[parameter.argument] = coerce(decode_segment(segment, parameter, slash=slash), parameter)
    query = call.query
    if query:
        query = take_pairs(parse_pairs(query), plan.query, arguments)
    media, coding = _headers(plan, call, arguments)
    body: bytes | None = None
    content_type: str | None = None
    if plan.body is None:
        body = await _no_body(call)
    elif plan.body.kind == "opaque":
        _opaque(plan.body, call, media)
    else:
        raw_body = await _read(call, body_bytes_max)
        if raw_body:
            if coding:
                raise Refusal("unsupported_media_type", "a content coding is not accepted")
            body, content_type = _parse(plan.body, raw_body, media, arguments)
        elif plan.body.required:
            raise Refusal("contract_violation", "a body is required", pointer=pointer((plan.body.argument,) if plan.body.argument else ()))
        elif call.body.length is None:
            body = b""  # the stream has been read, and it was empty
    plan.check.hold(arguments)
    return Invocation(call, plan.operation, arguments, query, body, content_type, frozenset(plan.headers))


def _headers(plan: Plan, call: ToolCall, arguments: dict[str, Json]) -> tuple[str | None, bool]:
    """Take header parameters; return the content type and whether the body is encoded."""
    media: str | None = None
    coding = False
    declared = plan.headers
    for name, value in call.headers:
        if name == "content-type":
            if media is not None:
                raise Refusal("unsupported_media_type", "the content type stands more than once")
            media = value
        elif name == "content-encoding":
            coding = True
        elif name in declared:
            parameter = declared[name]
            if parameter.argument in arguments:
                raise Refusal("contract_violation", "the header stands more than once", pointer=pointer((parameter.argument,)))
            if parameter.array:
                arguments[parameter.argument] = [coerce(item.strip(" \t"), parameter) for item in value.split(",")]
            else:
                arguments[parameter.argument] = coerce(value, parameter)
    return media, coding


async def _no_body(call: ToolCall) -> bytes | None:
    """Make sure that nothing comes: a body that policy does not see would still be read upstream."""
    if call.body.length == 0:
        return None
    if call.body.length is None:
        async for chunk in call.body.chunks():
            if chunk:
                break
        else:
            return b""
    raise Refusal("contract_violation", "this operation takes no body")


def _opaque(plan: BodyPlan, call: ToolCall, media: str | None) -> None:
    if call.body.length == 0:
        if plan.required:
            raise Refusal("contract_violation", "a body is required")
        return
    essence = (media or "").partition(";")[0].strip(" \t").lower()
    kind, _, subtype = essence.partition("/")
    if not subtype or plan.media.isdisjoint({essence, f"{kind}/*", "*/*"}):
        raise Refusal("unsupported_media_type", "the contract declares another content type for this operation")


async def _read(call: ToolCall, limit: int) -> bytes:
    length = call.body.length
    if length == 0:
        return b""
    if length is not None and length > limit:
        raise Refusal("body_too_large", f"this operation takes at most {limit} bytes")
    parts: list[bytes] = []
    size = 0
    async for chunk in call.body.chunks():
        size += len(chunk)
        if size > limit:
            raise Refusal("body_too_large", f"this operation takes at most {limit} bytes")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _parse(plan: BodyPlan, raw: bytes, media: str | None, arguments: dict[str, Json]) -> tuple[bytes, str]:
    """Read the body into `arguments` and return it rebuilt, with its content type."""
    if media is None:
        raise Refusal("unsupported_media_type", "a body needs a content type")
    essence = media
    if media not in plan.media:
        essence = media.partition(";")[0].rstrip(" \t").lower()
        # Any parameter but charset=utf-8 may change how the upstream reads the same bytes (charset=utf-7, utf-16).
        if essence not in plan.media or (";" in media and not _CHARSET.fullmatch(media[media.index(";") :])):
            raise Refusal("unsupported_media_type")
    if plan.kind == "form":
        return _form(plan, raw, arguments), _FORM
    try:
        value = loads(raw)
    except JsonError as error:
        raise Refusal("malformed_json", str(error)) from error
    if plan.argument is not None:
        arguments[plan.argument] = value
    elif type(value) is not dict:
        raise Refusal("contract_violation", "the body must be a JSON object")
    elif not plan.elsewhere.isdisjoint(value):
        # A member with a parameter's name would pass for that parameter, and replace or invent what the path or query says.
        twice = next(name for name in value if name in plan.elsewhere)
        raise Refusal("contract_violation", "is not declared by the contract for the body", pointer=pointer((twice,)))
    else:
        _hold_members(plan, value)
        arguments.update(value)
    return dumps_in_order(value), essence


def _form(plan: BodyPlan, raw: bytes, arguments: dict[str, Json]) -> bytes:
    try:
        text = raw.decode("ascii")
    except UnicodeDecodeError as error:
        raise Refusal("malformed_request", "a form is not ASCII: percent-encode it") from error
    fields: dict[str, Json] = {}
    sent = take_pairs(parse_pairs(text), plan.fields, fields)
    _hold_members(plan, fields)
    arguments.update(fields)
    return sent.encode("ascii")


def _hold_members(plan: BodyPlan, value: dict[str, Json]) -> None:
    """What a body must have if there is one; a body that is itself required has this in the schema."""
    for name in plan.members:
        if name not in value:
            raise Refusal("contract_violation", "is required", pointer=pointer((name,)))
