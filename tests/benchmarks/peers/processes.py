"""Child processes of a benchmark: pinned to a core, asked by lines of JSON, always ended by the one who started them."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

ROOT = Path(__file__).resolve().parents[3]
START_S_MAX = 20.0


def cores() -> tuple[set[int] | None, set[int] | None]:
    """(the core of what is measured, the cores of everything else); (None, None) when there is only one to share."""
    mine = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    return ({mine[0]}, set(mine[1:2])) if len(mine) > 1 else (None, None)


@contextlib.contextmanager
def child(command: list[str], *, core: set[int] | None, log: Path, env: dict[str, str] | None = None) -> Iterator[subprocess.Popen[str]]:
    """Run a command on one core for the length of the block. Its stderr goes to `log`."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
        )
    if core:
        os.sched_setaffinity(process.pid, core)  # at once, so that every thread it ever makes inherits it
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        assert process.stdin and process.stdout
        process.stdin.close()
        process.stdout.close()


def python(module: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", f"tests.benchmarks.peers.{module}", *arguments]


def said(process: subprocess.Popen[str]) -> dict:
    """The next line of JSON that the child prints. Raises RuntimeError when it ended instead."""
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise RuntimeError(f"{process.args} ended with {process.wait()}")
    return json.loads(line)


def ask(process: subprocess.Popen[str], question: dict) -> dict:
    assert process.stdin
    process.stdin.write(json.dumps(question) + "\n")
    process.stdin.flush()
    return said(process)


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(url: str, process: subprocess.Popen[str], log: Path) -> None:
    """Wait until the URL answers 200. Raises RuntimeError with the child's last words when it does not."""
    last = ""
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until and process.poll() is None:
        try:
            with urlopen(url, timeout=2):
                return
        except OSError as error:
            last = str(error)
            time.sleep(0.05)
    raise RuntimeError(f"{url}: {last}; {log.read_text(errors='replace')[-2000:]}")


def wait_for_port(port: int, process: subprocess.Popen[str], log: Path) -> None:
    until = time.monotonic() + START_S_MAX
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on {port}: {log.read_text(errors='replace')[-2000:]}")


def resident_mb(process: subprocess.Popen[str]) -> float | None:
    """Resident memory in MB (Linux only, else None)."""
    status = Path(f"/proc/{process.pid}/status")
    if not status.exists():
        return None
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) / 1024


def cpu_s(process: subprocess.Popen[str]) -> float | None:
    """Processor time that all threads of the process have used so far, user and system (Linux only, else None)."""
    stat = Path(f"/proc/{process.pid}/stat")
    if not stat.exists():
        return None
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
