"""`portreeve env | headers | enrol`, and where their tokens come from: signed with the deployment at hand, or asked for at the gateway's token service."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import shlex
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Protocol

import typer

from gateway.cli.identity import Minted, mint_here, wish_of
from gateway.cli.options import AgentName, Folder, ForUser, Scopes, Ttl
from gateway.cli.output import print_json
from gateway.client.auth import GatewayAuth, client
from gateway.client.key import AgentKey
from gateway.client.service import TokenService
from gateway.client.settings import settings as environment
from gateway.client.tokens import Held
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.errors import Problem
from gateway.identify import Wish
from gateway.inject.environment import without_secrets
from gateway.loading import audience
from gateway.secret import Secret

Url = Annotated[
    str,
    typer.Option(
        "--url", metavar="URL", help="The gateway's URL, on a machine without the deployment: its token service is asked. Else PORTREEVE_URL."
    ),
]
KeyFile = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The agent's key file, made by enrol, for such a machine. Else PORTREEVE_KEY_FILE.")
]


class Origin(Protocol):
    """Where an agent's tokens come from. `token` gives one with most of its life left; `end` ends what was asked for. Both raise Problem or Problems."""

    def token(self) -> Minted: ...

    def variables(self, token: Secret) -> dict[str, str]: ...

    def auth(self, *, bound: bool) -> GatewayAuth:
        """For calls of this process; `bound`: with tokens that are bound to a key of its own, and proofs. Raises as `token` does."""
        ...

    def environment(self) -> dict[str, str]:
        """What a command that runs as the agent may inherit."""
        ...

    def end(self) -> None: ...


class Here:
    """The deployment in a folder: tokens are signed with its key, and live as long as they may."""

    def __init__(self, settings: Settings, agent: str, wish: Wish) -> None:
        self._settings = settings
        self._agent = agent
        self._wish = wish

    def token(self) -> Minted:
        return mint_here(self._settings, self._agent, self._wish)

    def variables(self, token: Secret) -> dict[str, str]:
        return variables(self._settings.url, audience(self._settings), self._settings.tools, token)

    def auth(self, *, bound: bool) -> GatewayAuth:
        key = AgentKey.make()
        minted = mint_here(self._settings, self._agent, replace(self._wish, bound_to=key.thumbprint if bound else ""))
        url = self._settings.url
        return GatewayAuth(environment().url or url, issuer=url, token=minted.token.reveal(), dpop=key if bound else False)

    def environment(self) -> dict[str, str]:
        """All but the credentials of the deployment: they are what the agent must not have."""
        return without_secrets(self._settings)

    def end(self) -> None:
        """Nothing: whoever has the signing key needs no other."""


class There:
    """The token service of a gateway elsewhere, by the sources of gateway.client."""

    def __init__(self, agent: str, url: str, key: Path | None, scopes: tuple[str, ...]) -> None:
        self._agent = agent
        self._auth_of = partial(GatewayAuth, url, key_file=key or "", scope=" ".join(scopes))
        self._auth = self._auth_of()
        self._held: Held | None = None

    def token(self) -> Minted:
        tokens = self._auth.tokens
        try:
            held = tokens.get() if self._held is None else tokens.after(self._held) or self._held
        except Problem as problem:
            if problem.code != "invalid_dpop_proof" or tokens.key is not None:
                raise
            message = f"tokens of the agent {self._agent[:80]!r} must be bound to a key, and whoever only has the token has not the key"
            remedy = f"call with: portreeve curl --as {self._agent[:80]} PATH, or gateway.client with GatewayAuth(dpop=True)"
            raise Problem("key_needed", message, remedy=remedy) from problem
        self._held = held
        agent, expires_at, scopes = _said_by(held.token)
        if agent != self._agent:
            raise Problem("another_agent", f"what is here proves the agent {agent[:80]!r}, not {self._agent[:80]!r}", remedy="name that agent")
        life = held.ends_at - time.monotonic() if math.isfinite(held.ends_at) else expires_at - time.time()
        return Minted(held.token, agent, max(1, int(life)), expires_at, scopes)

    def variables(self, token: Secret) -> dict[str, str]:
        """With the tools that the agent may call, as the gateway lists them. Raises Problem when it does not."""
        with client(auth=self._auth) as http:
            answer = http.get("/v1/tools")
        if not answer.is_success:
            raise Problem("gateway_refused", f"{self._auth.url} answered {answer.status_code}: {_told_by(answer.text)}")
        return variables(self._auth.url, f"{self._auth.url}/tools", (tool["name"] for tool in answer.json()["tools"]), token)

    def auth(self, *, bound: bool) -> GatewayAuth:
        if bound:
            self._auth = self._auth_of(dpop=True)
        self.token()
        return self._auth

    def environment(self) -> dict[str, str]:
        return dict(os.environ)

    def end(self) -> None:
        self._auth.tokens.revoke()


