"""`portreeve serve`: runs a deployment until it is told to stop."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from gateway.app import Gateway

EXIT_LOG_FAILED = 75
"""EX_TEMPFAIL: a failed fdatasync. Nothing written since can be trusted, so the supervisor restarts us and recovery decides."""


def serve(
    folder: Annotated[Path, typer.Option("--folder", "-C", envvar="PORTREEVE_FOLDER", help="Deployment folder: where gateway.toml stands.")] = Path(),
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the addresses when ready.")] = False,
) -> None:
    """Run the gateway in the foreground.

    SIGTERM and Ctrl-C stop it after the calls in flight; a second one stops it at once. SIGHUP, or a changed file, reloads policies,
    identities, tools and credentials without dropping a call; what does not load changes nothing.
    """
    code = uvloop.run(_serve(folder, as_json=as_json))
    if code:
        raise typer.Exit(code)


async def _serve(folder: Path, *, as_json: bool) -> int:
    gateway = await Gateway.start(folder, report=_say)
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    reloads: set[asyncio.Task[bool]] = set()

    def reload() -> None:
        task = loop.create_task(gateway.reload())
        reloads.add(task)
        task.add_done_callback(reloads.discard)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.add_signal_handler(signal.SIGHUP, reload)
    _ready(gateway, as_json=as_json)
    waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(gateway.fatal.wait())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    if gateway.fatal.is_set():
        _say("the decision log cannot be written any more; stopping")
        return EXIT_LOG_FAILED
    _say("stopping: no new calls; waiting for those in flight")
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.remove_signal_handler(number)  # a second signal ends the process at once
    await gateway.stop()
    return 0


def _ready(gateway: Gateway, *, as_json: bool) -> None:
    where = gateway.addresses
    if as_json:
        print(json.dumps({"ready": True, **where, "log": gateway.pipeline.log.origin}), flush=True)
        return
    state = gateway.pipeline.state
    print(f"portreeve serves {', '.join(sorted(state.settings.tools)) or 'no tools'}", flush=True)
    print(f"  agents  {where['agents']}/tools/NAME/...", flush=True)
    print(f"  admin   {where['admin']}/readyz  /metrics", flush=True)
    print(f"  log     {gateway.settings.log.folder}  ({gateway.pipeline.log.size} records, origin {gateway.pipeline.log.origin})", flush=True)
    print(f"  rules   {state.bundle.policy_count} policies, {state.agents} agents; edits go live by themselves", flush=True)


def _say(text: str) -> None:
    print(f"portreeve: {text}", file=sys.stderr, flush=True)
