"""`portreeve curl`: one call as an agent, with a proof of possession where its file wants one."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import httpx2
import typer

from gateway.cli.agent_tokens import KeyFile, Url, origin_of
from gateway.cli.identity import wish_of
from gateway.cli.options import Folder, ForUser, Scopes
from gateway.cli.output import printable
from gateway.client.auth import GatewayAuth, client
from gateway.errors import Problem

EXIT_REFUSED = 1
EXIT_TOOL_ERROR = 22
"""As curl has it with --fail."""
CONNECT_S = 10.0
_REFUSAL = "urn:portreeve:error:"
_REFUSAL_BYTES_MAX = 65_536


def curl(
    path: Annotated[str, typer.Argument(metavar="PATH", help="What to call: /tools/NAME/..., or a URL of the gateway.")],
    agent: Annotated[str, typer.Option("--as", metavar="AGENT", help="The agent that calls.")],
    method: Annotated[str, typer.Option("-X", "--request", metavar="METHOD", help="GET, and POST with -d, unless it is given.")] = "",
    header: Annotated[list[str] | None, typer.Option("-H", "--header", metavar="NAME:VALUE", help="A request header, repeatable.")] = None,
    data: Annotated[str | None, typer.Option("-d", "--data", help="The body; @FILE takes it from a file, @- from standard input.")] = None,
    *,
    bearer: Annotated[bool, typer.Option("--bearer", help='Without a proof, for an agent whose file says pop = "none".')] = False,
    for_user: ForUser = None,
    scope: Scopes = None,
    url: Url = "",
    key: KeyFile = None,
    folder: Folder = Path(),
) -> None:
    """Make one call as an agent, and print the answer as it comes.

    Its token is bound to a key that only this command has, and the call carries the proof (RFC 9449). A body is sent as application/json unless -H says otherwise.

    Exit codes: 0 the tool answered, 1 the gateway refused (why, on standard error) or could not be reached, 2 wrong usage, 22 the tool answered with an error.

    Example: portreeve curl --as support-bot /tools/tickets/tickets -d '{"title": "Printer", "body": "It prints nothing."}'
    """
    fields = _headers(header or [], has_body=data is not None)
    body = None if data is None else _body(data)
    try:
        auth = origin_of(agent, wish_of(for_user, None, scope), folder, url, key).auth(bound=not bearer)
    except Problem as problem:
        if problem.code not in {"no_key_wanted", "invalid_dpop_proof", "dpop_needs_service"}:
            raise
        remedy = "with --bearer it is called without a proof, if its file allows that; compare the clocks if it should be bound"
        raise Problem(problem.code, problem.message, file=problem.file, key=problem.key, remedy=remedy) from problem
    try:
        code = _call(auth, method or ("GET" if data is None else "POST"), path, fields, body)
    except (httpx2.TransportError, httpx2.InvalidURL) as error:
        raise Problem("gateway_unreachable", f"{auth.url}: {type(error).__name__}", remedy="is PORTREEVE_URL right, and is it up?") from None
    raise typer.Exit(code)


def _call(auth: GatewayAuth, method: str, path: str, fields: dict[str, str], body: bytes | None) -> int:
    timeout = httpx2.Timeout(CONNECT_S, read=None)  # a tool may think; the gateway has the deadline
    with client(auth=auth, timeout=timeout) as http, http.stream(method, path, headers=fields, content=body) as answer:
        refusal = _refusal(answer)
        if refusal is not None:
            print(printable(f"portreeve: refused with {answer.status_code}: {refusal.get('message')}"), file=sys.stderr)
            return EXIT_REFUSED
        for chunk in answer.iter_bytes():
            sys.stdout.buffer.write(chunk)
            sys.stdout.buffer.flush()
    return 0 if answer.status_code < 400 else EXIT_TOOL_ERROR


def _refusal(answer: httpx2.Response) -> dict[str, Any] | None:
    """The gateway's own refusal; None for anything of the tool's."""
    length = answer.headers.get("content-length", "")
    if answer.headers.get("content-type") != "application/problem+json" or not length.isdecimal() or int(length) > _REFUSAL_BYTES_MAX:
        return None
    try:
        said = json.loads(answer.read())
    except ValueError:
        return None
    return said if isinstance(said, dict) and str(said.get("type", "")).startswith(_REFUSAL) else None


def _headers(given: list[str], *, has_body: bool) -> dict[str, str]:
    fields = {"content-type": "application/json"} if has_body else {}
    for line in given:
        name, colon, value = line.partition(":")
        if not colon or not name.strip() or not line.isascii() or not line.isprintable():
            raise typer.BadParameter("write NAME:VALUE", param_hint="--header")
        fields[name.strip().lower()] = value.strip()
    return fields


def _body(data: str) -> bytes:
    """The body itself, or what a file or standard input holds. Raises Problem when that cannot be read."""
    if not data.startswith("@"):
        return data.encode("utf-8", "surrogateescape")
    try:
        return sys.stdin.buffer.read() if data == "@-" else Path(data[1:]).read_bytes()
    except OSError as error:
        raise Problem("unreadable_file", f"cannot be read: {error.strerror}", file=data[1:], remedy="name a file, or - for standard input") from error
