"""Derives canonical facts from arguments: what a policy can compare safely where the text itself can be spelled in many ways.

`like "/data/*"` matches "/data/../etc/passwd", and host names have upper case. A contract declares per argument what it means (FACT_KINDS);
policy then reads `context.facts.ARGUMENT`. What cannot be read without doubt is refused as unrepresentable.

A list has the facts of all its items together: sets of what there is (`hosts`), and of what holds for every item (`domains`, `folders`), because
policies have no "for all".
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections.abc import Callable, Iterable
from urllib.parse import SplitResult, unquote, urlsplit

from gateway.authorize.hosts import address, email, host, recipients, suffixes
from gateway.authorize.shapes import Shape, record
from gateway.authorize.typed import Unrepresentable, raw, string
from gateway.call import FACT_KINDS
from gateway.canonical import Json

PARTS_MAX = 64
PATH_CHARS_MAX = 4_096

_STRING: dict[str, Json] = {"type": "String"}
_LONG: dict[str, Json] = {"type": "Long"}
_STRINGS: dict[str, Json] = {"type": "Set", "element": _STRING}
_IP: dict[str, Json] = {"type": "Extension", "name": "ipaddr"}
_PORTS = {"http": 80, "https": 443}
_DOTS = frozenset({"", ".", ".."})

_Attributes = dict[str, tuple[dict[str, Json], bool]]
_MAY: _Attributes = {"ip": (_IP, False)}


def _have(kind: dict[str, Json], *names: str) -> _Attributes:
    return dict.fromkeys(names, (kind, True))


_MAIL_SETS = _have(_STRINGS, "addresses", "hosts", "domains", "registrables")
_ONE: dict[str, _Attributes] = {
    "path": _have(_STRING, "path") | _have(_STRINGS, "folders"),
    "url": _have(_STRING, "scheme", "host", "registrable", "path") | _have(_STRINGS, "domains") | _have(_LONG, "port") | _MAY,
    "host": _have(_STRING, "host", "registrable") | _have(_STRINGS, "domains") | _MAY,
    "email": _have(_STRING, "address", "domain", "registrable") | _have(_STRINGS, "domains"),
    "recipients": _MAIL_SETS | _have(_LONG, "count"),
    "ip": _have(_STRING, "address") | _have(_IP, "ip"),
    "size": _have(_LONG, "size"),
}
_IPS: _Attributes = {"ips": ({"type": "Set", "element": _IP}, True)}
_MANY: dict[str, _Attributes] = {
    "path": _have(_STRINGS, "paths", "folders"),
    "url": _have(_STRINGS, "schemes", "hosts", "domains", "registrables") | _IPS,
    "host": _have(_STRINGS, "hosts", "domains", "registrables") | _IPS,
    "email": _MAIL_SETS,
    "recipients": _MAIL_SETS | _have(_LONG, "count"),
    "ip": _have(_STRINGS, "addresses") | _IPS,
    "size": _have(_LONG, "size"),
}


def fact_type(kind: str, shape: Shape, *, many: bool = False) -> dict[str, Json]:
    """The Cedar record that `context.facts.ARGUMENT` will be. `many`: there are any number of values of this shape.

    Raises ValueError when such a fact cannot be had from such an argument. Reads the public suffix list where it will be needed.
    """
    if kind not in FACT_KINDS:
        raise ValueError(f"{kind!r} is no kind of fact: use {', '.join(FACT_KINDS)}")
    if kind == "size":
        if shape.kind in {"long", "decimal", "boolean"}:
            raise ValueError("a size is read from a text, a list or an object")
        return record(_ONE["size"])
    listed = shape.kind == "set"
    if (shape.items.kind if listed and shape.items else shape.kind) != "string":
        raise ValueError(f"a {kind} is read from a string or a list of strings")
    if kind not in {"path", "ip"}:
        suffixes()
    return record((_MANY if listed or many else _ONE)[kind])


def derive(kind: str, value: Json) -> dict[str, Json]:
    """The facts of one argument. Raises Unrepresentable."""
    if kind == "size":
        return {"size": _size(value)}
    if isinstance(value, list):
        return _together(kind, value)
    if kind == "recipients":
        return _recipients(recipients(string(value)))
    return _READERS[kind](string(value))


def derive_many(kind: str, values: Iterable[Json]) -> dict[str, Json]:
    """The facts of what stands below a list: any number of texts, or lists of texts."""
    if kind == "size":
        return {"size": sum(map(_size, values))}
    return _together(kind, [item for value in values for item in (value if isinstance(value, list) else [value])])


def _size(value: Json) -> int:
    """Bytes of a text, items of a list, bytes of the canonical JSON of anything else."""
    if isinstance(value, list):
        return len(value)
    return len((string(value) if isinstance(value, str) else raw(value)).encode())


def _together(kind: str, values: list[Json]) -> dict[str, Json]:
    texts = [string(value) for value in values]
    if kind == "recipients":
        return _recipients([one for text in texts for one in recipients(text)])
    found = [_READERS[kind](text) for text in texts]
    match kind:
        case "path":
            return {"paths": _each(found, "path"), "folders": _every(found, "folders")}
        case "url":
            return {"schemes": _each(found, "scheme"), **_hosts(found, "host"), "ips": _ips(found)}
        case "host":
            return {**_hosts(found, "host"), "ips": _ips(found)}
        case "ip":
            return {"addresses": _each(found, "address"), "ips": _ips(found)}
        case _:
            return {"addresses": _each(found, "address"), **_hosts(found, "domain")}


def _recipients(found: list[dict[str, Json]]) -> dict[str, Json]:
    addresses = _each(found, "address")
    return {"addresses": addresses, **_hosts(found, "domain"), "count": len(addresses)}


def _hosts(found: list[dict[str, Json]], name: str) -> dict[str, Json]:
    return {"hosts": _each(found, name), "domains": _every(found, "domains"), "registrables": _each(found, "registrable")}


def _each(found: list[dict[str, Json]], name: str) -> list[str]:
    return sorted({item[name] for item in found})


def _every(found: list[dict[str, Json]], name: str) -> list[str]:
    """What holds for every item; of no item nothing is said."""
    return sorted(set[str].intersection(*(set(item[name]) for item in found))) if found else []


def _ips(found: list[dict[str, Json]]) -> list[Json]:
    texts = {item["ip"]["__extn"]["arg"] for item in found if "ip" in item}
    return [{"__extn": {"fn": "ip", "arg": text}} for text in sorted(texts)]


def _path(value: str) -> dict[str, Json]:
    """An absolute path without dot segments, double or trailing slashes. One that still holds an escape or a backslash could be read in two ways."""
    if "\\" in value or unquote(value) != value:
        raise Unrepresentable("the path holds an escape or a backslash")
    if any(unicodedata.category(letter) == "Cc" for letter in value):
        raise Unrepresentable("the path holds a control character")
    if not value.isascii() and _folds(value):
        raise Unrepresentable("the path holds a letter that some systems read as a separator")
    depth = 0
    for part in value.split("/"):
        if part not in _DOTS and _bare(part) in _DOTS:
            raise Unrepresentable("a part of the path is a dot segment to some systems")
        depth += -1 if part == ".." else part not in ("", ".")
        if depth < 0:  # some stop at the root, others climb out of the folder that the tool serves
            raise Unrepresentable("the path climbs above its beginning")
    path = posixpath.normpath("/" + value.strip("/"))
    parts = path.split("/")[1:]
    if len(parts) > PARTS_MAX or len(path) > PATH_CHARS_MAX:
        raise Unrepresentable("the path is too long")  # `folders` grows with the square of the parts
    folders = ["/", *("/" + "/".join(parts[:n]) for n in range(1, len(parts)))] if path != "/" else ["/"]
    return {"path": path, "folders": folders}


def _folds(value: str) -> bool:
    """Whether compatibility forms cut it elsewhere: U+FF0F is a slash to who normalises."""
    return any(value.count(sign) != unicodedata.normalize("NFKC", value).count(sign) for sign in "/\\%;")


def _bare(part: str) -> str:
    """A part as some read it: U+2025 as two dots, without parameters (`..;x=1`), without blanks at its end, without dots beyond two."""
    name = unicodedata.normalize("NFKC", part).partition(";")[0]
    return ".." if name.startswith("..") and not name.strip(". ") else name.rstrip(" ")


def _url(value: str) -> dict[str, Json]:
    if not value.isascii() or re.search(r"[\x00-\x20\x7f\\]", value):
        raise Unrepresentable("the URL holds a space, a backslash, a control character or a character that is not ASCII")
    try:
        parts: SplitResult = urlsplit(value)
        name, port = parts.hostname, parts.port
    except ValueError:
        raise Unrepresentable("this is not a URL") from None
    scheme = parts.scheme.lower()
    if not scheme or not name:
        raise Unrepresentable("the URL is not absolute")
    if parts.username is not None or parts.password is not None:
        raise Unrepresentable("the URL holds a user name")
    return {
        **host(name),
        "scheme": scheme,
        "port": port if port is not None else _PORTS.get(scheme, 0),
        "path": _path(_plain(parts.path) or "/")["path"],
    }


def _plain(path: str) -> str:
    """The path of a URL without escapes. A separator or a dot that is escaped means one thing to some servers and another to others."""
    try:
        if re.search(r"%(?:2[ef]|5c)", path, re.IGNORECASE):
            raise Unrepresentable("the URL's path holds an escaped dot or separator")
        return unquote(path, errors="strict")
    except UnicodeDecodeError:
        raise Unrepresentable("the URL's path is not UTF-8") from None


_READERS: dict[str, Callable[[str], dict[str, Json]]] = {"path": _path, "url": _url, "host": host, "email": email, "ip": address}