def origin_of(agent: str, wish: Wish, folder: Path, url: str, key: Path | None) -> Origin:
    """The service when it or a key is named, or when there is no deployment here and the environment names one. Raises Problem or Problems."""
    found = environment()
    here = folder.is_file() or (folder / "gateway.toml").exists()
    if not url and key is None and (here or not (found.url or found.key_file)):
        if not here:
            remedy = "where the deployment is: -C FOLDER; on an agent's own machine: --url URL --key FILE (portreeve enrol makes the file)"
            raise Problem("no_deployment", "there is no gateway.toml here, and nothing says where a gateway is", file=str(folder), remedy=remedy)
        return Here(load(folder), agent, wish)
    if wish.user is not None or wish.ttl_s is not None or wish.bound_to:
        remedy = "run it where gateway.toml is, or leave them out; for a user, exchange the user's token (RFC 8693)"
        raise Problem("deployment_needed", "--for-user, --ttl and --jkt are for whoever signs", remedy=remedy)
    return There(agent, url, key, wish.scopes or ())


def variables(url: str, base: str, tools: Iterable[str], token: Secret) -> dict[str, str]:
    """What an agent's environment needs: where the gateway is, the token, and the base URL of each tool.

    Two tools whose names make one variable get none: a wrong URL would be worse.
    """
    names = {tool: f"PORTREEVE_TOOL_{re.sub(r'[^A-Z0-9]', '_', tool.upper())}_URL" for tool in sorted(tools)}
    count = Counter(names.values())
    found = {"PORTREEVE_URL": url, "PORTREEVE_TOKEN": token.reveal()}
    return found | {name: f"{base}/{tool}" for tool, name in names.items() if count[name] == 1}


def _said_by(token: Secret) -> tuple[str, int, tuple[str, ...]]:
    """Agent, end and scopes as a token of the gateway has them. It is not verified: it is for the gateway, which does that."""
    try:
        body = token.reveal().split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return str(claims["client_id"]), int(claims["exp"]), tuple(str(claims.get("scope", "")).split())
    except (ValueError, LookupError, TypeError) as error:
        raise Problem("not_a_token", "what is here is no token of a gateway", remedy="look at PORTREEVE_TOKEN_FILE and PORTREEVE_TOKEN") from error


def _told_by(text: str) -> str:
    """The message of a refusal, in one line."""
    try:
        said = json.loads(text)["message"]
    except (ValueError, LookupError, TypeError):
        return "nothing that a gateway would say"
    return " ".join(str(said).split())[:500]


def env(
    agent: AgentName,
    *,
    for_user: ForUser = None,
    ttl: Ttl = None,
    scope: Scopes = None,
    url: Url = "",
    key: KeyFile = None,
    folder: Folder = Path(),
) -> None:
    """Print shell exports: PORTREEVE_URL, PORTREEVE_TOKEN and a PORTREEVE_TOOL_NAME_URL for each tool.

    The token is not renewed: it is for a few minutes at a prompt. A program that runs longer is started with portreeve run.

    Example: eval "$(portreeve env support-bot)"
    """
    origin = origin_of(agent, wish_of(for_user, ttl, scope), folder, url, key)
    for name, value in origin.variables(origin.token().token).items():
        print(f"export {name}={shlex.quote(value)}")


def headers(
    agent: AgentName,
    *,
    for_user: ForUser = None,
    ttl: Ttl = None,
    scope: Scopes = None,
    url: Url = "",
    key: KeyFile = None,
    folder: Folder = Path(),
) -> None:
    """Print the request headers as JSON, for clients that ask a command for theirs (`headersHelper` of MCP clients).

    Example: portreeve headers support-bot
    """
    minted = origin_of(agent, wish_of(for_user, ttl, scope), folder, url, key).token()
    print_json({"Authorization": f"Bearer {minted.token.reveal()}"})


def enrol(
    *,
    url: Annotated[str, typer.Option("--url", metavar="URL", envvar="PORTREEVE_URL", help="The gateway's URL.")],
    key: Annotated[Path, typer.Option("--key", metavar="FILE", help="Where the new key goes; it must not be there yet.")],
    code: Annotated[str, typer.Option("--code", metavar="CODE", prompt=True, hide_input=True, help="The one-time code; without it you are asked.")],
) -> None:
    """Make a key for an agent on this machine, and register it with the one-time code of `portreeve identity add AGENT --enrol`.

    Example: portreeve enrol --url https://gateway.example.com --key agent.jwk
    """
    if key.exists():
        raise Problem("key_exists", "there is a file already, and a key is never overwritten", file=str(key), remedy="name another file")
    if not key.parent.is_dir():
        raise Problem("no_folder", "its folder does not exist", file=str(key), remedy="make the folder first: a code counts once")
    if not code.isascii():
        raise Problem("code_malformed", "that is no code", remedy="copy it whole, or get another one: portreeve identity add AGENT --enrol")
    url = url.rstrip("/")
    made = AgentKey.make()
    agent, kid = TokenService(url, environment().issuer or url).enrol(Secret(code.strip()), made)
    made.write(key, kid=kid, agent=agent, url=url)
    print(f"{key} is now a key of {agent}. To use it: export PORTREEVE_KEY_FILE={shlex.quote(str(key))}")
