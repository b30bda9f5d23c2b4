"""The grammar of one request head: bytes in, one unambiguous `Head` out, or a refusal. Nothing is repaired.

RFC 9112 leaves a server room to be lenient; every such room has been a smuggling attack somewhere. Here a head has exactly one reading:
HTTP/1.1, single spaces, CRLF only, no folding, ASCII, no underscore in names, one Host, one framing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from gateway.config.model import Limits
from gateway.errors import Refusal

Fields = list[tuple[bytes, bytes]]

SINGLETONS = frozenset(
    (
        b"host",
        b"authorization",
        b"content-type",
        b"content-length",
        b"transfer-encoding",
        b"te",
        b"expect",
        b"upgrade",
        b"dpop",
        b"idempotency-key",
        b"x-request-id",
    )
)
"""Fields that two parsers would pick different values from when they come twice."""

# Possessive quantifiers: no input makes these run longer than linear.
_LINE = re.compile(rb"([A-Z][A-Z-]{0,31}+) ([!\"$-~]++) HTTP/1\.1\r\n")
_FIELD = re.compile(rb"\r\n([A-Za-z0-9!#$%&'*+.^`|~-]++):[\t ]*+([^\r]*+)")
_TEXT = bytes((*b"\t\r\n", *range(0x20, 0x7F)))
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]{1,253}+|\[[0-9A-Fa-f:.]{2,45}+\])(?::[0-9]{1,5}+)?")
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")
_ABSOLUTE = re.compile(rb"https?://([^/?]++)([^?]*+)((?:\?.*+)?)", re.IGNORECASE)
_ODD_BYTE = re.compile(rb"[^\t\r\n -~]")
_BARE = re.compile(rb"\r(?!\n|\Z)|(?<!\r)\n")  # a CR at the very end may still get its LF


@dataclass(frozen=True, slots=True)
class Head:
    """One request head. `path` and `query` are raw; `length` is the body's bytes, None when it is chunked; names in `fields` are lower case."""

    method: str
    path: bytes
    query: bytes
    fields: Fields
    length: int | None
    keep_alive: bool
    expects_continue: bool


def malformed(why: str) -> Refusal:
    """A refusal that tells the stranger which rule was broken, and quotes nothing of what was sent."""
    return Refusal("malformed_request", f"The request is not well-formed: {why}", reason=why)


def parse(raw: bytes, limits: Limits) -> Head:
    """Parse a complete head: `raw` ends with the empty line. Raises Refusal malformed_request, uri_too_long or headers_too_large."""
    line = _LINE.match(raw)
    if line is None or line.end() - 2 > limits.request_line_bytes_max:
        raise line_fault(raw.partition(b"\n")[0] + b"\n", limits)
    start, end = line.end(), len(raw) - 2
    count = raw.count(b"\n", start, end)
    if end - start > limits.header_bytes_max or count > limits.header_count_max:
        raise Refusal("headers_too_large")
    fields = [(name.lower(), value.rstrip(b"\t ")) for name, value in _FIELD.findall(raw, start - 2, end)]
    # Each field begins with a CRLF and its name. As many fields as there are LFs and CRs: so none of them is bare, and no line is anything else.
    if len(fields) != count or raw.count(b"\r", start, end) != count or raw.translate(None, _TEXT):
        raise _field_fault(raw[start:end])
    last = dict(fields)
    if len(last) != len(fields):
        _refuse_duplicates(fields)
    host = last.get(b"host")
    if host is None or _HOST.fullmatch(host) is None:
        raise malformed("Host is missing or is not a host" if host is None else "Host is not a host name")
    method, target = line.groups()
    path, _, query = (target if target[0] == 0x2F else _origin_form(target, host)).partition(b"?")
    if method in {b"CONNECT", b"TRACE"}:
        raise malformed("this method is not served")
    expect = last.get(b"expect")
    if expect is not None and expect.lower() != b"100-continue":
        raise malformed("Expect knows only 100-continue")
    return Head(
        method=method.decode("ascii"),
        path=path,
        query=query,
        fields=fields,
        length=_length(last),
        keep_alive=b"connection" not in last or not _asks_to_close(fields),
        expects_continue=expect is not None,
    )


def check_beginning(raw: bytes, limits: Limits) -> None:
    """Refuse early what can no longer become a head: `raw` has no empty line yet. So that a bad client hears at once, not at the deadline."""
    if _BARE.search(raw) or _ODD_BYTE.search(raw):
        raise malformed("a bare CR or LF, a control character or a byte beyond ASCII")
    end = raw.find(b"\r\n")
    if end > limits.request_line_bytes_max or (end < 0 and len(raw) > limits.request_line_bytes_max + 1):
        raise line_fault(raw, limits)
    if end >= 0 and _LINE.match(raw) is None:
        raise line_fault(raw[: end + 2], limits)
    if end >= 0 and (len(raw) - end > limits.header_bytes_max + 4 or raw.count(b"\n") > limits.header_count_max + 2):
        raise Refusal("headers_too_large")


def line_fault(line: bytes, limits: Limits) -> Refusal:
    """Why a request line is refused."""
    if len(line) - 2 > limits.request_line_bytes_max:
        return Refusal("uri_too_long")
    if _BARE.search(line) or _ODD_BYTE.search(line):
        return malformed("the request line holds a bare CR or LF, a control character or a byte beyond ASCII")
    if b"#" in line:
        return malformed("the request target has a fragment")
    if not line.endswith(b" HTTP/1.1\r\n"):
        return malformed("only HTTP/1.1 is served")
    return malformed("the request line is not METHOD SP TARGET SP HTTP/1.1")


def _field_fault(block: bytes) -> Refusal:
    if _BARE.search(block):
        return malformed("a bare CR or LF")
    if _ODD_BYTE.search(block):
        return malformed("a header field holds a control character or a byte beyond ASCII")
    if any(line[:1] in (b" ", b"\t") for line in block.split(b"\r\n")):
        return malformed("a header field is folded over lines")
    if any(b"_" in line.partition(b":")[0] for line in block.split(b"\r\n")):
        return malformed("a header name has an underscore")
    return malformed("a header field is not NAME: VALUE")


def _refuse_duplicates(fields: Fields) -> None:
    seen: set[bytes] = set()
    for name, _ in fields:
        if name in seen and name in SINGLETONS:
            raise malformed(f"{name.decode('ascii')} comes twice")
        seen.add(name)


def _origin_form(target: bytes, host: bytes) -> bytes:
    """The absolute form names the host a second time (RFC 9112, 3.2.2). It must be the same one."""
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise malformed("the request target is neither a path nor a URL")
    authority, path, query = absolute.groups()
    if authority.lower() != host.lower():
        raise malformed("the request target and Host name different hosts")
    return (path or b"/") + query


def _length(last: dict[bytes, bytes]) -> int | None:
    coding, length = last.get(b"transfer-encoding"), last.get(b"content-length")
    if coding is not None:
        if length is not None:
            raise malformed("both Content-Length and Transfer-Encoding")
        if coding.lower() != b"chunked":
            raise malformed("Transfer-Encoding knows only chunked")
        return None
    if length is None:
        return 0
    if _LENGTH.fullmatch(length) is None:
        raise malformed("Content-Length is not a number")
    return int(length)


def _asks_to_close(fields: Fields) -> bool:
    return any(name == b"connection" and b"close" in map(bytes.strip, value.lower().split(b",")) for name, value in fields)
