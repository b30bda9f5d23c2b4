"""Several workers as one gateway: they share the listeners and one log, which a writer process keeps. Nothing here touches a call.

The listening sockets belong to the supervisor, one of each kind for each worker: connections to a worker that died wait for the next of its number.
A worker that ends is started anew; when the writer ends everything does, because nothing can be recorded any more.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gateway.canonical import Json
from gateway.config.load import load
from gateway.config.model import Listener, Settings
from gateway.errors import Problem, Problems
from gateway.inject.environment import without_secrets
from gateway.totals import Totals
from gateway.worker import Condition, Share, ask, tell

START_TIMEOUT_S = 120.0
LOOK_INTERVAL_S = 1.0
"""How often the workers' counts are noted: as much is lost at most when one is killed."""
RESTART_PAUSE_S, RESTART_PAUSE_S_MAX = 0.1, 10.0
CALM_S = 30.0
"""A worker that has served so long did not fail because of how it was started."""
STOP_GRACE_S = 15.0
EXIT_LOG_FAILED = 75
"""EX_TEMPFAIL: a failed fdatasync, or no writer. Nothing written since can be trusted, so whoever started us starts anew, and recovery decides."""
Ready = Callable[[Mapping[str, Json]], None]


class EndedEarly(Exception):  # noqa: N818
    """A child ended before it was ready; it has said why itself. `code` is its exit code."""

    def __init__(self, code: int) -> None:
        super().__init__(f"exit code {code}")
        self.code = code


@dataclass(slots=True, eq=False)
class _Child:
    process: asyncio.subprocess.Process
    said: Mapping[str, Json] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)


