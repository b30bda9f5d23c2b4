"""Derives canonical facts from arguments: what a policy can compare safely where the text itself can be spelled in many ways.

`like "/data/*"` matches "/data/../etc/passwd", and host names have upper case. A contract declares per argument what it means (path, url,
host, email, size); policy then reads `context.facts.ARGUMENT`. What cannot be read without doubt is refused as unrepresentable.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable
from urllib.parse import SplitResult, unquote, urlsplit

from gateway.authorize.shapes import Shape, record
from gateway.authorize.typed import Unrepresentable, string
from gateway.canonical import Json

PARTS_MAX = 64
PATH_CHARS_MAX = 4_096
KINDS = ("path", "url", "host", "email", "size")

_STRING: dict[str, Json] = {"type": "String"}
_LONG: dict[str, Json] = {"type": "Long"}
_STRINGS: dict[str, Json] = {"type": "Set", "element": _STRING}
_HOST = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_MAILBOX = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}")
_PORTS = {"http": 80, "https": 443}

_ONE: dict[str, dict[str, dict[str, Json]]] = {
    "path": {"path": _STRING, "folders": _STRINGS},
    "url": {"scheme": _STRING, "host": _STRING, "domains": _STRINGS, "port": _LONG, "path": _STRING},
    "host": {"host": _STRING, "domains": _STRINGS},
    "email": {"address": _STRING, "domain": _STRING, "domains": _STRINGS},
    "size": {"size": _LONG},
}
_MANY: dict[str, dict[str, dict[str, Json]]] = {
    "path": {"paths": _STRINGS},
    "url": {"schemes": _STRINGS, "hosts": _STRINGS},
    "host": {"hosts": _STRINGS},
    "email": {"addresses": _STRINGS, "hosts": _STRINGS},
    "size": {"size": _LONG},
}


def fact_type(kind: str, shape: Shape) -> dict[str, Json]:
    """The Cedar record that `context.facts.ARGUMENT` will be. Raises ValueError when such a fact cannot be had from such an argument."""
    if kind not in KINDS:
        raise ValueError(f"{kind!r} is no kind of fact: use {', '.join(KINDS)}")
    many = shape.kind == "set"
    inner = shape.items.kind if many and shape.items else shape.kind
    if inner != "string" and not (kind == "size" and many):
        raise ValueError(f"a {kind} is read from a string or a list of strings")
    return record({name: (cedar, True) for name, cedar in (_MANY if many else _ONE)[kind].items()})


def derive(kind: str, value: Json) -> dict[str, Json]:
    """The facts of one argument. Raises Unrepresentable."""
    if kind == "size":
        return {"size": len(value) if isinstance(value, list) else len(string(value).encode())}
    if not isinstance(value, list):
        return _READERS[kind](string(value))
    found = [_READERS[kind](string(item)) for item in value]
    match kind:
        case "path":
            return {"paths": _all(found, "path")}
        case "url":
            return {"schemes": _all(found, "scheme"), "hosts": _all(found, "host")}
        case "host":
            return {"hosts": _all(found, "host")}
        case _:
            return {"addresses": _all(found, "address"), "hosts": _all(found, "domain")}


def _all(found: list[dict[str, Json]], name: str) -> list[str]:
    return sorted({item[name] for item in found})


def _path(value: str) -> dict[str, Json]:
    """An absolute path without dot segments, double or trailing slashes. One that still holds an escape or a backslash could be read in two ways."""
    if "\0" in value or "\\" in value or unquote(value) != value:
        raise Unrepresentable("the path holds an escape, a backslash or NUL")
    depth = 0
    for part in value.split("/"):
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:  # some stop at the root, others climb out of the folder that the tool serves
            raise Unrepresentable("the path climbs above its beginning")
    path = posixpath.normpath("/" + value.strip("/"))
    parts = path.split("/")[1:]
    if len(parts) > PARTS_MAX or len(path) > PATH_CHARS_MAX:
        raise Unrepresentable("the path is too long")  # `folders` grows with the square of the parts
    folders = ["/", *("/" + "/".join(parts[:n]) for n in range(1, len(parts)))] if path != "/" else ["/"]
    return {"path": path, "folders": folders}


def _url(value: str) -> dict[str, Json]:
    if not value.isascii() or re.search(r"[\x00-\x20\x7f\\]", value):
        raise Unrepresentable("the URL holds a space, a backslash, a control character or a character that is not ASCII")
    try:
        parts: SplitResult = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Unrepresentable("this is not a URL") from None
    scheme = parts.scheme.lower()
    if not scheme or not host:
        raise Unrepresentable("the URL is not absolute")
    if parts.username is not None or parts.password is not None:
        raise Unrepresentable("the URL holds a user name")
    named = _host(host)
    return {**named, "scheme": scheme, "port": port if port is not None else _PORTS.get(scheme, 0), "path": _path(unquote(parts.path) or "/")["path"]}


def _host(value: str) -> dict[str, Json]:
    """A host name in lower case, with all domains it lies in: `domains.contains("example.com")` holds for a.example.com, never for badexample.com."""
    host = value.lower().removesuffix(".")
    if not _HOST.fullmatch(host):
        raise Unrepresentable("this is not a plain host name or IPv4 address")
    labels = host.split(".")
    numeric = all(label.isdigit() or label.startswith("0x") for label in labels)
    if numeric and not (len(labels) == 4 and all(label.isdigit() and str(int(label)) == label and int(label) < 256 for label in labels)):
        raise Unrepresentable("the address is not written as four plain numbers")
    return {"host": host, "domains": [host] if numeric else [".".join(labels[n:]) for n in range(len(labels))]}


def _email(value: str) -> dict[str, Json]:
    mailbox, at, domain = value.lower().rpartition("@")
    if not at or not _MAILBOX.fullmatch(mailbox):
        raise Unrepresentable("this is not a plain mail address")
    named = _host(domain)
    return {"address": f"{mailbox}@{named['host']}", "domain": named["host"], "domains": named["domains"]}


_READERS: dict[str, Callable[[str], dict[str, Json]]] = {"path": _path, "url": _url, "host": _host, "email": _email}
