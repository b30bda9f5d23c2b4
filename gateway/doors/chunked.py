"""The chunked coding, decoded strictly: no extensions, no trailers, CRLF only (RFC 9112, 7.1).

Chunk extensions and trailers are legal and of no use to a tool call, while both have smuggled requests and credentials past gateways.
"""

from __future__ import annotations

import re

from gateway.doors.head import malformed

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})\r\n")
_SIZE_BEGUN = re.compile(rb"[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{1,8}\r")
SMALL_CHUNKS_MAX = 4_096
CHUNK_BYTES_MEAN_MIN = 64
"""Beyond the first SMALL_CHUNKS_MAX, chunks must hold this many bytes on average: one-byte chunks cost us far more than their sender."""


class Chunked:
    """Decodes one body. `done` is True once its last byte was seen."""

    __slots__ = ("_after_data", "_count", "_last", "_left", "_received", "done")

    def __init__(self) -> None:
        self.done = False
        self._left = 0
        self._after_data = False
        self._last = False
        self._count = 0
        self._received = 0

    def feed(self, raw: bytes) -> tuple[bytes, bytes]:
        """Decode what can be. Returns (body bytes, rest to be fed again with what follows). Raises Refusal malformed_request."""
        found: list[bytes] = []
        at = 0
        while not self.done:
            if self._left:
                piece = raw[at : at + self._left]
                if not piece:
                    break
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
                self._received += len(piece)
            elif self._after_data or self._last:
                if len(raw) - at < 2 and b"\r\n".startswith(raw[at:]):
                    break
                if raw[at : at + 2] != b"\r\n":
                    raise malformed("a trailer follows the body" if self._last else "a chunk is not as long as it says")
                at += 2
                self.done, self._after_data = self._last, False
            else:
                size = _SIZE.match(raw, at)
                if size is None:
                    if _SIZE_BEGUN.fullmatch(raw, at) is None:
                        raise malformed("a chunk size is not plain hexadecimal digits and CRLF")
                    break
                at = size.end()
                self._begin(int(size[1], 16))
        return b"".join(found), raw[at:]

    def _begin(self, size: int) -> None:
        self._left = size
        self._last, self._after_data = size == 0, size > 0
        self._count += 1
        if self._count > SMALL_CHUNKS_MAX + self._received // CHUNK_BYTES_MEAN_MIN:
            raise malformed("the chunks are too small")