class Supervisor:
    """Runs one gateway as `workers` processes and a writer. `run` returns its exit code."""

    def __init__(self, folder: Path, workers: int, report: Callable[[str], None]) -> None:
        self._folder = folder
        self._count = workers
        self._report = report
        self._totals = Totals()
        self._workers: dict[int, _Child] = {}
        self._stop = asyncio.Event()
        self._lost = asyncio.Event()

    def stop(self) -> None:
        """Let the workers finish their calls, then end. A second time: at once."""
        if self._stop.is_set():
            for child in self._workers.values():
                _signal(child, signal.SIGKILL)
        self._stop.set()

    def reload(self) -> None:
        for child in self._workers.values():
            _signal(child, signal.SIGHUP)

    async def run(self, ready: Ready) -> int:
        """Serve until `stop`. Raises Problems when the deployment cannot be loaded or its addresses cannot be had."""
        settings = load(self._folder)
        with contextlib.ExitStack() as stack:
            runtime = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portreeve-")))
            sockets = {name: [stack.enter_context(one) for one in _listen(name, at, self._count)] for name, at in _listeners(settings)}
            path = settings.log.socket or runtime / "log"
            writer: _Child | None = None
            try:
                if settings.log.socket is None:
                    words = ["log", "writer", "-C", str(self._folder), "--socket", str(path), "--tied"]
                    writer = await self._start(words, environment=without_secrets(settings))
                shares = [
                    Share(number, self._count, sockets["agents"][number].fileno(), sockets["admin"][number].fileno(), str(runtime), str(path))
                    for number in range(self._count)
                ]
                return await self._serve(runtime, shares, writer, ready)
            except EndedEarly as ended:
                return ended.code
            finally:
                for one in (*sockets["agents"], *sockets["admin"]):
                    one.close()  # the workers have theirs, and close them when they have drained
                await self._end(settings, writer)

    async def _serve(self, runtime: Path, shares: Sequence[Share], writer: _Child | None, ready: Ready) -> int:
        await self._start_worker(shares[0])  # alone: it makes keys that are missing, and says once what is wrong
        await asyncio.gather(*map(self._start_worker, shares[1:]))
        teller = await tell(runtime / "supervisor", lambda: self._condition(shares))
        ready({**self._workers[0].said, "workers": self._count})
        tasks = [asyncio.create_task(self._keep(share)) for share in shares]
        tasks.append(asyncio.create_task(self._look(shares)))
        ends: list[asyncio.Task[Any]] = [asyncio.create_task(self._stop.wait()), asyncio.create_task(self._lost.wait())]
        if writer is not None:
            ends.append(asyncio.create_task(_wait(writer)))
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (*tasks, *ends):
                task.cancel()
            await asyncio.wait(tasks)
            teller.close()
        if self._stop.is_set():
            return 0
        self._report("the decision log cannot be written any more; stopping")
        return EXIT_LOG_FAILED

    async def _keep(self, share: Share) -> None:
        """Start one worker anew as often as it ends."""
        pause = RESTART_PAUSE_S
        while True:
            child = self._workers[share.number]
            code = await child.process.wait()
            self._totals.retire(share.number)
            if code == EXIT_LOG_FAILED:
                self._lost.set()
                return
            self._totals.add("portreeve_worker_restarts_total", "portreeve_worker_restarts_total")
            pause = RESTART_PAUSE_S if time.monotonic() - child.since > CALM_S else min(2 * pause, RESTART_PAUSE_S_MAX)
            self._report(f"worker {share.number} ended ({_told(code)}); starting it anew")
            await asyncio.sleep(pause)
            with contextlib.suppress(EndedEarly):  # it is among the workers all the same: the next turn waits for it no longer than this one
                await self._start_worker(share)

    async def _start_worker(self, share: Share) -> None:
        inherited = (share.agents, share.admin)
        await self._start(["serve", "-C", str(self._folder), "--share", str(share)], inherited=inherited, number=share.number)

    async def _start(
        self, words: list[str], *, inherited: Sequence[int] = (), number: int | None = None, environment: Mapping[str, str] | None = None
    ) -> _Child:
        """Start a child, in this process's environment unless one is given, and wait until it is ready. It ends when its standard input does, so it does not outlive this process; signals of a
        terminal are this process's to pass on.
        """
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway", *words, "--json"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=inherited,
            env=environment,
            start_new_session=True,
        )
        child = _Child(process)
        if number is not None:
            self._workers[number] = child
        assert process.stdout
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                line = await process.stdout.readline()
        except TimeoutError:
            process.kill()
            line = b""
        if not line:
            raise EndedEarly(await process.wait() or 1)
        child.said = json.loads(line)
        return child

    # how all are

    async def _look(self, shares: Sequence[Share]) -> None:
        while True:
            await self._condition(shares)
            await asyncio.sleep(LOOK_INTERVAL_S)

    async def _condition(self, shares: Sequence[Share]) -> Condition:
        """Metrics of all workers summed, and the readiness of the worst. Workers that do not answer count as they were last seen."""
        children = [self._workers[share.number] for share in shares]
        answers = await asyncio.gather(*(ask(share.own_socket) for share in shares))
        problems: list[Json] = []
        newest: Mapping[str, Json] = {}
        for share, child, answer in zip(shares, children, answers, strict=True):
            if answer is None or child is not self._workers[share.number] or child.process.returncode is not None:
                problems.append(f"worker {share.number} does not answer")
                continue
            metrics, readiness = answer
            self._totals.saw(share.number, metrics)
            problems += [f"worker {share.number}: {problem}" for problem in readiness["problems"]]
            if not newest or readiness["log"]["size"] > newest["log"]["size"]:
                newest = readiness
        return self._totals.text(), {**newest, "ready": not problems, "problems": problems, "workers": self._count}

    # the end

    async def _end(self, settings: Settings, writer: _Child | None) -> None:
        """Workers first, with the time they are due; then the writer, which still takes what they have to say."""
        grace = settings.limits.drain_delay_s + settings.limits.drain_timeout_s + STOP_GRACE_S
        await _finish(list(self._workers.values()), grace)
        await _finish([writer] if writer else [], STOP_GRACE_S)


def _listeners(settings: Settings) -> tuple[tuple[str, Listener], ...]:
    return ("agents", settings.agents), ("admin", settings.admin)


def _listen(name: str, at: Listener, count: int) -> list[socket.socket]:
    """One socket for each worker on the same address; the kernel spreads connections over them. Raises Problems."""
    found: list[socket.socket] = []
    try:
        kind, _, _, _, where = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)[0]
        for _ in range(count):
            one = socket.socket(kind, socket.SOCK_STREAM)
            found.append(one)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if kind == socket.AF_INET6:
                one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            if count > 1:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            one.bind((*where[:1], found[0].getsockname()[1] or where[1], *where[2:]))
    except OSError as error:
        for one in found:
            one.close()
        message = f"cannot listen: {error.strerror}"
        raise Problems([Problem("address_in_use", message, key=f"listen.{name}.address", remedy="choose a free address")]) from error
    return found


async def _finish(children: Sequence[_Child], grace_s: float) -> None:
    for child in children:
        _signal(child, signal.SIGTERM)
    waiting = [asyncio.create_task(_wait(child)) for child in children]
    if not waiting:
        return
    await asyncio.wait(waiting, timeout=grace_s)
    for child in children:
        _signal(child, signal.SIGKILL)
    await asyncio.wait(waiting)


async def _wait(child: _Child) -> int:
    return await child.process.wait()


def _signal(child: _Child, number: signal.Signals) -> None:
    if child.process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            child.process.send_signal(number)


def _told(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"killed by {signal.Signals(-code).name}"
