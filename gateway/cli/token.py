"""`portreeve token`: prints a token for an agent (`token AGENT`, short for `token mint AGENT`), or looks hard at one (`token verify`)."""

from __future__ import annotations

import base64
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway.cli.agent_tokens import KeyFile, Url, origin_of
from gateway.cli.identity import wish_of
from gateway.cli.options import AgentName, AsJson, Folder, ForUser, Scopes, Ttl
from gateway.cli.output import print_json
from gateway.cli.when import moment_us
from gateway.errors import Problem
from gateway.identify.foreign import Expected
from gateway.identify.inspection import Findings, inspect
from gateway.identify.keyset import BYTES_MAX
from gateway.identify.token import TOKEN_BYTES_MAX, TYP
from gateway.identities.table import duration_s
from gateway.secret import Secret

ABSENT, ANY = "absent", "any"


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
    jwks: Annotated[Path, typer.Option("--jwks", metavar="FILE", help="File with the issuer's public keys: a JWK Set, or one JWK.")],
    issuer: Annotated[str | None, typer.Option("--issuer", metavar="ISS", help="What iss must be; without it any one text.")] = None,
    audience: Annotated[str | None, typer.Option("--audience", metavar="AUD", help="What aud must be; without it any one text.")] = None,
    typ: Annotated[
        list[str] | None,
        typer.Option("--typ", metavar="TYP", help=f"What typ may be instead of {TYP}, repeatable; `{ABSENT}` for none, `{ANY}` for any."),
    ] = None,
    max_ttl: Annotated[str, typer.Option("--max-ttl", metavar="1h", help="The longest life, from iat to exp.")] = "1h",
    at: Annotated[str, typer.Option("--at", metavar="TIME", help="As of this time instead of now: 2026-11-30T12:00:00Z, or 7d for 7 days ago.")] = "",
    signature_only: Annotated[
        bool, typer.Option("--signature-only", help="Form, key and signature alone; not typ, claims and times. Prints what was signed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Verify the token on standard input by the rules for other issuers' tokens: print its claims, or the precise reason against it.

    The signature is looked at before typ, claims and times: of these is spoken only when it is valid. Taken are ES256, ES384, RS256, PS256 and EdDSA over
    Ed25519, in the compact form of at most 8 KiB, a header of alg, kid and typ, and strict JSON; one line feed at the end does not count. --json adds
    `signature` (valid, invalid, not checked) and `code`, the rule that is broken: form, key_set, header, key, signature, typ, claims; `took_us` counts key set and token.

    Exit codes: 0 it verifies, 1 it does not, 2 wrong usage. Nothing is fetched; what policies or registered agents say is not asked.

    Example: printf %s "$TOKEN" | portreeve token verify --jwks issuer.json --issuer https://login.example.com/ --typ JWT
    """
    seconds = duration_s(max_ttl)
    if seconds is None:
        raise typer.BadParameter('write whole seconds, minutes or hours: "90s", "5m", "1h"', param_hint="--max-ttl")
    now = moment_us(at, "--at") / 1_000_000 if at else time.time()
    typs = frozenset(None if one == ABSENT else one for one in typ or (TYP,))
    expected = Expected(issuer, None if audience is None else frozenset({audience}), typs=typs, max_ttl_s=seconds)
    token, keys = Secret(_standard_input()), _content(jwks)

    def look() -> Findings:
        return inspect(token, keys, expected, now, any_typ=ANY in typs, signature_only=signature_only)

    look()  # the first use of a cryptographic library loads it: 5 to 15 ms that no token costs
    began = time.perf_counter()
    findings = look()
    _say(findings, time.perf_counter() - began, as_json=as_json)
    if findings.code:
        raise typer.Exit(1)


def _standard_input() -> str:
    """What stands on standard input, as far as a token may go, without one line feed at its end. Raises Problem when there is none to be read."""
    if sys.stdin is None:  # closed by who started us
        raise Problem("unreadable_token", "standard input is closed", remedy="pipe the token into the command")
    try:
        return sys.stdin.buffer.read(TOKEN_BYTES_MAX + 2).removesuffix(b"\n").decode("utf-8", "surrogateescape")
    except OSError as error:
        raise Problem("unreadable_token", f"standard input cannot be read: {error.strerror}", remedy="pipe the token into the command") from error


def _content(path: Path) -> bytes:
    """The text of the key file, as far as a set may go. Raises Problem when it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(BYTES_MAX + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no name of a file"
        raise Problem("unreadable_file", f"cannot be read: {why}", file=str(path), remedy="name a file with a JWK Set") from error


def _say(findings: Findings, took_s: float, *, as_json: bool) -> None:
    signed = None if findings.payload is None else base64.urlsafe_b64encode(findings.payload).rstrip(b"=").decode("ascii")
    claims = None if findings.claims is None else dict(findings.claims)
    if as_json:
        verdict = {"verified": not findings.code, "signature": findings.signature, "code": findings.code, "reason": findings.reason}
        print_json({**verdict, "claims": claims, "payload": signed, "took_us": round(took_s * 1_000_000)})
    elif findings.code:
        print(f"refused: {findings.reason}")
        if findings.code == "typ":
            print(f"portreeve: --typ NAME takes tokens of another type, --typ {ANY} those of any", file=sys.stderr)
    else:
        print_json({"payload": signed} if claims is None else claims)
