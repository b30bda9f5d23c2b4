"""A real Prometheus server on a port of its own, scraping one target. `make test` fetches the program; without it tests skip."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest

CONFIG = """
global: {{ scrape_interval: 100ms, scrape_timeout: 100ms }}
scrape_configs:
  - job_name: gateway
    static_configs: [ {{ targets: ["{target}"] }} ]
"""


def program() -> str:
    """Where it is; skips the test when it is nowhere."""
    fetched = Path(sys.prefix) / "prometheus" / "usr" / "bin" / "prometheus"
    found = shutil.which("prometheus") or (str(fetched) if fetched.exists() else None)
    if found is None:
        pytest.skip("no Prometheus server here: `make test` fetches one with apt-get, or install it")
    return found


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextlib.asynccontextmanager
async def prometheus(folder: Path, target: str) -> AsyncIterator[str]:
    """Its base URL. `target` is host:port; its /metrics is read ten times a second."""
    folder.mkdir(parents=True)
    (folder / "prometheus.yml").write_text(CONFIG.format(target=target))
    url = f"http://127.0.0.1:{(port := free_port())}"
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/data", f"--web.listen-address=127.0.0.1:{port}")
    server = await asyncio.create_subprocess_exec(program(), *options, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL)
    try:
        async with httpx2.AsyncClient(trust_env=False, timeout=5) as client, asyncio.timeout(60):
            while not await _ready(client, url):
                assert server.returncode is None
                await asyncio.sleep(0.05)
        yield url
    finally:
        server.kill()
        await server.wait()


async def _ready(client: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await client.get(f"{url}/-/ready")).status_code == 200
    except httpx2.TransportError:
        return False


async def scraped(url: str, query: str, count: int) -> None:
    """Wait until the query's newest value is at least `count`."""
    async with httpx2.AsyncClient(trust_env=False, timeout=5) as client, asyncio.timeout(60):
        while True:
            found = (await client.get(f"{url}/api/v1/query", params={"query": query})).json()["data"]["result"]
            if found and float(found[0]["value"][1]) >= count:
                return
            await asyncio.sleep(0.05)
