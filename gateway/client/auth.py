"""Authentication of an httpx2 client towards the gateway, and clients that have it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx2

from gateway.client.key import AgentKey
from gateway.client.service import TokenService
from gateway.client.settings import settings
from gateway.client.sources import Enrolled, choose
from gateway.client.tokens import Held, Tokens
from gateway.errors import Problem
from gateway.secret import Secret

_FIELDS = ("authorization", "dpop")


class GatewayAuth(httpx2.Auth):
    """Puts the agent's token on requests to the gateway, for `httpx2.Client` and `httpx2.AsyncClient`. One may serve many of both, on all threads.

    It serves httpx, too, as `class Auth(GatewayAuth, httpx.Auth)` without a body, and `requests` as it is: the latter's requests are not sent again.

    `url`: the gateway's; without it PORTREEVE_URL, then that of the key file. `token` or `key_file`: instead of what the environment has.
    `dpop`: bind tokens to a key that only this process has, or to one of yours, and prove it with each request (RFC 9449). `issuer`: the gateway's own URL, when it
    is reached by another. `scope`: what the tokens shall be limited to, separated by spaces. `transport`: for tokens instead of the
    default one, for example `httpx2.HTTPTransport(verify=context)` with a CA of your own.

    A token is renewed at 80 % of its life, and once when the gateway says `invalid_token`. That call is sent again if its body can be; the gateway
    passed nothing on. Raises Problem when there is no source of tokens, when it fails, and for a request to any other origin: that one is not sent.
    `client` and `async_client` send nothing to another origin, redirects included. A client of your own that follows redirects is asked only for its
    first request; httpx2 then drops the token for another host, but keeps it from http to https of the same one: leave `follow_redirects` off.
    """

    def __init__(
        self,
        url: str = "",
        *,
        token: str = "",
        key_file: Path | str = "",
        dpop: bool | AgentKey = False,
        issuer: str = "",
        scope: str = "",
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        found = settings()
        if token:
            source = choose(replace(found, token_file=None, key_file=None, platform_token=None, spiffe="", token=Secret(token)))
        else:
            source = choose(replace(found, token_file=None, key_file=Path(key_file)) if key_file else found)
        named = url or found.url or (source.key.url if isinstance(source, Enrolled) else "")
        if not named:
            raise Problem("no_gateway", "nothing says where the gateway is", remedy="set PORTREEVE_URL")
        self.url = named.rstrip("/")
        self._origin = _origin_of(self.url)
        self._issuer = (issuer or found.issuer or self.url).rstrip("/")
        service = TokenService(self.url, self._issuer, transport)
        yours = dpop if isinstance(dpop, AgentKey) else None
        self.tokens = Tokens(source, service, scope, key=yours or (AgentKey.make() if dpop else None), are_bound=yours is not None)

    def sync_auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """The flow for `httpx2.Client`."""
        self._check(request)
        whole = _is_whole(request)
        held = self.tokens.get()
        response = yield self._signed(request, held)
        if whole and self._was_refused(request, response):
            other = self.tokens.after(held)
            if other is not None:
                yield self._signed(request, other)

    async def async_auth_flow(self, request: httpx2.Request) -> AsyncGenerator[httpx2.Request, httpx2.Response]:
        """The flow for `httpx2.AsyncClient`. What blocks is done in a thread; one asks, and the other tasks take its answer."""
        self._check(request)
        whole = _is_whole(request)
        held = self.tokens.fresh()
        if held is None:
            held = await asyncio.to_thread(self.tokens.get)
        response = yield self._signed(request, held)
        if whole and self._was_refused(request, response):
            other = await asyncio.to_thread(self.tokens.after, held)
            if other is not None:
                yield self._signed(request, other)

    def __call__(self, request: Any) -> Any:
        """The request with its token, for libraries whose authentication is a callable, such as `requests`. Blocks while a token is asked for."""
        self._check(request)
        return self._signed(request, self.tokens.get())

    def headers(self, method: str, url: str) -> dict[str, str]:
        """The fields for one request that something else sends. With `dpop` they are good for this method and URL, once, within a minute."""
        request = httpx2.Request(method, httpx2.URL(self.url).join(url))
        self._check(request)
        fields = self._signed(request, self.tokens.get()).headers
        return {{"authorization": "Authorization", "dpop": "DPoP"}[name]: fields[name] for name in _FIELDS if name in fields}

    def _check(self, request: httpx2.Request) -> None:
        url = _url_of(request)
        if url.origin != self._origin:
            _strip(request)
            remedy = "call it as a tool of the gateway, or with a client of its own"
            raise Problem("foreign_origin", f"{url.host} is not the gateway, so it gets no token and no request", remedy=remedy)

    def _signed(self, request: httpx2.Request, held: Held) -> httpx2.Request:
        token = held.token.reveal()
        _strip(request)
        request.headers["authorization"] = f"{'DPoP' if held.bound else 'Bearer'} {token}"
        if self.tokens.key is not None:
            path = _url_of(request).raw_path.partition(b"?")[0].decode("ascii")
            request.headers["dpop"] = self.tokens.key.proof(request.method, self._issuer + path, token)
        return request

    def _was_refused(self, request: httpx2.Request, response: httpx2.Response) -> bool:
        """Whether it is the gateway that refused the token, of this request and not of one that it was redirected to."""
        challenge = response.headers.get("www-authenticate", "")
        return response.status_code == 401 and 'error="invalid_token"' in challenge and response.url == request.url


class _Guard(httpx2.BaseTransport):
    """Lets requests through to the gateway only, those of redirects included."""

    def __init__(self, auth: GatewayAuth, inner: httpx2.BaseTransport) -> None:
        self._auth = auth
        self._inner = inner

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        self._auth._check(request)  # noqa: SLF001 - of the same file
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


class _AsyncGuard(httpx2.AsyncBaseTransport):
    """The same for tasks."""

    def __init__(self, auth: GatewayAuth, inner: httpx2.AsyncBaseTransport) -> None:
        self._auth = auth
        self._inner = inner

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self._auth._check(request)  # noqa: SLF001 - of the same file
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        await self._inner.aclose()


def client(url: str = "", *, auth: GatewayAuth | None = None, transport: httpx2.BaseTransport | None = None, **options: Any) -> httpx2.Client:
    """An `httpx2.Client` at the gateway: a path is enough to call a tool. It sends nothing to another origin and ignores proxies of the environment.

    `auth`: when tokens shall come from somewhere special; else `GatewayAuth(url)`. `transport`: as there, for calls. `options` go to `httpx2.Client`. Raises Problem as GatewayAuth does.
    """
    auth = auth or GatewayAuth(url)
    guard = _Guard(auth, transport or httpx2.HTTPTransport(trust_env=False))
    return httpx2.Client(**{"base_url": auth.url, "trust_env": False, **options}, auth=auth, transport=guard)


def async_client(
    url: str = "", *, auth: GatewayAuth | None = None, transport: httpx2.AsyncBaseTransport | None = None, **options: Any
) -> httpx2.AsyncClient:
    """The same as `client`, an `httpx2.AsyncClient` for asyncio."""
    auth = auth or GatewayAuth(url)
    guard = _AsyncGuard(auth, transport or httpx2.AsyncHTTPTransport(trust_env=False))
    return httpx2.AsyncClient(**{"base_url": auth.url, "trust_env": False, **options}, auth=auth, transport=guard)


def _is_whole(request: httpx2.Request) -> bool:
    """Whether the whole body is at hand, so that it can be sent again."""
    try:
        return request.content is not None
    except RuntimeError:  # RequestNotRead, of httpx2 or of httpx
        return False


def _url_of(request: Any) -> httpx2.URL:
    """The URL of a request of httpx2, or of a library that has another type for it."""
    return request.url if isinstance(request.url, httpx2.URL) else httpx2.URL(str(request.url))


def _strip(request: httpx2.Request) -> None:
    for name in _FIELDS:
        request.headers.pop(name, None)


def _origin_of(url: str) -> Any:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        parsed = httpx2.URL("")
    if parsed.scheme not in {"http", "https"} or not parsed.host or parsed.userinfo or parsed.query or parsed.fragment:
        raise Problem("no_gateway", "the gateway's URL is not http(s)://HOST[:PORT]", remedy="set PORTREEVE_URL to [gateway] url")
    return parsed.origin
