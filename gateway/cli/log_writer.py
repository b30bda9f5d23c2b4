"""`portreeve log writer`: the process that writes the log for several workers, and alone holds the key that signs it."""

from __future__ import annotations

import grp
import json
import os
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.discretion import keep_discreet
from gateway.cli.log_place import AsJson, Folder
from gateway.config.load import load
from gateway.errors import Problem
from gateway.record import NoteSigner
from gateway.record.disk import SystemDisk
from gateway.record.opening import open_writer
from gateway.record.service import WriterService, listen_at
from gateway.supervisor import EXIT_LOG_FAILED


def writer(
    *,
    folder: Folder = Path(),
    socket: Annotated[Path | None, typer.Option(metavar="PATH", help="Where workers connect; log.socket of gateway.toml unless given.")] = None,
    keys: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the signing key, when it is not to stand beside the gateway's own keys.")
    ] = None,
    allow_uid: Annotated[list[int] | None, typer.Option(metavar="UID", help="A user whose processes may append, besides the writer's own.")] = None,
    group: Annotated[str, typer.Option(metavar="NAME", help="Group that may open the socket.")] = "",
    tied: Annotated[bool, typer.Option(hidden=True, help="End when standard input does and the last worker has left.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write the decision log for the workers that connect to a Unix socket.

    Runs in the foreground until SIGTERM or Ctrl-C. `portreeve serve --workers` starts one by itself; start this one under a user of its own, so that a
    gateway that was taken over can add records but neither change any nor sign. Workers stop when it stops.

    Example: portreeve log writer -C /etc/portreeve --keys /var/lib/portreeve-log/keys --allow-uid 990 --group portreeve
    """
    keep_discreet()
    settings = load(folder)
    path = socket or settings.log.socket
    if path is None:
        raise typer.BadParameter("name a socket: --socket PATH, or log.socket in gateway.toml")
    lock, found = open_writer(settings.log, NoteSigner.open(keys or settings.keys), SystemDisk())
    try:
        listening = listen_at(path, _gid(group))
        service = WriterService(listening, found, settings.log.origin, frozenset({os.getuid(), *(allow_uid or ())}), _say)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: service.stop())
        if tied:
            service.tie(0)
        _ready(path, settings.log.origin, found.tree.size, as_json=as_json)
        service.run()
        path.unlink(missing_ok=True)
    finally:
        os.close(lock)
    if found.state == "failed":
        _say(f"the decision log cannot be written any more: {found.failure}")
        raise typer.Exit(EXIT_LOG_FAILED)


def _gid(name: str) -> int | None:
    """The number of a group, by name or number."""
    if not name:
        return None
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError as error:
        raise Problem("no_group", f"there is no group {name}", remedy="name an existing one with --group") from error


def _ready(path: Path, origin: str, size: int, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"ready": True, "socket": str(path), "log": origin, "size": size}), flush=True)
    else:
        print(f"portreeve writes the log {origin} ({size} records) for those who connect to {path}", flush=True)


def _say(text: str) -> None:
    print(f"portreeve: {text}", file=sys.stderr, flush=True)
