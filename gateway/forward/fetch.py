"""The gateway's own errands over HTTP: a small answer from a witness, a peer, a Prometheus. Calls of agents never go this way."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import httpx2


class FetchFailed(Exception):  # noqa: N818
    """There is no answer that can be used. The text says why, and holds nothing of the answer."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer. `type` is the media type without parameters, lower case."""

    status: int
    type: str
    body: bytes


class Fetcher:
    """Fetches small things whole. No redirect is followed, no proxy, cookie or netrc of the environment is used, no coding is undone."""

    def __init__(self, ca: ssl.SSLContext | None = None) -> None:
        self._client = httpx2.AsyncClient(verify=ca or ssl.create_default_context(), trust_env=False, follow_redirects=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, url: str, *, bytes_max: int, timeout_s: float) -> Fetched:
        """Raises FetchFailed."""
        return await self._send(httpx2.Request("GET", url, headers=_PLAIN), bytes_max, timeout_s)

    async def post(self, url: str, body: bytes, kind: str, *, bytes_max: int, timeout_s: float) -> Fetched:
        """`kind` is the body's media type. Raises FetchFailed."""
        return await self._send(httpx2.Request("POST", url, headers={**_PLAIN, "content-type": kind}, content=body), bytes_max, timeout_s)

    async def _send(self, request: httpx2.Request, bytes_max: int, timeout_s: float) -> Fetched:
        try:
            async with asyncio.timeout(timeout_s):
                response = await self._client.send(request, stream=True, follow_redirects=False)
                try:
                    return await _read(response, bytes_max)
                finally:
                    await response.aclose()
        except TimeoutError as error:
            raise FetchFailed(f"no whole answer within {timeout_s:g} s") from error
        except httpx2.HTTPError as error:
            raise FetchFailed(f"{type(error).__name__}: {error}") from error


_PLAIN = {"accept-encoding": "identity", "user-agent": "portreeve"}


async def _read(response: httpx2.Response, bytes_max: int) -> Fetched:
    if response.headers.get("content-encoding", "identity") != "identity":
        raise FetchFailed("the answer is coded, and that was not asked for")
    body = bytearray()
    async for piece in response.aiter_raw():
        body += piece
        if len(body) > bytes_max:
            raise FetchFailed(f"the answer is longer than {bytes_max} bytes")
    return Fetched(response.status_code, response.headers.get("content-type", "").partition(";")[0].strip().lower(), bytes(body))
