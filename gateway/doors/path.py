"""The canonical path: every path has one spelling, and a path with a second reading is refused.

Policy decides on the canonical path and exactly it is forwarded, so no upstream can unescape, fold or normalise it into another one
(Envoy CVE-2019-9901 and CVE-2021-29492, Traefik CVE-2025-66490, Heimdall CVE-2026-32811).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Never

from gateway.errors import Refusal

# Segments of plain pchar that are not empty and do not end in a dot; possessive, so linear. Nothing in them can be spelt otherwise.
_PLAIN = re.compile(rb"(?:/(?:\.*+[A-Za-z0-9_~!$&'()*+,=:@-])++)*+/?")
_PCHAR = re.compile(rb"(?:[A-Za-z0-9._~!$&'()*+,;=:@/-]|%[0-9A-Fa-f]{2})*+")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_~")
_NEVER = {
    0x23: "an encoded hash sign",
    0x25: "an encoded percent sign",
    0x2E: "an encoded dot",
    0x3B: "an encoded semicolon",
    0x3F: "an encoded question mark",
    0x5C: "an encoded backslash",
}
_BLANK = {"Zs", "Zl", "Zp", "Cf"}
"""Unicode categories that are invisible at the end of a name: spaces and format characters such as U+200B."""


def canonical(raw: bytes, *, encoded_slash: bool = False, semicolon: bool = False) -> str:
    """Return the one spelling of a path, in ASCII: unreserved characters plain, all else escaped with capitals.

    `encoded_slash` and `semicolon` let `%2F` and `;` stand, for tools that have them in their ids; never for dot segments.
    Raises Refusal path_refused for everything that somebody might read in a second way. Idempotent.
    """
    if _PLAIN.fullmatch(raw) and raw:
        return raw.decode("ascii")
    if raw[:1] != b"/":
        _refuse("it does not begin with a slash")
    if _PCHAR.fullmatch(raw) is None:
        _refuse("a character that a path cannot have, or a broken escape")
    if b";" in raw and not semicolon:
        _refuse("a semicolon")

    def respell(escape: re.Match[bytes]) -> bytes:
        byte = int(escape[1], 16)
        if byte in _UNRESERVED:
            return bytes((byte,))
        if byte in _NEVER:
            _refuse(_NEVER[byte])
        if byte == 0x2F and not encoded_slash:
            _refuse("an encoded slash")
        return escape[0].upper()

    spelt = _ESCAPE.sub(respell, raw)
    _check_segments(spelt)
    return spelt.decode("ascii")


def _check_segments(spelt: bytes) -> None:
    """Look at the path as an upstream will: unescaped, and cut at each slash."""
    try:
        text = _ESCAPE.sub(lambda escape: bytes((int(escape[1], 16),)), spelt).decode("utf-8")
    except UnicodeDecodeError:
        _refuse("it is not UTF-8")
    if unicodedata.normalize("NFKC", text) != unicodedata.normalize("NFC", text):
        _refuse("a character that some systems fold into another one")
    if any(unicodedata.category(letter) == "Cc" for letter in text):
        _refuse("an encoded control character")
    segments = text[1:].split("/")
    if not segments[-1] and not spelt.endswith(b"%2F"):
        segments.pop()  # a slash at the end is a spelling of its own, and upstreams tell it apart
    for segment in segments:
        parts = segment.split(";")  # servers of Java cut parameters off before they look for dots
        if not parts[0]:
            _refuse("an empty segment")
        if any(part and (part[-1] == "." or unicodedata.category(part[-1]) in _BLANK) for part in parts):
            _refuse("a segment that ends in a dot or a blank")


def _refuse(why: str) -> Never:
    raise Refusal("path_refused", f"The path has {why}" if why.startswith("a") else f"The path is refused: {why}", reason=why)
