"""The echo guard: finds this call's own secret in the answer and covers it, so that an upstream's echo does not hand it to the agent.

Looked for: the secret as it is, percent-encoded, escaped as in JSON or HTML, and in Base64 (both alphabets) at each of the three places it can have
in a longer text, user name and password of HTTP Basic being one such text. `bytes.find` over a handful of needles costs 0.4 ms per
megabyte where a regular expression would cost a hundred. It stops careless echoes (debug endpoints, error pages); an upstream that wants
to give its secret away, reversed or in pieces, can.
"""

from __future__ import annotations

import base64
import html
import re
from urllib.parse import quote

from gateway.canonical import dumps
from gateway.secret import Secret

NEEDLE_BYTES_MIN = 6
"""Shorter needles would be found in innocent text. A secret shorter than this is looked for in its longer forms only."""
_FORMS_MAX = 256
_ESCAPE = re.compile("%[0-9A-F]{2}")
_SHY = re.compile(rb"[&<>]")
"""What Go and others write in JSON as an escape, for the sake of browsers."""


def _as_unicode(found: re.Match[bytes]) -> bytes:
    return b"\\u%04x" % ord(found[0])


class Needles:
    """The forms of one secret, in bytes. Never printed: it has no repr but its type's."""

    __slots__ = ("forms", "longest")

    def __init__(self, secret: Secret) -> None:
        text = secret.reveal()
        raw = text.encode()
        in_json = dumps(text)[1:-1]
        forms = {raw, html.escape(text).encode(), in_json, in_json.replace(b"/", b"\\/"), _SHY.sub(_as_unicode, in_json)}
        for safe in ("", "/", "/:", "!'()*", "-_.!~*'();/?:@&=+$,#"):  # as most libraries escape a value, a path, a URI
            escaped = quote(text, safe=safe)
            forms |= {form.encode() for form in (escaped, escaped.replace("%20", "+"), _ESCAPE.sub(lambda found: found[0].lower(), escaped))}
        for offset in range(3):
            coded = base64.b64encode(b"\0" * offset + raw)
            # the first characters mix with what stands before the secret, the last ones with what follows: only the middle is certain
            first = (0, 2, 3)[offset]
            certain = coded[first : (offset + len(raw)) * 8 // 6]
            if len(certain) >= NEEDLE_BYTES_MIN + 2:
                forms |= {certain, certain.replace(b"+", b"-").replace(b"/", b"_")}
        self.forms = tuple(sorted((f for f in forms if len(f) >= NEEDLE_BYTES_MIN), key=len, reverse=True))
        self.longest = max(map(len, self.forms), default=0)


class NeedleCase:
    """Keeps the needles of the credentials in use, by fingerprint. Bounded: it starts anew when it is full."""

    def __init__(self) -> None:
        self._kept: dict[str, Needles] = {}

    def needles(self, fingerprint: str, secret: Secret) -> Needles:
        found = self._kept.get(fingerprint)
        if found is None:
            if len(self._kept) >= _FORMS_MAX:
                self._kept.clear()
            found = self._kept[fingerprint] = Needles(secret)
        return found


def covered(data: bytes, needles: Needles) -> bytes:
    """The same bytes with every needle replaced by as many asterisks; the same object when there was none."""
    for form in needles.forms:
        if form in data:
            data = data.replace(form, b"*" * len(form))
    return data


class StreamGuard:
    """Covers needles in a stream, also across the borders of its chunks. Holds back only bytes that might be the start of a needle."""

    __slots__ = ("_held", "_needles", "found")

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self._held = b""
        self.found = False

    def pass_on(self, chunk: bytes) -> bytes:
        """What may go down now; empty when all of it must wait for the next chunk."""
        data = self._held + chunk if self._held else chunk
        clean = covered(data, self._needles)
        self.found = self.found or clean is not data
        keep = self._suspect(clean)
        self._held = clean[len(clean) - keep :]
        return clean[: len(clean) - keep] if keep else clean

    def rest(self) -> bytes:
        """What was held back, at the end."""
        held, self._held = self._held, b""
        return held

    def _suspect(self, data: bytes) -> int:
        """The length of the longest tail that a needle begins with."""
        longest = 0
        for form in self._needles.forms:
            tail = data[-(len(form) - 1) :]
            at = tail.find(form[:1])
            while at >= 0:
                if form.startswith(tail[at:]):
                    longest = max(longest, len(tail) - at)
                    break
                at = tail.find(form[:1], at + 1)
        return longest
