"""The HTTP client's one place: our direct transport, which is also an httpx2 transport, and httpx2's own behind the same seam."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator

import httpx2

from gateway.config.addresses import may_call
from gateway.config.model import ToolSettings
from gateway.credential import ClientCertificate
from gateway.dial import ADDRESSES_MAX, Lookup, Resolve, resolve
from gateway.forward.connection import SHORT_BYTES_MAX
from gateway.forward.exchange import Failed, Incoming, Outgoing, Transport
from gateway.forward.framing import HEADERS_MAX
from gateway.forward.pool import Origin, Pool, tls_for
from gateway.forward.stream import PulledStream

_FRAMING = (b"content-length", b"transfer-encoding")
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


def open_transport(tool: ToolSettings, ask: Resolve = resolve, certificate: ClientCertificate | None = None) -> Transport:
    """The transport that the tool's settings ask for, for calls that show this certificate, or none. `ask` resolves names. Raises SSLError for a certificate that cannot be used."""
    return DirectTransport(tool, ask, certificate) if tool.transport == "direct" else LibraryTransport(tool, ask, certificate)


class DirectTransport(httpx2.AsyncBaseTransport):
    """HTTP/1.1 to one origin on our own connections. `send` is the hot path: bytes in, bytes out, no request, response or URL object."""

    def __init__(self, tool: ToolSettings, ask: Resolve = resolve, certificate: ClientCertificate | None = None) -> None:
        self._origin = Origin.of(tool.url)
        self.pool = Pool(tool, ask, certificate)

    async def send(self, outgoing: Outgoing) -> Incoming:
        return await self.pool.send(outgoing)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """The same for code that speaks httpx2. Raises its TransportErrors."""
        url = request.url
        if (url.scheme, url.host, url.port or (443 if url.scheme == "https" else 80)) != (self._origin.scheme, self._origin.host, self._origin.port):
            raise httpx2.UnsupportedProtocol("this transport is bound to another origin")
        names = {name.lower() for name, _ in request.headers.raw}
        head = b"%b %b HTTP/1.1\r\n" % (request.method.encode("ascii"), url.raw_path)
        head += b"".join(b"%b: %b\r\n" % field for field in request.headers.raw) + b"\r\n"
        if head.count(b"\n") != len(request.headers.raw) + 2:
            raise httpx2.LocalProtocolError("a header field holds a line break")
        body = _RequestBody(request) if names.intersection(_FRAMING) else None
        outgoing = Outgoing(head, body, expects_body=request.method != "HEAD", repeatable=request.method in _REPEATABLE)
        try:
            incoming = await self.send(outgoing)
        except Failed as failed:
            raise _translated(failed) from failed
        if isinstance(incoming.body, bytes):
            return httpx2.Response(incoming.status, headers=incoming.headers, content=incoming.body, request=request)
        return httpx2.Response(incoming.status, headers=incoming.headers, stream=_ResponseStream(incoming.body), request=request)

    def drain(self) -> None:
        self.pool.drop_idle()

    async def aclose(self) -> None:
        await self.pool.close()


