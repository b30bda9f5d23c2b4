"""`portreeve demo`: sets the stage, plays the scenes, says whether all came out as expected, and clears up."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Annotated

import httpx2
import typer
from rich.console import Console

from gateway.cli.demo.aftermath import what_the_log_proves
from gateway.cli.demo.agents import Agents
from gateway.cli.demo.scenes import SCENES, SUPPORT, Play, Scene
from gateway.cli.demo.show import Line, Screen, as_expected, as_json
from gateway.cli.demo.stage import Stage, StageError, last_words, open_stage

EXIT_INTERRUPTED = 130


def demo(
    keep: Annotated[bool, typer.Option("--keep", help="Leave everything running afterwards, with commands to try, until Ctrl-C.")] = False,
    machine: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of the table.")] = False,
) -> None:
    """Watch real tool calls go through a real gateway: allowed, denied, retried, recorded, replayed.

    Starts a small ticket service and a gateway on free loopback ports over a throw-away deployment, plays agents as HTTP clients, and exits 0
    when every answer was the expected one, 1 when not. Everything it starts is ended and its folder removed.
    """
    screen = Screen(Console(highlight=False, soft_wrap=False), quiet=machine)
    with tempfile.TemporaryDirectory(prefix="portreeve-demo-", ignore_cleanup_errors=True) as folder:
        try:
            code = asyncio.run(_demo(Path(folder), screen, keep=keep, machine=machine))
        except (KeyboardInterrupt, asyncio.CancelledError):
            code = 0 if keep else EXIT_INTERRUPTED
        except StageError as error:
            print(f"portreeve demo: {error}", file=sys.stderr)
            code = 1
    if code:
        raise typer.Exit(code)


async def _demo(folder: Path, screen: Screen, *, keep: bool, machine: bool) -> int:
    _end_on_signals()
    began = time.monotonic()
    screen.say("Starting a ticket service and a gateway on this machine, each in a process of its own ...")
    async with open_stage(folder) as stage:
        agents = Agents(stage)
        try:
            lines = await _play(Play(stage, agents), screen)
            seconds = time.monotonic() - began
            if machine:
                print(as_json(lines, seconds=seconds, folder=str(folder), processes=stage.processes), flush=True)
            _say_the_end(lines, seconds, screen)
            if keep:
                _say_how_to_go_on(stage, screen)
                await asyncio.Event().wait()
        finally:
            await agents.close()
    return 0 if as_expected(lines) else 1


async def _play(play: Play, screen: Screen) -> list[Line]:
    lines: list[Line] = []
    screen.head()
    for title, scene in [*SCENES, ("What the log proves", what_the_log_proves)]:
        screen.title(title)
        async with contextlib.aclosing(_whole(title, scene, play)) as found:
            async for line in found:
                lines.append(line)
                screen.line(line)
    return lines


async def _whole(title: str, scene: Scene, play: Play) -> AsyncGenerator[Line, None]:
    """The scene's lines; when it breaks off, one more that says so, with what the gateway said last."""
    try:
        async with contextlib.aclosing(scene(play)) as found:
            async for line in found:
                yield line
    except (httpx2.HTTPError, OSError, LookupError, ValueError) as error:
        differed = f"{type(error).__name__}: {error}; the gateway said last: {last_words(play.stage.folder / 'gateway.log')}"
        yield Line("demo", title, "broke off", "", "refused", differed)


def _end_on_signals() -> None:
    """SIGTERM and a closed terminal end the demo as Ctrl-C does: by cancelling it, so that everything is cleared up."""
    task = asyncio.current_task()
    assert task
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)


def _say_the_end(lines: list[Line], seconds: float, screen: Screen) -> None:
    wrong = sum(bool(line.differed) for line in lines)
    verdict = "all as expected" if not wrong else f"{wrong} NOT as expected"
    screen.say(f"\n{len(lines)} steps in {seconds:.1f} s: {verdict}.")


def _say_how_to_go_on(stage: Stage, screen: Screen) -> None:
    me = "portreeve" if shutil.which("portreeve") else f"{shlex.quote(sys.executable)} -m gateway"
    at = shlex.quote(str(stage.deployment))
    body = json.dumps({"ticket_id": "T-1001", "amount": 900, "currency": "EUR", "reason": "twice"}, separators=(",", ":"))
    screen.verbatim(
        f"""
Everything keeps running until Ctrl-C. To try in another terminal:

TOKEN=$({me} token {SUPPORT} --folder {at})
curl -H "Authorization: Bearer $TOKEN" "{stage.agents_url}/tools/tickets/tickets?status=open"
curl -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" -d '{body}' {stage.agents_url}/tools/tickets/refunds
curl {stage.admin_url}/readyz
{me} log tail --folder {at}

Its policies are in {stage.deployment}/policies: edit one, and call again."""
    )
