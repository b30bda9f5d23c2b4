"""`portreeve serve`: runs a deployment until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer
import uvloop

from gateway.app import Gateway
from gateway.canonical import Json
from gateway.cli.discretion import keep_discreet
from gateway.supervisor import EXIT_LOG_FAILED, Supervisor
from gateway.worker import Share


def serve(
    folder: Annotated[
        Path, typer.Option("--folder", "-C", metavar="DIR", envvar="PORTREEVE_FOLDER", help="Deployment folder: where gateway.toml stands.")
    ] = Path(),
    workers: Annotated[
        int,
        typer.Option(min=1, max=64, metavar="N", help="Processes that serve calls. With more than one, a further process writes the log for all."),
    ] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object with the addresses when ready.")] = False,
    share: Annotated[str, typer.Option(hidden=True, help="What a supervisor gives to one of its workers.")] = "",
) -> None:
    """Run the gateway in the foreground.

    SIGTERM and Ctrl-C stop it after the calls in flight; a second one stops it at once. SIGHUP, or a changed file, reloads policies,
    identities, tools and credentials without dropping a call; what does not load changes nothing. Exit code 75: the log's disk failed.

    Example: portreeve serve -C my-gateway --workers 4
    """
    keep_discreet()
    if workers > 1:
        code = uvloop.run(_supervise(folder, workers, as_json=as_json))
    else:
        code = uvloop.run(_serve(folder, as_json=as_json, share=Share.parse(share) if share else None))
    if code:
        raise typer.Exit(code)


async def _supervise(folder: Path, workers: int, *, as_json: bool) -> int:
    supervisor = Supervisor(folder, workers, _say)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.reload)

    def ready(told: Mapping[str, Json]) -> None:
        if as_json:
            print(json.dumps(told), flush=True)
        else:
            print(f"portreeve serves with {workers} workers", flush=True)
            print(f"  agents  {told['agents']}/tools/NAME/...\n  admin   {told['admin']}/readyz  /metrics\n  log     {told['log']}", flush=True)

    return await supervisor.run(ready)


async def _serve(folder: Path, *, as_json: bool, share: Share | None) -> int:
    gateway = await Gateway.start(folder, report=_say, share=share)
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
    if share:  # its supervisor holds the other end: without one, it stops as if told to
        loop.add_reader(0, stop.set)
    _ready(gateway, as_json=as_json)
    waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(gateway.fatal.wait())]
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    if gateway.fatal.is_set():
        _say("the decision log cannot be written any more; stopping")
        await gateway.let_go()
        return EXIT_LOG_FAILED
    if share:
        loop.remove_reader(0)
    else:
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
    with contextlib.suppress(OSError):  # nobody reads it any more: that must not stop what was to be said
        print(f"portreeve: {text}", file=sys.stderr, flush=True)