class LibraryTransport:
    """httpx2's own transport behind our seam, for doubt about ours.

    No connection is used twice: its parser keeps bytes that follow an answer and takes them for the next one (response queue poisoning).
    It is laxer in the head of an answer than ours (obs-fold, bare LF, floods of interim answers up to the deadline).
    """

    def __init__(self, tool: ToolSettings, ask: Resolve = resolve, certificate: ClientCertificate | None = None) -> None:
        self._origin = Origin.of(tool.url)
        self._tool = tool
        self._lookup = Lookup(ask)
        self._may_call = may_call(self._origin.host, tool.allow_private)
        self._transport = httpx2.AsyncHTTPTransport(
            verify=tls_for(tool, certificate) if self._origin.scheme == "https" else False,
            http1=True,
            http2=False,
            trust_env=False,
            retries=0,
            limits=httpx2.Limits(max_connections=tool.connections_max, max_keepalive_connections=0),
        )
        self._timeouts = {
            "connect": tool.connect_timeout_s,
            "read": tool.read_timeout_s,
            "write": tool.read_timeout_s,
            "pool": tool.queue_timeout_s,
        }

    async def send(self, outgoing: Outgoing) -> Incoming:
        response = await self._first_answer(outgoing)
        fault = self._fault(response)
        stream = response.stream
        if fault or not isinstance(stream, httpx2.AsyncByteStream):
            await response.aclose()
            raise Failed("invalid", fault or "no stream", sent=True)
        chunks = aiter(stream)

        async def read() -> bytes:
            try:
                data = await anext(chunks, b"")
            except httpx2.TransportError as error:
                raise _failed(error) from None
            if not data:
                await stream.aclose()  # the library holds the connection until it is told, even after the last byte
            return data

        headers = [(name.lower(), value) for name, value in response.headers.raw]
        body = PulledStream(read, stream.aclose)
        length = response.headers.get("content-length")
        if not outgoing.expects_body or response.status_code in (204, 304) or length == "0":
            await body.aclose()
            return Incoming(response.status_code, headers, b"")
        if length is not None and int(length) <= SHORT_BYTES_MAX:
            return Incoming(response.status_code, headers, b"".join([chunk async for chunk in body]))
        return Incoming(response.status_code, headers, body)

    async def _first_answer(self, outgoing: Outgoing) -> httpx2.Response:
        """From the first address that can be connected to: the library is given addresses that were looked at, and never the name."""
        try:
            async with asyncio.timeout(self._tool.connect_timeout_s):
                found = await self._lookup(self._origin.host, self._origin.port)
        except (OSError, TimeoutError) as error:
            raise Failed("unreachable", type(error).__name__, sent=False) from None
        failed = Failed("unreachable", "the name resolves to no address that may be called", sent=False)
        for address in [str(a[0]) for *_, a in found if self._may_call(str(a[0]))][:ADDRESSES_MAX]:
            try:
                return await self._transport.handle_async_request(self._request(outgoing, address))
            except httpx2.ConnectError as error:
                failed = _failed(error)
            except httpx2.TransportError as error:
                raise _failed(error) from None
        raise failed

    def _request(self, outgoing: Outgoing, address: str) -> httpx2.Request:
        """The request of the head's own bytes, so that the library sends what was written, not what it would have written."""
        first, *fields = outgoing.head[:-4].split(b"\r\n")
        method, target, _ = first.split(b" ")
        headers = [(name, value) for name, _, value in (field.partition(b": ") for field in fields)]
        url = httpx2.URL(scheme=self._origin.scheme, host=address, port=self._origin.port, raw_path=target)
        if url.raw_path != target:
            raise Failed("invalid", "the library would send another target", sent=False)

        async def trace(event: str, _: object) -> None:
            if event.endswith("send_request_headers.started"):
                outgoing.sent = True

        body = outgoing.body
        content = body if body is None or isinstance(body, bytes) else _chunks(outgoing)
        request = httpx2.Request(
            method.decode("ascii"), url, content=content, extensions={"timeout": self._timeouts, "trace": trace, "sni_hostname": self._origin.host}
        )
        request.headers = httpx2.Headers(headers)
        return request

    def _fault(self, response: httpx2.Response) -> str:
        raw = response.headers.raw
        framing = [name.lower() for name, _ in raw if name.lower() in _FRAMING]
        if len(framing) > 1:
            return "ambiguous framing"
        if not 200 <= response.status_code <= 599:
            return "a status outside 200-599"
        size = sum(len(name) + len(value) + 4 for name, value in raw)
        if len(raw) > HEADERS_MAX or size > self._tool.response_header_bytes_max:
            return "too many or too large header fields"
        length = response.headers.get("content-length", "0")
        if not length.isdigit() or int(length[:20]) > self._tool.response_bytes_max:
            return "the body is larger than allowed"
        return ""

    def drain(self) -> None:
        """Nothing is ever idle."""

    async def aclose(self) -> None:
        await self._transport.aclose()


async def _chunks(outgoing: Outgoing) -> AsyncIterator[bytes]:
    outgoing.body_started = True
    assert outgoing.body is not None
    assert not isinstance(outgoing.body, bytes)
    async for chunk in outgoing.body.chunks():
        yield chunk
    outgoing.body_sent = True


def _failed(error: httpx2.TransportError) -> Failed:
    """An error of the library in our words. Its text may quote the request, so only its name is kept."""
    name = type(error).__name__
    match error:
        case httpx2.PoolTimeout():
            return Failed("overloaded", name, sent=False)
        case httpx2.ConnectError() | httpx2.ConnectTimeout():
            return Failed("unreachable", name, sent=False)
        case httpx2.TimeoutException():
            return Failed("timeout", name, sent=True)
        case httpx2.RemoteProtocolError() if "peer closed" not in str(error) and "disconnected" not in str(error):
            return Failed("invalid", name, sent=True)
        case _:
            return Failed("broken", name, sent=True)


def _translated(failed: Failed) -> httpx2.TransportError:
    match failed.kind:
        case "unreachable":
            return httpx2.ConnectError(failed.reason)
        case "overloaded":
            return httpx2.PoolTimeout(failed.reason)
        case "timeout":
            return httpx2.ReadTimeout(failed.reason)
        case "broken":
            return httpx2.ReadError(failed.reason)
        case "invalid":
            return httpx2.RemoteProtocolError(failed.reason)


class _RequestBody:
    """An httpx2 request's stream as our Body."""

    def __init__(self, request: httpx2.Request) -> None:
        length = request.headers.get("content-length")
        self.length = int(length) if length is not None else None
        self._stream = request.stream

    async def chunks(self) -> AsyncIterator[bytes]:
        if isinstance(self._stream, httpx2.AsyncByteStream):
            async for chunk in self._stream:
                yield chunk


class _ResponseStream(httpx2.AsyncByteStream):
    """Our stream as httpx2's."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks

    async def __aiter__(self) -> AsyncIterator[bytes]:
        try:
            async for chunk in self._chunks:
                yield chunk
        except Failed as failed:
            raise _translated(failed) from failed

    async def aclose(self) -> None:
        await self._chunks.aclose()
