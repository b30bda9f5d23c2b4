"""The load generator: N keep-alive connections in a closed loop, each sending its next request when it has read the whole answer.

A raw uvloop protocol in its own process with the garbage collector off. It is not the bottleneck: the row `direct` shows what it can do, about
ten times what the fastest proxy here does. Reads one JSON object from stdin per line, `{"port", "request", "connections", "warm_s", "seconds"}`, and prints one per
line: `{"rps", "p50_ms", "p99_ms", "answers", "all_answers", "wrong", "first_wrong"}`. `wrong` counts measured answers that are not 2xx, and connections
that broke; `all_answers` counts those before and after the measured time, too.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time

import uvloop


class Run:
    """One measurement: shared by its connections."""

    def __init__(self, request: bytes) -> None:
        self.request = request
        self.taken_ns: list[int] = []
        self.measuring = self.over = False
        self.wrong = self.all_answers = 0
        self.first_wrong = ""

    def failed(self, why: str) -> None:
        self.wrong += 1
        self.first_wrong = self.first_wrong or why[:300]


class Asking(asyncio.Protocol):
    def __init__(self, run: Run) -> None:
        self.run = run
        self.buffer = b""
        self.sent_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.ask()

    def ask(self) -> None:
        self.sent_ns = time.perf_counter_ns()
        self.transport.write(self.run.request)

    def data_received(self, data: bytes) -> None:
        run = self.run
        buffer = self.buffer = self.buffer + data if self.buffer else data
        if not whole(buffer):
            return
        now = time.perf_counter_ns()
        self.buffer = b""
        run.all_answers += 1
        if run.measuring:
            run.taken_ns.append(now - self.sent_ns)
            if not buffer.startswith(b"HTTP/1.1 2"):
                run.failed(buffer.decode("latin-1"))
        elif not run.over and not buffer.startswith(b"HTTP/1.1 2"):
            run.first_wrong = run.first_wrong or buffer.decode("latin-1")[:300]
        if run.over:
            self.transport.close()
        else:
            self.ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.run.over:
            self.run.failed(f"connection lost: {exc}")


def whole(buffer: bytes) -> bool:
    """Is this one whole answer? Content-Length and chunked framing are understood; one request is in flight, so nothing follows it."""
    end = buffer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = buffer[:end].lower()
    at = head.find(b"\r\ncontent-length:")
    if at >= 0:
        stop = head.find(b"\r\n", at + 17)
        return len(buffer) >= end + 4 + int(head[at + 17 : stop if stop >= 0 else None])
    return buffer.endswith(b"0\r\n\r\n")


async def measure(asked: dict) -> dict:
    run = Run(asked["request"].encode())
    loop = asyncio.get_running_loop()
    made = await asyncio.gather(
        *(loop.create_connection(lambda: Asking(run), "127.0.0.1", asked["port"]) for _ in range(asked["connections"])), return_exceptions=True
    )
    if refused := [error for error in made if isinstance(error, BaseException)]:
        run.failed(f"{len(refused)} connections refused: {refused[0]}")
    await asyncio.sleep(asked["warm_s"])
    run.measuring = True
    began = time.perf_counter()
    await asyncio.sleep(asked["seconds"])
    run.measuring = False
    took_s = time.perf_counter() - began
    run.over = True
    await asyncio.sleep(0.05)
    for one in made:
        if not isinstance(one, BaseException):
            one[0].abort()
    taken = sorted(run.taken_ns)
    ms = [taken[int(len(taken) * q)] / 1e6 if taken else None for q in (0.5, 0.99)]
    return {
        "rps": max(0, len(taken) - run.wrong) / took_s,
        "p50_ms": ms[0],
        "p99_ms": ms[1],
        "answers": len(taken),
        "all_answers": run.all_answers,
        "wrong": run.wrong,
        "first_wrong": run.first_wrong,
    }


async def main() -> None:
    gc.disable()
    for line in iter(sys.stdin.readline, ""):  # the loop has nothing else to do while it waits for the next order
        print(json.dumps(await measure(json.loads(line))), flush=True)
        gc.collect()


if __name__ == "__main__":
    uvloop.run(main())
