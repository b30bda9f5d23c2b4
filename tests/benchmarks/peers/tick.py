"""A loop that does nothing but wake up every millisecond, and says by how much it was late: what the machine itself does to a loop just now.

Prints `{"lags_ms": [...]}` for each line that it is sent: the lags since the one before.
"""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter

import uvloop

EVERY_S = 0.001


async def tick(lags_ms: list[float]) -> None:
    """Add a lag for every wake-up, until cancelled."""
    while True:
        began = perf_counter()
        await asyncio.sleep(EVERY_S)
        lags_ms.append((perf_counter() - began - EVERY_S) * 1_000)


async def main() -> None:
    loop = asyncio.get_running_loop()
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    lags_ms: list[float] = []
    task = asyncio.create_task(tick(lags_ms))
    while await reader.readline():
        print(json.dumps({"lags_ms": lags_ms}), flush=True)
        lags_ms.clear()
    task.cancel()


if __name__ == "__main__":
    uvloop.run(main())
