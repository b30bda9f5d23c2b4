"""`portreeve log recover`: what is wrong with a log that no gateway starts on, and the way out that hides nothing."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.log_place import TAMPERED, AsJson, Folder, keys_in
from gateway.cli.output import plural, print_json, printable, styled
from gateway.config.load import load
from gateway.config.model import Settings
from gateway.record import PUBLIC_FILE, NoteSigner, open_log, repair
from gateway.record.folder import LogFolder


def recover(
    folder: Folder = Path(),
    *,
    accept_loss: Annotated[bool, typer.Option("--accept-loss", help="Keep what is sound, move the rest to torn/, and record the gap.")] = False,
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="With --accept-loss: why, for the record.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a log that the gateway refuses to start on, and what accepting the loss would lose. Looks only, unless told otherwise.

    A backup is the better way out. After --accept-loss `verify` tells of the gap for ever, and a pin or witness of what was lost still finds it missing.
    Exit codes: 0 nothing is wrong or it was put right, 1 damage was found.

    Example: portreeve log recover --accept-loss --why "disk of node 3 died, ticket 4711"
    """
    settings = load(folder)
    place = LogFolder(settings.log.folder)
    keys = keys_in(settings.keys / PUBLIC_FILE)
    if accept_loss and (not 0 < len(why) <= 1_000 or not why.isprintable()):
        raise typer.BadParameter("--accept-loss needs --why: one line of at most 1000 characters")
    damage = repair.diagnose(place, keys)
    if as_json and (damage is None or not accept_loss):
        print_json({"damaged": damage is not None, **(_told(damage) if damage else {})})
    elif damage is None:
        print(f"{styled('ok', 'green', sys.stdout)}  nothing is wrong that a start of the gateway does not put right by itself")
    elif not as_json:
        _print(damage)
    if damage is None or not accept_loss:
        raise typer.Exit(TAMPERED if damage else 0)
    if not yes:
        typer.confirm("Keep what is sound, and record the loss of the rest for ever?", abort=True, err=True)
    done = repair.accept_loss(place, keys, why, f"uid:{os.geteuid()}")
    asyncio.run(_begin(settings))
    if as_json:
        print_json({"accepted": True, **_told(done)})
    else:
        print(
            f"{styled('accepted', 'yellow', sys.stdout)}  the log goes on from record {done.sound.size}, which is a `gap` record; the rest is in torn/"
        )


async def _begin(settings: Settings) -> None:
    """Open the log once: its writer states the gap before anything else."""
    log = await open_log(settings.log, NoteSigner.open(settings.keys))
    await log.close()


def _told(damage: repair.Damage) -> dict[str, object]:
    return {
        "why": damage.why,
        "sound": damage.sound.size,
        "signed": damage.signed.size if damage.signed else 0,
        "lost_signed": damage.lost_signed,
        "lost_lines": damage.lost_lines,
        "lost_bytes": damage.lost_bytes,
    }


def _print(damage: repair.Damage) -> None:
    print(f"{styled('DAMAGED', 'red', sys.stdout)}  {printable(damage.why)}")
    print(f"  sound: the first {damage.sound.size:,} records")
    print(
        f"  would be lost: {plural(damage.lost_signed, 'signed record')}, {damage.lost_bytes:,} bytes in {plural(damage.lost_lines, 'line')}, kept in torn/"
    )
    print("  restore the log's folder from backup, or run this again with --accept-loss --why TEXT")
