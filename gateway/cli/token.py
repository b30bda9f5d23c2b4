"""`portreeve token`: prints a token for an agent (`token AGENT`, short for `token mint AGENT`), or looks hard at one (`token verify`)."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli.agent_tokens import KeyFile, Url, origin_of
from gateway.cli.identity import AgentName, AsJson, Folder, ForUser, Scopes, Ttl, wish_of
from gateway.cli.output import print_json
from gateway.errors import Problem, Refusal
from gateway.identify.foreign import Expected, Proven, prove
from gateway.identify.keyset import BYTES_MAX, KeySet, KeySetError
from gateway.identify.token import TOKEN_BYTES_MAX, TYP, admit, ascii_bytes, parse
from gateway.identities.table import duration_s
from gateway.secret import Secret

ABSENT = "absent"


class MintFirst(TyperGroup):
    """Takes `token AGENT` for `token mint AGENT`. An agent that is called like a command is named with `mint`."""

    default = "mint"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = [self.default, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(name="token", cls=MintFirst, help="Print a token for an agent, or verify one.", no_args_is_help=True)


@app.command()
def mint(
    agent: AgentName,
    *,
    for_user: ForUser = None,
    ttl: Ttl = None,
    scope: Scopes = None,
    jkt: Annotated[str, typer.Option("--jkt", metavar="THUMBPRINT", help="Bind it to the key with this thumbprint (RFC 7638, 9449).")] = "",
    as_json: AsJson = False,
    url: Url = "",
    key: KeyFile = None,
    folder: Folder = Path(),
) -> None:
    """Print a token for an agent.

    Example: curl -H "Authorization: Bearer $(portreeve token support-bot)" http://127.0.0.1:8080/tools/tickets/tickets
    """
    minted = origin_of(agent, wish_of(for_user, ttl, scope, jkt=jkt), folder, url, key).token()
    if not as_json:
        print(minted.token.reveal())
        return
    print_json(
        {
            "access_token": minted.token.reveal(),
            "token_type": "DPoP" if jkt else "Bearer",
            "expires_in": minted.life_s,
            "expires_at": datetime.fromtimestamp(minted.expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "scope": " ".join(minted.scopes),
            "agent": minted.agent,
        }
    )


@app.command()
def verify(
    *,
    jwks: Annotated[Path, typer.Option("--jwks", help="File with the issuer's public keys, a JWK Set.")],
    issuer: Annotated[str | None, typer.Option("--issuer", help="What iss must be; without it any one text.")] = None,
    audience: Annotated[str | None, typer.Option("--audience", help="What aud must be; without it any one text.")] = None,
    typ: Annotated[list[str] | None, typer.Option("--typ", help=f"What typ may be, repeatable; `{ABSENT}` for none.")] = None,
    max_ttl: Annotated[str, typer.Option("--max-ttl", help="The longest life, from iat to exp.")] = "1h",
    as_json: AsJson = False,
) -> None:
    """Verify the token on standard input by the rules for other issuers' tokens: print its claims, or the precise reason against it.

    Exit codes: 0 it verifies, 1 it does not, 2 wrong usage. Nothing is fetched; what policies or registered agents say is not asked.

    Example: printf %s "$TOKEN" | portreeve token verify --jwks issuer.json --issuer https://login.example.com/ --typ JWT
    """
    seconds = duration_s(max_ttl)
    if seconds is None:
        raise typer.BadParameter('write whole seconds, minutes or hours: "90s", "5m", "1h"', param_hint="--max-ttl")
    typs = frozenset(None if one == ABSENT else one for one in typ or (TYP,))
    expected = Expected(issuer, None if audience is None else frozenset({audience}), typs=typs, max_ttl_s=seconds)
    text = sys.stdin.buffer.read(TOKEN_BYTES_MAX + 2).removesuffix(b"\n").decode("utf-8", "surrogateescape")
    began = time.perf_counter()
    try:
        keys = _keys(jwks)
        began = time.perf_counter()
        proven = prove(admit(parse(ascii_bytes(Secret(text))), typs), keys, expected, time.time())
    except Refusal as refusal:
        _say(None, refusal.reason, time.perf_counter() - began, as_json=as_json)
        raise typer.Exit(1) from None
    _say(proven, "", time.perf_counter() - began, as_json=as_json)


def _keys(path: Path) -> KeySet:
    """The keys of a file. Raises Refusal: with such a set no token verifies. Raises Problem when it cannot be read."""
    try:
        with path.open("rb") as file:
            return KeySet.read(file.read(BYTES_MAX + 1))
    except OSError as error:
        raise Problem("unreadable_file", f"cannot be read: {error.strerror}", file=str(path), remedy="name a file with a JWK Set") from error
    except KeySetError as error:
        raise Refusal("invalid_token", reason=f"the key set cannot be used: {error}") from error


def _say(proven: Proven | None, reason: str, took_s: float, *, as_json: bool) -> None:
    claims = dict(proven.claims) if proven else None
    if as_json:
        print_json({"verified": proven is not None, "reason": reason, "claims": claims, "took_us": round(took_s * 1_000_000)})
    elif claims is None:
        print(f"refused: {reason}")
    else:
        print_json(claims)
