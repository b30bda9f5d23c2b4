"""Where one upstream answer ends and the next begins: strict HTTP/1.1 framing (RFC 9112) on httptools' response parser.

llhttp itself refuses bare CR and LF, obs-fold, control characters, a second or malformed Content-Length, and Content-Length beside
Transfer-Encoding. What it forgives is refused here: other versions and protocols, statuses outside 200-599, codings other than one
`chunked`, floods of fields and of interim answers, and anything at all after the end, which is how answers of other calls are forged.
"""

from __future__ import annotations

import httptools

HEADERS_MAX = 256
INTERIM_MAX = 16
_BODYLESS = frozenset({204, 304})


class Malformed(Exception):  # noqa: N818
    """The bytes are no unambiguous answer. The text is for the log and quotes nothing of them."""


class Framing:
    """Reads the answers of one connection, one at a time: `expect`, then `feed` until `head_done` and `done`.

    `headers` have names in lower case. `chunks` collects body bytes for the owner, who takes them out and resets `buffered`.
    `length` is the declared Content-Length. `until_eof` says that only the end of the connection ends the body.
    """

    __slots__ = (
        "_expects_body",
        "_fault",
        "_fed",
        "_field_bytes",
        "_head_bytes_max",
        "_interim",
        "_is_interim",
        "_parser",
        "_received",
        "_received_max",
        "_started",
        "_used",
        "buffered",
        "chunks",
        "done",
        "head_done",
        "headers",
        "keep_alive",
        "length",
        "status",
        "until_eof",
    )

    def __init__(self, head_bytes_max: int, body_bytes_max: int) -> None:
        self._head_bytes_max = head_bytes_max
        self._received_max = body_bytes_max
        self._used = True
        self.expect(expects_body=True)

    def expect(self, *, expects_body: bool) -> None:
        """Get ready for the next answer; `expects_body` is False for the answer to a HEAD."""
        if self._used:
            self._parser = httptools.HttpResponseParser(self)
        self._used = not expects_body  # the parser does not know of HEAD and would still wait for its body
        self._expects_body = expects_body
        self._fault = ""
        self._fed = self._field_bytes = self._interim = self._received = 0
        self._is_interim = self._started = False
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.chunks: list[bytes] = []
        self.buffered = 0
        self.length: int | None = None
        self.head_done = self.done = self.keep_alive = self.until_eof = False

    def feed(self, data: bytes) -> None:
        """Take what was read. Raises Malformed; then nothing more may be fed."""
        if not self.head_done:
            if self._fed > self._head_bytes_max:
                raise Malformed("the head is too large")
            if not self._started:
                self._started = True
                if not data.startswith(b"HTTP/1."[: len(data)]):
                    raise Malformed("not an HTTP/1 answer")
            self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise Malformed(self._fault or f"the parser refuses it: {type(error).__name__}") from None

    def end(self) -> bool:
        """The connection ended in an orderly way: whether the answer is complete now."""
        if self.until_eof and self.head_done:
            self.done = True
        return self.done

    def _refuse(self, why: str) -> None:
        self._fault = why
        raise Malformed(why)

    # called by the parser

    def on_message_begin(self) -> None:
        if self.done:
            self._refuse("bytes after the end of the answer")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._field_bytes += len(name) + len(value) + 4
        if self._field_bytes > self._head_bytes_max or len(self.headers) >= HEADERS_MAX:
            self._refuse("too many or too large header fields")
        if not self.head_done:  # a trailer is counted, and dropped: it must never become a header
            self.headers.append((name.lower(), value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        parser = self._parser
        status = parser.get_status_code()
        if parser.get_http_version() not in ("1.1", "1.0"):
            self._refuse("another version of HTTP")
        if 100 <= status < 200:
            self._interim += 1
            if status == 101 or self._interim > INTERIM_MAX:
                self._refuse("a change of protocol, or too many interim answers")
            self._is_interim = True
            self.headers = []
            return
        if not 200 <= status <= 599:
            self._refuse("a status outside 200-599")
        self.status = status
        self._frame()
        # After HEAD a careless server sends the body all the same, and late: it would pass for the answer to another agent's call.
        self.keep_alive = self._expects_body and parser.should_keep_alive()
        self.head_done = True
        if not self._expects_body:
            self.done = True

    def _frame(self) -> None:
        """Find how the body ends (RFC 9112 section 6.3)."""
        coded = False
        for name, value in self.headers:
            if name == b"content-length":
                if self.length is not None or not value.isdigit():
                    self._refuse("ambiguous Content-Length")
                self.length = int(value[:20])
            elif name == b"transfer-encoding":
                if coded or value.lower() != b"chunked":
                    self._refuse("a transfer coding other than chunked")
                coded = True
        if coded and (self.length is not None or self._parser.get_http_version() == "1.0"):
            self._refuse("Transfer-Encoding beside Content-Length, or in HTTP/1.0")
        if not self._expects_body or self.status in _BODYLESS:
            return
        if self.length is not None and self.length > self._received_max:
            self._refuse("the body is larger than allowed")
        self.until_eof = not coded and self.length is None

    def on_body(self, data: bytes) -> None:
        if self.done:
            self._refuse("a body where there is none")
        self.chunks.append(data)
        self.buffered += len(data)
        self._received += len(data)
        if self._received > self._received_max:
            self._refuse("the body is larger than allowed")

    def on_message_complete(self) -> None:
        if self._is_interim:
            self._is_interim = False
        else:
            self.done = True
