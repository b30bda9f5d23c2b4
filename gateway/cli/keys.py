"""`portreeve keys`: the gateway's signing keys: which there are, the next one's turn, and what to do when one has leaked."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.kill import Why, check_why, record_order, store_of
from gateway.cli.options import AsJson, Folder
from gateway.cli.output import plural, print_json, print_table, styled
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.errors import Problem
from gateway.identify.rotation import KeyFile, compromise, list_keys, rotate
from gateway.stores.halts import EVERYBODY

app = typer.Typer(name="keys", help="The keys that sign the gateway's tokens.", no_args_is_help=True)


@app.command("list")
def list_all(folder: Folder = Path(), as_json: AsJson = False) -> None:
    """List the signing keys: which signs, which will be next and when it may, and which only verify until their last token is dead.

    Example: portreeve keys list
    """
    found = list_keys(_own(load(folder)).keys)
    if as_json:
        print_json([{"kid": key.kid, "state": key.state, "since": _time(key.since), "until": _until(key)} for key in found])
        return
    print_table(("KID", "STATE", "SINCE", ""), [(key.kid, key.state, _time(key.since), _said(key)) for key in found])


@app.command("rotate")
def rotate_keys(
    now: Annotated[
        bool, typer.Option("--now", help="Let the next key sign at once: others who keep our key set may refuse its tokens for 5 minutes.")
    ] = False,
    folder: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Let the next key sign, publish another, and remove keys whose last token is dead. Tokens that are out stay good.

    A key must have been published for 10 minutes before it signs; when there is none, this publishes one: run it again then. Meant to be run
    every 30 days. Works beside a running gateway, which follows at once.

    Example: portreeve keys rotate
    """
    settings = _own(load(folder))
    if now and not any(key.state == "next" for key in list_keys(settings.keys)):
        rotate(settings.keys)
        _tell(settings, {"what": "publish"})  # all workers know it before it signs
    moved = rotate(settings.keys, at_once=now)
    what = "rotate" if moved.retired else "publish"
    record = _tell(settings, {"what": what, "active": moved.active, "next": moved.next, "retired": moved.retired, "gone": list(moved.gone)})
    if as_json:
        print_json({"what": what, "active": moved.active, "next": moved.next, "retired": moved.retired, "wait_s": moved.wait_s, "record": record})
    elif moved.retired:
        print(
            f"{styled('rotated', 'green', sys.stdout)}  {moved.active} signs; {moved.next} is next; {moved.retired} verifies until its last token is dead"
        )
    else:
        print(f"published {moved.next}; it may sign in {plural(moved.wait_s, 'second')}: run this again then")
    if moved.gone and not as_json:
        print(f"removed {', '.join(moved.gone)}: no token of it lives")
    if record is None:
        raise typer.Exit(1)


@app.command("compromise")
def compromise_key(
    kid: Annotated[str, typer.Argument(metavar="KID", help="The key's id, as `keys list` shows it.")],
    *,
    why: Why,
    folder: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """A key has leaked: take it out of the key set at once, and end every token of the gateway. Agents must get new ones.

    Example: portreeve keys compromise KID --why "copied to a laptop"
    """
    check_why(why)
    settings = _own(load(folder))
    moved = compromise(settings.keys, kid)
    with store_of(settings) as (store, _):
        store.end_tokens(EVERYBODY)
    record = _tell(settings, {"what": "compromise", "kid": kid, "active": moved.active, "why": why})
    if as_json:
        print_json({"what": "compromise", "kid": kid, "active": moved.active, "record": record})
    else:
        print(f"{styled('removed', 'red', sys.stdout)}  {kid}; {moved.active} signs; every token from before is dead")
    if record is None:
        raise typer.Exit(1)


def _own(settings: Settings) -> Settings:
    """Keys in a transit engine are moved on there."""
    if settings.transit is not None:
        remedy = f"rotate it there (POST {settings.transit}/rotate, or min_decryption_version for one that leaked), then send the gateway SIGHUP"
        raise Problem("keys_elsewhere", "a transit engine has the keys of this deployment", key="gateway.transit", remedy=remedy)
    return settings


def _tell(settings: Settings, body: dict[str, object]) -> int | None:
    """Have running gateways look at the keys, and record it."""
    with store_of(settings) as (store, _):
        store.touch()
    return record_order(settings, "keys.change", body, "the keys are changed on disk")


def _until(key: KeyFile) -> str | None:
    return None if key.state == "active" else _time(key.ripe_at)


def _said(key: KeyFile) -> str:
    return {"active": "signs", "next": f"may sign from {_until(key)}", "retired": f"verifies until {_until(key)}"}[key.state]


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
