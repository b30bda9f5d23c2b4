"""Which of the upstream's answer headers come down: an allow-list, a few that a tool may open, and some that never pass.

Passed besides the list: what the tool's `response_headers` names, `Set-Cookie` and `WWW-Authenticate` among them. Never: hop-by-hop fields,
`Alt-Svc` and `Strict-Transport-Security` (they would speak for the gateway's own host), proxy fields, and the gateway's own names.
`Content-Length` and `Content-Encoding` pass unchanged, since bodies pass unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urljoin, urlsplit

from gateway.call import Headers
from gateway.forward.exchange import Failed
from gateway.forward.pool import Origin

ALLOWED = frozenset(
    {
        "accept-ranges",
        "age",
        "allow",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "deprecation",
        "etag",
        "expires",
        "last-modified",
        "link",
        "location",
        "preference-applied",
        "ratelimit",
        "ratelimit-limit",
        "ratelimit-policy",
        "ratelimit-remaining",
        "ratelimit-reset",
        "request-id",
        "retry-after",
        "sunset",
        "vary",
        "x-ratelimit-limit",
        "x-ratelimit-remaining",
        "x-ratelimit-reset",
        "x-request-id",
    }
)
_NEVER = frozenset(
    {"alt-svc", "connection", "date", "keep-alive", "server", "strict-transport-security", "te", "trailer", "transfer-encoding", "upgrade", "via"}
)
_NEVER_PREFIXES = ("proxy-", "portreeve-")
_SINGLE = frozenset({"content-type", "content-range", "location", "etag"})

_URI = re.compile(rb"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]{1,8192}")
_LINK_TARGET = re.compile(r"<([^<>]*)>")
_HIDDEN_STEP = re.compile(r"%2[ef]|%5c", re.IGNORECASE)
"""What some clients decode into a dot or a slash before they resolve a reference."""
_PRINTABLE = re.compile(rb"[\t\x20-\x7e]*")


def allowed_names(response_headers: Iterable[str]) -> frozenset[bytes]:
    """The names that pass for a tool, as they stand in an answer."""
    own = {name.lower() for name in response_headers}
    return frozenset(n.encode() for n in ALLOWED | own if n not in _NEVER and not n.startswith(_NEVER_PREFIXES))


def passed_down(headers: list[tuple[bytes, bytes]], allowed: frozenset[bytes]) -> list[tuple[str, str]]:
    """The fields that pass, in order, names in lower case. Raises Failed invalid when one that may stand once stands twice.

    A field with bytes beyond printable ASCII is dropped: two readers could take it for two different things.
    """
    nominated: set[bytes] = set()
    for name, value in headers:
        if name == b"connection":
            nominated.update(part.strip().lower() for part in value.split(b","))
    found = [
        (name.decode("ascii"), value.decode("ascii"))
        for name, value in headers
        if name in allowed and name not in nominated and _PRINTABLE.fullmatch(value)
    ]
    if len(found) > 1:
        single = [name for name, _ in found if name in _SINGLE]
        if len(single) != len(set(single)):
            raise Failed("invalid", "a header field that may stand once stands twice", sent=True)
    return found


def with_places(headers: list[tuple[str, str]], origin: Origin, prefix: str, path: str) -> Headers:
    """Make `Location` and the targets of `Link` mean the same places seen through the gateway, or drop them.

    The gateway never follows a redirect: its credential is bound to a host. An agent that follows one, or turns a page, must stay behind the
    gateway too, and must not take its token elsewhere. So a place below the tool's base URL becomes a reference relative to the call's own
    path (it holds wherever the tool is mounted), and any other place is dropped; a `Link` field with it.
    `prefix` is the path of the base URL, `path` the full path that was called.
    """
    kept = []
    for name, value in headers:
        place: str | None = value
        if name == "location":
            place = _relative(value, origin, prefix, path)
        elif name == "link":
            place = _links(value, origin, prefix, path)
        if place is not None:
            kept.append((name, place))
    return tuple(kept)


def _links(value: str, origin: Origin, prefix: str, path: str) -> str | None:
    """A `Link` value (RFC 8288) with each target seen through the gateway; None when one leads elsewhere, or is not plainly between < and >."""
    targets = _LINK_TARGET.findall(value)
    places = {target: _relative(target, origin, prefix, path) for target in targets}
    if not targets or None in places.values() or not value.count("<") == value.count(">") == len(targets):
        return None
    return _LINK_TARGET.sub(lambda found: f"<{places[found[1]]}>", value)


def _relative(location: str, origin: Origin, prefix: str, path: str) -> str | None:
    if not _URI.fullmatch(location.encode("ascii")):
        return None
    base = f"{origin.scheme}://{origin.authority}{path}"
    try:
        place = urlsplit(urljoin(base, location))
        port = place.port or (443 if place.scheme == "https" else 80)
    except ValueError:
        return None
    if (place.scheme, place.hostname, port) != (origin.scheme, origin.host, origin.port) or "@" in place.netloc:
        return None
    if not place.path.startswith(prefix + "/") or "/../" in place.path + "/" or "//" in place.path or _HIDDEN_STEP.search(place.path):
        return None
    steps = path[len(prefix) :].count("/") - 1
    target = "../" * steps + place.path[len(prefix) + 1 :]
    if not target or not steps:
        target = "./" + target  # so that a colon in the first segment is no scheme, and the root is not an empty reference
    return target + (f"?{place.query}" if place.query else "") + (f"#{place.fragment}" if place.fragment else "")
