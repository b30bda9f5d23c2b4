"""Small documents from other services: keys of issuers, answers about tokens. One request, strictly limited, and nothing inherited.

No redirect is followed, no proxy or cookie comes from the environment, the address is looked at before it is connected to (see dial.py), and
what comes back is small, whole and not encoded. Calls to tools do not pass here: they have forward/.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx2

from gateway.dial import ADDRESSES_MAX, Lookup, Resolve, anywhere, resolve

TIMEOUT_S = 3.0
HOSTS_MAX = 8


class FetchError(Exception):
    """No usable answer. The text says why and is safe for a log: it quotes nothing of the answer."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """An answer. Header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Fetcher:
    """Fetches with one set of trusted authorities: the system's, or those of `ca`. Holds no connection between requests."""

    def __init__(self, ca: Path | None = None, *, ask: Resolve = resolve, timeout_s: float = TIMEOUT_S) -> None:
        self._ca = ca
        self._ask = ask
        self._timeout_s = timeout_s
        self._tls: ssl.SSLContext | None = None
        self._lookups: dict[str, Lookup] = {}

    async def get(self, url: str, *, bytes_max: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """GET a document of at most `bytes_max` bytes, whatever its status. Raises FetchError."""
        return await self._fetch("GET", url, b"", bytes_max, headers or {})

    async def post(self, url: str, body: bytes, *, bytes_max: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """POST `body`; `headers` name its content type. Raises FetchError."""
        return await self._fetch("POST", url, body, bytes_max, headers or {})

    async def delete(self, url: str, *, bytes_max: int, headers: Mapping[str, str] | None = None) -> Fetched:
        """DELETE what is there. Raises FetchError."""
        return await self._fetch("DELETE", url, b"", bytes_max, headers or {})

    async def _fetch(self, method: str, url: str, body: bytes, bytes_max: int, headers: Mapping[str, str]) -> Fetched:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await self._ask_each_address(method, url, body, bytes_max, headers)
        except TimeoutError:
            raise FetchError(f"no answer within {self._timeout_s:g} s") from None
        except httpx2.TransportError as error:  # its text may quote the request
            raise FetchError(f"the request failed: {type(error).__name__}") from None
        except OSError as error:
            raise FetchError(f"the request failed: {error.strerror or type(error).__name__}") from None

    async def _ask_each_address(self, method: str, url: str, body: bytes, bytes_max: int, headers: Mapping[str, str]) -> Fetched:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        addresses = await self._addresses(host, port)
        transport = httpx2.AsyncHTTPTransport(verify=self._context() if parts.scheme == "https" else False, trust_env=False, retries=0)
        try:
            for number, address in enumerate(addresses, 1):
                target = httpx2.URL(url).copy_with(host=address)  # the address that was looked at; TLS still asks for the name
                fields = {"accept": "application/json", **headers, "host": parts.netloc, "accept-encoding": "identity"}
                request = httpx2.Request(method, target, headers=fields, content=body if method == "POST" else None)
                request.extensions["sni_hostname"] = host
                try:
                    response = await transport.handle_async_request(request)
                except httpx2.ConnectError:
                    if number == len(addresses):
                        raise
                    continue
                return await _read(response, bytes_max)
        finally:
            await transport.aclose()
        raise FetchError("the name resolves to no address that may be called")

    async def _addresses(self, host: str, port: int) -> list[str]:
        if len(self._lookups) >= HOSTS_MAX:
            self._lookups.clear()
        found = await self._lookups.setdefault(host, Lookup(self._ask))(host, port)
        return [str(address[0]) for *_, address in found if anywhere(str(address[0]))][:ADDRESSES_MAX]

    def _context(self) -> ssl.SSLContext:
        """TLS 1.2 or later, certificate and name verified. Made once: reading the authorities takes milliseconds."""
        if self._tls is None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.minimum_version = ssl.TLSVersion.TLSv1_2
            if self._ca is not None:
                context.load_verify_locations(cafile=self._ca)
            else:
                context.load_default_certs()
            self._tls = context
        return self._tls


async def _read(response: httpx2.Response, bytes_max: int) -> Fetched:
    try:
        if response.headers.get("content-encoding", "identity") != "identity":
            raise FetchError("the answer is encoded, although that was not asked for")
        body = b""
        stream = response.stream
        assert isinstance(stream, httpx2.AsyncByteStream)
        async for chunk in stream:
            body += chunk
            if len(body) > bytes_max:
                raise FetchError(f"the answer is larger than {bytes_max} bytes")
    finally:
        await response.aclose()
    return Fetched(response.status_code, {name.lower(): value for name, value in response.headers.items()}, body)
