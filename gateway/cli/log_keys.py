"""`portreeve log keys`: which keys sign the log, and a new one in place of the one that does."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.json_errors import JsonErrors
from gateway.cli.log_place import AsJson, Folder, keys_in
from gateway.cli.output import print_json, print_table, styled
from gateway.config.load import load
from gateway.record import PUBLIC_FILE
from gateway.record.control import rotate_key

app = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="The keys that sign the log.")


@app.command("list", cls=JsonErrors)
def list_keys(folder: Folder = Path(), *, as_json: AsJson = False) -> None:
    """List the verifier keys of this deployment's log, and which sizes of the log each may sign.

    Example: portreeve log keys list --json
    """
    settings = load(folder)
    keys = [key for key in keys_in(settings.keys / PUBLIC_FILE) if key.name == settings.log.origin]
    if as_json:
        print_json([{"key": str(key), "id": key.id.hex(), "first": key.first, "last": key.last} for key in keys])
        return
    rows = [(key.id.hex(), f"{key.first} to {'now' if key.last is None else key.last}", str(key)) for key in keys]
    print_table(("id", "sizes", "verifier key"), rows)


@app.command(cls=JsonErrors)
def rotate(
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="Why, for the record: it stays in the log.")],
    folder: Folder = Path(),
    *,
    keys: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder of the signing key, as for `log writer --keys`.")] = None,
    keep_old: Annotated[bool, typer.Option("--keep-old", help="Keep the old private key as log.key.ID; otherwise it is overwritten.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a new key sign the log. Works beside a running gateway; where a process of its own writes the log (`serve --workers`, `log writer`), while that is stopped.

    The log names the new key, both keys sign the log with that record in it, and from there on only the new one may. Hand the new `log.vkey` to auditors and
    witnesses: it says which key may sign which sizes. Who still has the old key alone can follow (`log verify` without --since).

    Example: portreeve log keys rotate --why "yearly"
    """
    settings = load(folder)
    if not 0 < len(why) <= 1_000 or not why.isprintable():
        raise typer.BadParameter("--why: one line of at most 1000 characters")
    if not yes:
        typer.confirm(f"Sign {settings.log.origin} with a new key{'' if keep_old else ', and destroy the old one'}?", abort=True, err=True)
    place = keys or settings.keys
    receipt, key = rotate_key(settings.log, place, why, keep=keep_old)
    if as_json:
        print_json({"record": receipt.n, "key": str(key)})
    else:
        print(f"{styled('rotated', 'green', sys.stdout)}  record {receipt.n} names the new key: {key}")
        print(f"Hand {place / PUBLIC_FILE} to auditors and witnesses.")
