"""A real OpenBao in development mode on loopback, for the length of a block: no simulator is needed where the real thing starts in a second."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

ROOT_TOKEN = "root-of-a-test"
START_S_MAX = 30.0


@dataclass(frozen=True)
class Bao:
    url: str

    def ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        request = Request(f"{self.url}/v1/{path}", data=None if body is None else json.dumps(body).encode(), headers={"x-vault-token": ROOT_TOKEN})
        with urlopen(request, timeout=10) as answer:
            text = answer.read()
        return json.loads(text) if text else {}


@contextlib.contextmanager
def bao(folder: Path) -> Iterator[Bao]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(Path(sys.executable).with_name("bao")), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT_TOKEN}"]
    with (folder / "bao.log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"-dev-listen-address=127.0.0.1:{port}"], stdout=log, stderr=log, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}
        )
    try:
        found = Bao(f"http://127.0.0.1:{port}")
        until = time.monotonic() + START_S_MAX
        while True:
            with contextlib.suppress(URLError, ConnectionError):
                found.ask("sys/health")
                break
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "bao.log").read_text()[-2000:])
            time.sleep(0.05)
        yield found
    finally:
        process.terminate()
        process.wait(20)
