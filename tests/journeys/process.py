"""The gateway and its helpers as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys


@contextlib.asynccontextmanager
async def command(*words, before=None, python=sys.executable):
    """A `portreeve` command that goes on until it is told to stop: yields (process, what it said when it was ready)."""
    run = await asyncio.create_subprocess_exec(
        python,
        "-m",
        "gateway",
        *map(str, words),
        "--json",
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        preexec_fn=before,
    )
    try:
        line = await asyncio.wait_for(run.stdout.readline(), 60)
        assert line, (await run.stderr.read()).decode()
        yield run, json.loads(line)
    finally:
        if run.returncode is None:
            run.kill()
        await run.communicate()


def process(folder, *more, **how):
    """`portreeve serve` on the folder: (process, where it listens)."""
    return command("serve", "-C", folder, *more, **how)


async def arrived(up, count):
    """Wait until an upstream has seen so many calls."""
    async with asyncio.timeout(20):
        while len(up.seen) < count:
            await asyncio.sleep(0.01)
