"""A grant as bytes: the head of the upstream request, written in one place and looked over once more before it leaves."""

from __future__ import annotations

from gateway.call import Body, Grant
from gateway.errors import Refusal
from gateway.forward.exchange import Outgoing
from gateway.secret import Secret

_WITH_BODY = frozenset({"POST", "PUT", "PATCH"})


def outgoing(grant: Grant, body: Body | None) -> Outgoing:
    """The request of a grant. This is the line where the secret is revealed. Raises Refusal internal_error for a field that would break out."""
    query = grant.query
    text = query if isinstance(query, str) else query.reveal()
    lines = [f"{grant.method} {grant.path}?{text} HTTP/1.1" if text else f"{grant.method} {grant.path} HTTP/1.1"]
    lines += [f"{name}: {value.reveal() if type(value) is Secret else value}" for name, value in grant.headers]
    payload: bytes | Body | None = grant.body
    if grant.body is not None:
        lines.append(f"content-length: {len(grant.body)}")
    elif body is not None and body.length != 0:
        payload = body
        lines.append("transfer-encoding: chunked" if body.length is None else f"content-length: {body.length}")
    elif grant.method in _WITH_BODY:
        lines.append("content-length: 0")  # RFC 9110 8.6: without it some servers wait or answer 411
    head = "\r\n".join([*lines, "", ""])
    breaks = len(lines) + 1
    if head.count("\n") != breaks or head.count("\r") != breaks or "\0" in head or lines[0].count(" ") != 2 or not head.isascii():
        raise Refusal("internal_error", reason="a field of the upstream request holds a character that would end it", outcome="refused")
    effect = grant.permit.invocation.operation.effect
    return Outgoing(head.encode("ascii"), payload, expects_body=grant.method != "HEAD", repeatable=effect in ("read", "idempotent_write"))
