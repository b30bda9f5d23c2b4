"""The demo's stage: the upstream and the gateway as real child processes on free loopback ports, over a deployment in a folder of its own.

Only processes started here are ended here, each by its own id, whatever way the demo ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gateway.cli.demo.deployment import write_deployment

START_S_MAX = 15.0
STOP_S_MAX = 5.0
LINE_BYTES_MAX = 65_536


class StageError(Exception):
    """A process of the demo did not start, or stopped too early. The text says which and what it said last."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where everything is: `ports` are the upstream's (api, flaky, dead, control), the URLs are the gateway's."""

    folder: Path
    deployment: Path
    ports: Mapping[str, int]
    agents_url: str
    admin_url: str
    processes: Mapping[str, int]


@contextlib.asynccontextmanager
async def open_stage(folder: Path) -> AsyncIterator[Stage]:
    """Set the stage in an empty folder, and clear it at the end: both processes are gone when the block is left. Raises StageError, Problems."""
    deployment, key = folder / "deployment", folder / "upstream.key"
    key.touch(0o600)
    key.write_text(secrets.token_urlsafe(24))
    module = ["-m", "gateway.cli.demo.upstream", "--folder", str(folder), "--key-file", str(key)]
    async with contextlib.AsyncExitStack() as stack:
        upstream = await stack.enter_async_context(running(module, folder / "upstream.log"))
        ports = await first_line(upstream, folder / "upstream.log")
        write_deployment(deployment, key.read_text(), ports)
        serve = ["-m", "gateway", "serve", "--folder", str(deployment), "--json"]
        gateway = await stack.enter_async_context(running(serve, folder / "gateway.log"))
        ready = await first_line(gateway, folder / "gateway.log")
        yield Stage(folder, deployment, ports, ready["agents"], ready["admin"], {"upstream": upstream.pid, "gateway": gateway.pid})


@contextlib.asynccontextmanager
async def running(arguments: list[str], log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run this Python with the arguments for the length of the block, in a session of its own so that Ctrl-C reaches the demo alone."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=LINE_BYTES_MAX,
            env=environment,
            start_new_session=True,
        )
    try:
        yield process
    finally:
        await asyncio.shield(end(process))


async def end(process: asyncio.subprocess.Process) -> None:
    """Ask the process to stop, and stop it when it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), STOP_S_MAX)


async def first_line(process: asyncio.subprocess.Process, log: Path) -> dict[str, Any]:
    """The JSON object that a process prints when it is ready. Raises StageError with the end of its log when it does not."""
    assert process.stdout
    with contextlib.suppress(TimeoutError, ValueError):
        value = json.loads(await asyncio.wait_for(process.stdout.readline(), START_S_MAX))
        if isinstance(value, dict):
            return value
    raise StageError(f"{log.stem} did not start: {last_words(log)}")


def last_words(log: Path) -> str:
    return log.read_text(errors="replace")[-1_500:].strip() or "it said nothing"
